"""Wires mediation into the house."""

from turnup.contracts import catalog, configuration, crm, inventory, orders, provisioning
from turnup.integration.mediation import tables
from turnup.integration.mediation.privacy import PRIVACY
from turnup.integration.mediation.service import Mediation
from turnup.integration.mediation.workflows import Importer
from turnup.runtime.component import Component, Runtime, Schema

SCHEMA = Schema(name="mediation", metadata=tables.metadata, privacy=PRIVACY)


def build(
    runtime: Runtime,
    *,
    customers: crm.Commands,
    offers: catalog.Commands,
    offer_reads: catalog.Reads,
    network: inventory.Commands,
    network_reads: inventory.Reads,
    credentials: configuration.Commands,
    services: provisioning.Commands,
    intents: provisioning.Adopt,
    orders: orders.Commands,
    currency: str,
    language: str = "en",
) -> tuple[Component, Importer]:
    mediation = Mediation(runtime)
    importer = Importer(
        runtime,
        mediation,
        customers=customers,
        offers=offers,
        offer_reads=offer_reads,
        network=network,
        network_reads=network_reads,
        credentials=credentials,
        services=services,
        intents=intents,
        orders=orders,
        currency=currency,
        language=language,
    )
    return Component(name="mediation", service=mediation, schema=SCHEMA), importer
