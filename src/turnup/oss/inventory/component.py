"""Wires inventory into the house."""

from turnup.contracts import crm
from turnup.oss.inventory import tables
from turnup.oss.inventory.handlers import handlers
from turnup.oss.inventory.privacy import PRIVACY
from turnup.oss.inventory.routes import routers
from turnup.oss.inventory.service import Inventory
from turnup.runtime.component import Component, Runtime, Schema

SCHEMA = Schema(name="inventory", metadata=tables.metadata, privacy=PRIVACY)


def build(runtime: Runtime, customers: crm.Reads) -> Component:
    service = Inventory(runtime, customers)
    return Component(
        name="inventory",
        service=service,
        schema=SCHEMA,
        handlers=handlers(service),
        routers=routers(service, runtime),
    )
