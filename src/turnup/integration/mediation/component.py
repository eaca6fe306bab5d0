"""Wires mediation into the house."""

from dataclasses import dataclass

from turnup.contracts import billing, catalog, configuration, crm, inventory, orders, provisioning
from turnup.contracts.mediation import FileGateway
from turnup.integration.mediation import tables
from turnup.integration.mediation.handlers import handlers
from turnup.integration.mediation.privacy import PRIVACY
from turnup.integration.mediation.routes import routers
from turnup.integration.mediation.service.connectors import Connectors
from turnup.integration.mediation.service.files import Files
from turnup.integration.mediation.service.mediation import Mediation
from turnup.integration.mediation.workflows.applying import Applier
from turnup.integration.mediation.workflows.comparison import Comparison
from turnup.integration.mediation.workflows.exchange import Exchange, workflows
from turnup.integration.mediation.workflows.records import Records
from turnup.integration.mediation.workflows.takeover import Importer
from turnup.runtime.component import Component, Runtime, Schema, Tick
from turnup.runtime.secrets import SecretBox

SCHEMA = Schema(name="mediation", metadata=tables.metadata, privacy=PRIVACY)
_LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mediating:
    """The use cases of mediation, wired."""

    mediation: Mediation
    importer: Importer
    comparison: Comparison
    connectors: Connectors
    files: Files
    exchange: Exchange


def build(
    runtime: Runtime,
    *,
    customers: crm.Commands,
    customer_reads: crm.Reads,
    offers: catalog.Commands,
    offer_reads: catalog.Reads,
    network: inventory.Commands,
    network_reads: inventory.Reads,
    credentials: configuration.Commands,
    services: provisioning.Commands,
    service_reads: provisioning.Reads,
    intents: provisioning.Adopt,
    orders: orders.Commands,
    order_reads: orders.Reads,
    bills: billing.Reads,
    elements: configuration.Reads,
    gateway: FileGateway,
    box: SecretBox,
    currency: str,
    language: str = "en",
) -> tuple[Component, Mediating]:
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
    connectors, files = Connectors(runtime, box), Files(runtime)
    applier = Applier(
        runtime,
        mediation,
        customers=customers,
        customer_reads=customer_reads,
        orders=orders,
        order_reads=order_reads,
        currency=currency,
        language=language,
    )
    comparison = Comparison(
        mediation,
        runtime.clock,
        sold=order_reads,
        services=service_reads,
        elements=elements,
        network=network_reads,
        bills=bills,
    )
    records = Records(mediation, customers=customer_reads, bills=bills, services=service_reads)
    exchange = Exchange(runtime, mediation, connectors, files, applier, records, gateway)

    def start_due() -> None:
        with runtime.unit("mediation", "clock") as unit:
            connectors.start_due(unit)

    component = Component(
        name="mediation",
        service=mediation,
        schema=SCHEMA,
        handlers=handlers(files),
        workflows=workflows(exchange),
        routers=routers(connectors, files, exchange, comparison, runtime),
        ticks=[Tick(name="mediation.connectors", every_s=_LOOK_EVERY_S, run=start_due)],
    )
    return component, Mediating(
        mediation=mediation,
        importer=importer,
        comparison=comparison,
        connectors=connectors,
        files=files,
        exchange=exchange,
    )
