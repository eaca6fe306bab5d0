"""Wires provisioning into the house."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from turnup.contracts import catalog, configuration, inventory
from turnup.contracts.provisioning import AaaGateway
from turnup.oss.provisioning import tables
from turnup.oss.provisioning.handlers import handlers
from turnup.oss.provisioning.privacy import PRIVACY
from turnup.oss.provisioning.routes import dangerous, management_router, routers
from turnup.oss.provisioning.rules.brake import BrakePolicy, brake_policy
from turnup.oss.provisioning.service import Provisioning, Seal
from turnup.oss.provisioning.workflows import NetworkRealiser, Takeover, resume_lifted, workflows
from turnup.runtime.component import Component, Runtime, Schema, Tick

SCHEMA = Schema(name="provisioning", metadata=tables.metadata, privacy=PRIVACY)


POLICY_CHECKS: Mapping[str, Callable[[Mapping[str, object], str], object]] = {"brake": brake_policy}
"""What provisioning says of a policy document before the catalog publishes it, like billing's."""
_TEND_EVERY_S = 60.0
_LOOK_AT_FREEZES_EVERY_S = 1.0


def build_service(runtime: Runtime, seal: Seal, policies: catalog.Reads | None = None) -> Provisioning:
    """The use cases alone, for the components that only read. The brake's policy is the document `standard`;
    without one its defaults hold."""

    def policy_at(at: datetime) -> BrakePolicy:
        document = None if policies is None else policies.policy("brake", "standard", at)
        return BrakePolicy() if document is None else brake_policy(document)

    return Provisioning(runtime, seal, policy_at)


def build(
    runtime: Runtime,
    provisioning: Provisioning,
    *,
    intents: configuration.Commands,
    intended: configuration.Reads,
    path: configuration.Apply,
    network: inventory.Reads,
    aaa: AaaGateway,
    freezes: configuration.Freezes,
) -> tuple[Component, NetworkRealiser, Takeover]:
    realiser = NetworkRealiser(runtime, provisioning, intents, intended, path, network, aaa, freezes)
    takeover = Takeover(runtime, provisioning, realiser, intended, network)
    component = Component(
        name="provisioning",
        service=provisioning,
        schema=SCHEMA,
        handlers=handlers(provisioning),
        workflows=workflows(realiser),
        routers=[*routers(provisioning, runtime), management_router(takeover)],
        dangerous=dangerous(provisioning),
        ticks=[
            Tick(name="provisioning.brake", every_s=_TEND_EVERY_S, run=partial(_tend, runtime, provisioning)),
            Tick(
                name="provisioning.after_lift",
                every_s=_LOOK_AT_FREEZES_EVERY_S,
                run=partial(resume_lifted, runtime, provisioning, realiser),
            ),
        ],
    )
    return component, realiser, takeover


def _tend(runtime: Runtime, provisioning: Provisioning) -> None:
    with runtime.unit("provisioning", "tick:brake") as unit:
        provisioning.tend(unit)
