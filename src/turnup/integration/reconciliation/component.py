"""Wires reconciliation into the house."""

from turnup.contracts import billing, configuration, inventory, orders, provisioning
from turnup.integration.reconciliation import tables
from turnup.integration.reconciliation.privacy import PRIVACY
from turnup.integration.reconciliation.routes import routers
from turnup.integration.reconciliation.service import Reconciliation
from turnup.integration.reconciliation.workflows import Reconciler
from turnup.runtime.component import Component, Runtime, Schema, Tick

SCHEMA = Schema(name="reconciliation", metadata=tables.metadata, privacy=PRIVACY)


def build(
    runtime: Runtime,
    *,
    orders: orders.Reads,
    services: provisioning.Reads,
    service_commands: provisioning.Commands,
    network: inventory.Reads,
    configuration: configuration.Reads,
    billing: billing.Reads,
    billing_commands: billing.Commands,
    realiser: provisioning.Realise,
) -> tuple[Component, Reconciler]:
    """The component and the comparison itself."""
    findings = Reconciliation(runtime)
    reconciler = Reconciler(
        runtime,
        findings,
        sold=orders,
        desired=services,
        services=service_commands,
        network=network,
        actual=configuration,
        billed=billing,
        billing_commands=billing_commands,
        realiser=realiser,
    )

    def standing() -> None:
        reconciler.run(repair=True)

    component = Component(
        name="reconciliation",
        service=findings,
        schema=SCHEMA,
        ticks=[
            Tick(
                name="reconciliation.standing",
                every_s=runtime.settings.reconciliation_interval_seconds,
                run=standing,
            )
        ],
        routers=routers(findings, reconciler, runtime),
    )
    return component, reconciler
