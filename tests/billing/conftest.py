"""Billing on a database of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from billing_house import FakeCatalog, FakeCrm, House, install_billing
from sqlalchemy import Connection

from turnup.bss.billing.service.billing import Billing
from turnup.kernel.clock import ManualClock
from turnup.runtime.database import Database


@pytest.fixture(scope="session")
def database_template(make_template: Callable[[str, Callable[[str], None]], str]) -> str:
    return make_template("billing", install_billing)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    database = Database(database_url, pool_size=3)
    clock = ManualClock(datetime(2026, 6, 1, tzinfo=UTC))
    catalog = FakeCatalog()

    @contextmanager
    def snapshot() -> Iterator[Connection]:
        with database.snapshot("billing") as connection:
            yield connection

    billing = Billing(snapshot, clock, catalog, FakeCrm())  # type: ignore[arg-type]
    yield House(database, clock, catalog, billing)
    database.close()
