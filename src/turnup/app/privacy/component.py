"""Wires privacy into the house, as a component without tables of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from turnup.app.privacy.erasing import Rights
from turnup.app.privacy.holders import Holders
from turnup.app.privacy.purging import Purges
from turnup.app.privacy.routes import build_router
from turnup.bss.billing.service.billing import Billing
from turnup.bss.crm.service import CrmService
from turnup.oss.provisioning.service import Provisioning
from turnup.runtime.component import Component, Runtime, Schema, Tick
from turnup.runtime.secrets import SecretBox
from turnup.runtime.settings import Settings

_PURGE_LOOK_S = 600.0
_ERASURE_LOOK_S = 60.0


@dataclass(frozen=True, slots=True)
class PrivacyParts:
    component: Component
    rights: Rights
    purges: Purges


def build(
    runtime: Runtime,
    settings: Settings,
    schemas: Sequence[Schema],
    box: SecretBox,
    *,
    crm: CrmService,
    provisioning: Provisioning,
    billing: Billing,
) -> PrivacyParts:
    rights = Rights(runtime, settings, Holders.of(runtime, schemas, crm, provisioning, billing))
    purges = Purges(runtime, settings, schemas, box)

    def apply_again() -> None:
        rights.apply_again()

    component = Component(
        name="privacy",
        service=rights,
        workflows=[rights.workflow(), purges.workflow()],
        ticks=[
            Tick(name="privacy.purge", every_s=_PURGE_LOOK_S, run=purges.begin_if_due),
            Tick(name="privacy.apply_again", every_s=_ERASURE_LOOK_S, run=apply_again),
        ],
        routers=[build_router(rights, purges)],
        dangerous=[rights.dangerous()],
    )
    return PrivacyParts(component, rights, purges)
