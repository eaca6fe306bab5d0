"""Wires orders into the house."""

from turnup.bss.orders import tables
from turnup.bss.orders.handlers import handlers
from turnup.bss.orders.privacy import PRIVACY
from turnup.bss.orders.routes import routers
from turnup.bss.orders.service import Orders
from turnup.bss.orders.workflows import Fulfilment, Resumption, workflows
from turnup.contracts import catalog, crm, inventory, provisioning
from turnup.runtime.component import Component, Runtime, Schema, Tick

SCHEMA = Schema(name="orders", metadata=tables.metadata, privacy=PRIVACY)


def build(
    runtime: Runtime,
    *,
    customers: crm.Reads,
    offers: catalog.Reads,
    network: inventory.Commands,
    network_reads: inventory.Reads,
    services: provisioning.Commands,
    services_reads: provisioning.Reads,
    realiser: provisioning.Realise,
) -> Component:
    orders = Orders(runtime, customers, offers, network_reads)
    fulfilment = Fulfilment(
        orders,
        runtime.clock,
        offers=offers,
        network=network,
        network_reads=network_reads,
        services=services,
        services_reads=services_reads,
        realiser=realiser,
    )

    def release_due() -> None:
        with runtime.unit("orders", "clock") as unit:
            orders.release_due(unit)

    resumption = Resumption(orders, services_reads, realiser)

    def resume_parked() -> None:
        resumption.resume(runtime)

    return Component(
        name="orders",
        service=orders,
        schema=SCHEMA,
        handlers=handlers(orders),
        workflows=workflows(fulfilment),
        routers=routers(orders, runtime),
        ticks=[
            Tick(name="orders.release_due", every_s=1.0, run=release_due),
            Tick(name="orders.resume_parked", every_s=1.0, run=resume_parked),
        ],
    )
