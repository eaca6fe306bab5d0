"""Reconciliation on a database of its own, between sides that can be broken apart."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from reconciliation_world import World

from builders.house import attach_workflows, lay_out, runtime_on
from turnup.integration.reconciliation.component import SCHEMA, build
from turnup.integration.reconciliation.workflows import Reconciler
from turnup.runtime.component import Component, Runtime


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("reconciliation", lambda url: lay_out(url, [SCHEMA, *_PEERS]))


_PEERS = [
    replace(SCHEMA, name=name, metadata=type(SCHEMA.metadata)()) for name in ("billing", "provisioning")
]
"""Units of these components are opened for them; their own tables are none of ours."""


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url, default_currency="EUR", reconciliation_interval_seconds=3600.0) as running:
        yield running


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def built(runtime: Runtime, world: World) -> tuple[Component, Reconciler]:
    component, reconciler = build(
        runtime,
        orders=world,  # type: ignore[arg-type]
        services=world,  # type: ignore[arg-type]
        service_commands=world,  # type: ignore[arg-type]
        network=world,  # type: ignore[arg-type]
        configuration=world,  # type: ignore[arg-type]
        billing=world,  # type: ignore[arg-type]
        billing_commands=world,  # type: ignore[arg-type]
        realiser=world,
    )
    attach_workflows(runtime, [component])
    return component, reconciler


@pytest.fixture
def reconciler(built: tuple[Component, Reconciler]) -> Reconciler:
    return built[1]


@pytest.fixture
def component(built: tuple[Component, Reconciler]) -> Component:
    return built[0]
