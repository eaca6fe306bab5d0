"""A catalog on a database of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.house import lay_out, runtime_on
from turnup.bss.catalog.component import SCHEMA, build
from turnup.bss.catalog.service import CatalogService
from turnup.runtime.component import Component, Runtime

_EXAMPLES = Path(__file__).parents[2] / "examples" / "isp"


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("catalog", lambda url: lay_out(url, [SCHEMA]))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as runtime:
        yield runtime


@pytest.fixture
def component(runtime: Runtime) -> Component:
    return build(runtime)


@pytest.fixture
def catalog(component: Component) -> CatalogService:
    service = component.service
    assert isinstance(service, CatalogService)
    return service


@pytest.fixture
def document() -> dict[str, Any]:
    """The catalog of the example ISP, as a document to change."""
    return yaml.safe_load((_EXAMPLES / "catalog.yaml").read_text())


@pytest.fixture
def policies() -> dict[str, Any]:
    return yaml.safe_load((_EXAMPLES / "policies.yaml").read_text())
