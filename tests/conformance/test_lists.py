"""What a declaration promises of a list the assembled house keeps: every filter and order, on real tables."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from turnup.app.engine import Engine
from turnup.app.house import SERVER, assemble
from turnup.app.migrations.runner import upgrade
from turnup.app.reference_tmf import declared
from turnup.app.server import api_of
from turnup.kernel.ids import new_id
from turnup.runtime.auth import issue_token
from turnup.runtime.settings import Settings
from turnup.runtime.tmf import Attribute, Kind, Resource

LISTS = [each for each in declared() if each.list is not None]
SAMPLES = {
    Kind.TEXT: "sample",
    Kind.NUMBER: "29.90",
    Kind.BOOLEAN: "true",
    Kind.INSTANT: "2026-01-31T08:00:00Z",
    Kind.DAY: "2026-01-31",
    Kind.ID: str(new_id()),
}


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("migrated", lambda url: upgrade(url) and None)


@pytest.fixture(scope="module")
def client(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder: Path = tmp_path_factory.mktemp("data")
    engine = Engine(module_database_url, module_database_url, embedded=False)
    house = assemble(Settings(data_dir=folder), engine, process=SERVER)
    with house.database.engine.begin() as connection:
        token = issue_token(connection, "reader", ["*"], now=house.runtime.clock.now())
    yield TestClient(api_of(house), headers={"Authorization": f"Bearer {token}"})
    house.close()


def sample(attribute: Attribute) -> str:
    return next(iter(attribute.means)) if attribute.means else SAMPLES[attribute.kind]


@pytest.mark.parametrize("resource", LISTS, ids=lambda each: f"{each.api}-{each.name}")
def test_every_attribute_filters_and_those_that_sort_do(client: TestClient, resource: Resource) -> None:
    requests = [{"limit": "1"}]
    for path, attribute in resource.attributes.items():
        value = sample(attribute)
        requests += [{path: value}, {f"{path}.ne": value}]
        if attribute.kind in (Kind.NUMBER, Kind.INSTANT, Kind.DAY):
            requests += [{f"{path}.{operator}": value} for operator in ("gt", "gte", "lt", "lte")]
        if attribute.sortable:
            requests += [{"sort": path, "limit": "1"}, {"sort": f"-{path}", "limit": "1"}]
    for parameters in requests:
        answer = client.get(resource.path, params=parameters, headers={"X-Total-Count": "true"})
        assert (answer.status_code, isinstance(answer.json(), list)) == (200, True), (parameters, answer.text)
    refused = client.get(resource.path, params={"nobody.knows": "x"})
    assert (refused.status_code, refused.json()["field"]) == (400, "nobody.knows")
