"""Wires crm, in two steps: others read customers before crm can read their services."""

from importlib.resources import files

from turnup.bss.crm import tables
from turnup.bss.crm.handlers import handlers
from turnup.bss.crm.privacy import PRIVACY
from turnup.bss.crm.routes import build_router
from turnup.bss.crm.routes.payment_methods import payment_methods_router
from turnup.bss.crm.rules import Templates
from turnup.bss.crm.service import CrmService, Seal
from turnup.bss.crm.workflows import workflows
from turnup.contracts import provisioning
from turnup.contracts.crm import MessageGateway
from turnup.runtime.component import Component, Runtime, Schema

SCHEMA = Schema(name="crm", metadata=tables.metadata, ddl=tables.DDL, privacy=PRIVACY)


def new_service(runtime: Runtime, seal: Seal | None = None) -> CrmService:
    """The service alone, for those who read customers (inventory, orders, billing). `seal` is for ways to
    pay; without it there can be none."""
    return CrmService(runtime, load_templates(), seal)


def build(
    runtime: Runtime,
    service: CrmService,
    *,
    services: provisioning.Reads,
    gateway: MessageGateway,
    language: str = "en",
) -> Component:
    """`language` (ISO 639) is that of a party for which none is given."""
    return Component(
        name="crm",
        service=service,
        schema=SCHEMA,
        handlers=handlers(service, services),
        workflows=workflows(service, gateway),
        routers=[build_router(service, runtime, language), payment_methods_router(service)],
    )


def load_templates() -> Templates:
    """The messages that come with Turnup, ``templates/<language>/<name>.txt``."""
    return {
        (language.name, entry.name.removesuffix(".txt")): entry.read_text(encoding="utf-8")
        for language in files("turnup.bss.crm").joinpath("templates").iterdir()
        if language.is_dir()
        for entry in language.iterdir()
        if entry.name.endswith(".txt")
    }
