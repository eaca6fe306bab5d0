"""Wires the catalog."""

from collections.abc import Mapping

from turnup.bss.catalog import tables
from turnup.bss.catalog.privacy import PRIVACY
from turnup.bss.catalog.routes import build_router
from turnup.bss.catalog.service import CatalogService, PolicyCheck
from turnup.runtime.component import Component, Runtime, Schema

SCHEMA = Schema(name="catalog", metadata=tables.metadata, privacy=PRIVACY)


def build(runtime: Runtime, policy_checks: Mapping[str, PolicyCheck] | None = None) -> Component:
    """`policy_checks`: by kind of policy, what its interpreter says of a document before it is published."""
    service = CatalogService(runtime, policy_checks)
    return Component(name="catalog", service=service, schema=SCHEMA, routers=[build_router(service, runtime)])
