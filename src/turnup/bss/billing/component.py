"""Wires billing."""

from collections.abc import Callable, Mapping
from functools import partial

import structlog

from turnup.bss.billing.handlers import handlers
from turnup.bss.billing.privacy import PRIVACY
from turnup.bss.billing.routes import routers
from turnup.bss.billing.rules.policies import billing_policy, credit_policy, dunning_policy, tax_rates
from turnup.bss.billing.service.billing import Billing
from turnup.bss.billing.tables import DDL, metadata
from turnup.bss.billing.workflows import workflows
from turnup.contracts import catalog, configuration, crm
from turnup.runtime.component import Component, Runtime, Schema, Tick

log = structlog.get_logger(__name__)

SCHEMA = Schema(name="billing", metadata=metadata, ddl=DDL, privacy=PRIVACY)

POLICY_CHECKS: Mapping[str, Callable[[Mapping[str, object], str], object]] = {
    "billing": billing_policy,
    "credit": credit_policy,
    "dunning": dunning_policy,
    "tax": tax_rates,
}
"""What billing says of a policy document before the catalog publishes it: (document, path), InvalidInput."""


def build(
    runtime: Runtime,
    *,
    catalog_reads: catalog.Reads,
    crm_reads: crm.Reads,
    freezes: configuration.Freezes | None = None,
) -> Component:
    """`service` of the manifest implements contracts.billing Reads and Commands. Without `freezes` nothing
    pauses dunning (an installation without a network of its own)."""
    billing = Billing(partial(runtime.snapshot, "billing"), runtime.clock, catalog_reads, crm_reads, freezes)
    return Component(
        name="billing",
        service=billing,
        schema=SCHEMA,
        handlers=handlers(billing),
        workflows=workflows(billing.runs),
        ticks=[Tick(name="billing.dunning", every_s=3600, run=partial(_dun, runtime, billing))],
        routers=routers(billing, runtime),
    )


def _dun(runtime: Runtime, billing: Billing) -> None:
    try:
        with runtime.unit("billing", "tick:dunning") as unit:
            billing.dunning_tick(unit, unit.now.date())
    except configuration.Frozen as frozen:
        log.warning("dunning_paused", reason=str(frozen))
