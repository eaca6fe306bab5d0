"""A house with connectors and an SFTP peer for the tests of files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builders.house import lay_out
from mediation.connector_house import Bench, bench_on
from turnup.app.house import schemas


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("whole_house", lambda url: lay_out(url, schemas()))


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench_on(database_url, tmp_path) as running:
        yield running
