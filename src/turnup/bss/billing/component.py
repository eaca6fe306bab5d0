"""Wires billing."""

from collections.abc import Callable, Mapping
from functools import partial

from turnup.bss.billing.handlers import handlers
from turnup.bss.billing.routes import routers
from turnup.bss.billing.rules.policies import billing_policy, credit_policy, dunning_policy, tax_rates
from turnup.bss.billing.service.billing import Billing
from turnup.bss.billing.tables import DDL, metadata
from turnup.bss.billing.workflows import workflows
from turnup.contracts import catalog, crm
from turnup.runtime.component import Component, Runtime, Schema, Tick

SCHEMA = Schema(name="billing", metadata=metadata, ddl=DDL)

POLICY_CHECKS: Mapping[str, Callable[[Mapping[str, object], str], object]] = {
    "billing": billing_policy,
    "credit": credit_policy,
    "dunning": dunning_policy,
    "tax": tax_rates,
}
"""What billing says of a policy document before the catalog publishes it: (document, path), InvalidInput."""


def build(runtime: Runtime, *, catalog_reads: catalog.Reads, crm_reads: crm.Reads) -> Component:
    """`service` of the manifest implements contracts.billing Reads and Commands."""
    billing = Billing(partial(runtime.snapshot, "billing"), runtime.clock, catalog_reads, crm_reads)
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
    with runtime.unit("billing", "tick:dunning") as unit:
        billing.dunning_tick(unit, unit.now.date())
