"""Wires monitoring into the house."""

from turnup.contracts import inventory, provisioning
from turnup.contracts.monitoring import AccountingSources, ElementProbe
from turnup.oss.monitoring import tables
from turnup.oss.monitoring.model import Policy
from turnup.oss.monitoring.privacy import PRIVACY
from turnup.oss.monitoring.routes import routers
from turnup.oss.monitoring.service import Monitoring
from turnup.runtime.component import Component, Runtime, Schema, Tick

SCHEMA = Schema(name="monitoring", metadata=tables.metadata, privacy=PRIVACY)


def build(
    runtime: Runtime,
    network: inventory.Reads,
    services: provisioning.Reads,
    accounting: AccountingSources,
    probe: ElementProbe,
    *,
    accounting_every_s: float = 1.0,
    poll_every_s: float = 5.0,
    policy: Policy | None = None,
) -> Component:
    """`services` finds the services of sessions by their logins."""
    service = Monitoring(runtime, network, services, accounting, probe, policy or Policy())

    def take_accounting() -> None:
        service.take_accounting()

    def poll() -> None:
        service.poll(deadline_s=min(poll_every_s, 10.0))

    return Component(
        name="monitoring",
        service=service,
        schema=SCHEMA,
        routers=routers(service, runtime),
        ticks=[
            Tick(
                name="monitoring.accounting",
                every_s=accounting_every_s,
                run=take_accounting,
                where="collector",
            ),
            Tick(name="monitoring.poll", every_s=poll_every_s, run=poll, where="collector"),
        ],
    )
