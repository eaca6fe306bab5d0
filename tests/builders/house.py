"""A house of a few components on a test's database, without workers: units, events, the HTTP edge."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

from fastapi.testclient import TestClient
from sqlalchemy import create_engine

from turnup.kernel.clock import ManualClock
from turnup.runtime.access.edge import access_by_default
from turnup.runtime.auth import Realm, issue_token
from turnup.runtime.component import Component, Runtime, Schema
from turnup.runtime.database import Database
from turnup.runtime.durable import Durable
from turnup.runtime.events import sequence
from turnup.runtime.schema import install
from turnup.runtime.web import make_app

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def lay_out(url: str, schemas: Iterable[Schema]) -> None:
    """Fill an empty database; for `make_template`."""
    engine = create_engine(url)
    install(engine, url, list(schemas))
    engine.dispose()


@contextmanager
def runtime_on(url: str, *, start: datetime = NOON, **settings: object) -> Iterator[Runtime]:
    """A runtime whose clock stands at `start` (move it: `runtime.clock.advance`). No workflows yet."""
    database = Database(url, pool_size=4)
    clock = ManualClock(start)
    given = SimpleNamespace(public_url=None, **settings)
    runtime = Runtime(database, clock, given)  # type: ignore[arg-type]
    runtime.attach(Durable(database, clock))
    yield runtime
    database.close()


def attach_workflows(runtime: Runtime, components: Sequence[Component]) -> None:
    """Let units of these components enqueue their workflows; nobody runs them."""
    workflows = [workflow for component in components for workflow in component.workflows]
    runtime.attach(Durable(runtime.database, runtime.clock, workflows=workflows))


def deliver_events(runtime: Runtime, components: Sequence[Component]) -> int:
    """Sequence and deliver until nothing is left; returns how many events were handled."""
    handled = 0
    while True:
        with runtime.database.engine.begin() as connection:
            sequence(connection)
        batches = [runtime.consumer(component).deliver() for component in components if component.handlers]
        if not any(batch.handled or batch.parked for batch in batches):
            return handled
        handled += sum(batch.handled for batch in batches)


def client_of(
    runtime: Runtime,
    components: Sequence[Component],
    *,
    scopes: Sequence[str] = ("*",),
    realm: Realm | None = None,
) -> TestClient:
    """An HTTP client that holds a token with these scopes."""
    dangerous = [each for component in components for each in component.dangerous]
    routers = [router for component in components for router in component.routers]
    app = make_app(routers, runtime, access=access_by_default(runtime, dangerous))
    with runtime.database.engine.begin() as connection:
        name = f"test {'+'.join(scopes)}" + (f" of {realm}" if realm else "")
        token = issue_token(connection, name, scopes, now=runtime.clock.now(), realm=realm)
    return TestClient(app, headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False)
