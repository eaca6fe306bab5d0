"""What every test may ask for: a real PostgreSQL and fresh databases on it. See tests/README.md."""

import fcntl
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from turnup.runtime.embedded import ConnectionInfo, create_database, drop_database, ensure_running

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> ConnectionInfo:
    """One embedded PostgreSQL for the whole run, shared by all xdist workers; gone when the run is."""
    # a worker's parent is the controller; the supervisor ends with it, however it ends
    runner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID", "alone")[:8]
    # not pytest's tmp_path: it is closed to the account that runs PostgreSQL when we are root
    data_dir = Path(tempfile.gettempdir()) / f"turnup-test-{runner}-{run_id}"
    return ensure_running(data_dir, until_pid=runner, ephemeral=True)


@pytest.fixture(scope="session")
def make_template(postgres: ConnectionInfo) -> Callable[[str, Callable[[str], None]], str]:
    """`make_template(name, fill)`: the name of a database that `fill(url)` has filled, once per run."""

    def make(name: str, fill: Callable[[str], None]) -> str:
        template = f"template_{name}"
        # one at a time: roles belong to the whole cluster, and the other workers wait for the first to finish
        with (postgres.data_dir / "templates.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = postgres.data_dir / f"{template}.done"
            if not done.exists():
                drop_database(postgres, template)
                create_database(postgres, template)
                fill(postgres.url(template))
                done.touch()
        return template

    return make


@pytest.fixture(scope="session")
def database_template() -> str | None:
    """Which database `database_url` copies; override it in a folder's conftest.py with `make_template`."""
    return None


@pytest.fixture
def database_url(postgres: ConnectionInfo, database_template: str | None) -> Iterator[str]:
    """A fresh database of this test's own, as an SQLAlchemy URL; dropped afterwards."""
    yield from _fresh_database(postgres, database_template)


@pytest.fixture(scope="module")
def module_database_url(postgres: ConnectionInfo, database_template: str | None) -> Iterator[str]:
    """A fresh database that the tests of one module share."""
    yield from _fresh_database(postgres, database_template)


def _fresh_database(postgres: ConnectionInfo, template: str | None) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    create_database(postgres, name, template=template)
    yield postgres.url(name)
    drop_database(postgres, name)
