"""Wires configuration into the house."""

from collections.abc import Mapping

from turnup.contracts import inventory
from turnup.contracts.configuration import ElementDriver
from turnup.oss.configuration import tables
from turnup.oss.configuration.privacy import PRIVACY
from turnup.oss.configuration.routes import dangerous, routers
from turnup.oss.configuration.service import Configuration
from turnup.oss.configuration.workflows import ApplyPath
from turnup.runtime import metrics
from turnup.runtime.component import Component, Runtime, Schema, Tick
from turnup.runtime.secrets import SecretBox

SCHEMA = Schema(name="configuration", metadata=tables.metadata, privacy=PRIVACY)
_BACKUP_EVERY_S = 60.0
_COUNT_EVERY_S = 60.0


def build(
    runtime: Runtime, network: inventory.Reads, drivers: Mapping[str, ElementDriver], box: SecretBox
) -> tuple[Component, ApplyPath]:
    service = Configuration(runtime, network, drivers, box)
    path = ApplyPath(service)

    def backup() -> None:
        path.backup_changed()

    def count_freezes() -> None:
        metrics.freezes.set(len(service.freezes()))

    component = Component(
        name="configuration",
        service=service,
        schema=SCHEMA,
        worker_gone=service.worker_gone,
        routers=routers(service, path, runtime),
        dangerous=dangerous(service),
        ticks=[
            Tick(name="configuration.backup", every_s=_BACKUP_EVERY_S, run=backup),
            Tick(name="configuration.freezes", every_s=_COUNT_EVERY_S, run=count_freezes),
        ],
    )
    return component, path
