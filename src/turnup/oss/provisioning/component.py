"""Wires provisioning into the house."""

from turnup.contracts import configuration, inventory
from turnup.contracts.provisioning import AaaGateway
from turnup.oss.provisioning import tables
from turnup.oss.provisioning.handlers import handlers
from turnup.oss.provisioning.routes import routers
from turnup.oss.provisioning.service import Provisioning, Seal
from turnup.oss.provisioning.workflows import NetworkRealiser, workflows
from turnup.runtime.component import Component, Runtime, Schema

SCHEMA = Schema(name="provisioning", metadata=tables.metadata)


def build_service(runtime: Runtime, seal: Seal) -> Provisioning:
    """The use cases alone, for the components that only read."""
    return Provisioning(runtime, seal)


def build(
    runtime: Runtime,
    provisioning: Provisioning,
    *,
    intents: configuration.Commands,
    intended: configuration.Reads,
    path: configuration.Apply,
    network: inventory.Reads,
    aaa: AaaGateway,
) -> tuple[Component, NetworkRealiser]:
    realiser = NetworkRealiser(runtime, provisioning, intents, intended, path, network, aaa)
    component = Component(
        name="provisioning",
        service=provisioning,
        schema=SCHEMA,
        handlers=handlers(provisioning),
        workflows=workflows(realiser),
        routers=routers(provisioning, runtime),
    )
    return component, realiser
