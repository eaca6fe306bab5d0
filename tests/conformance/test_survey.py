"""What the house offers of TM Forum exists in TM Forum's specifications: its paths, its methods."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from turnup.app.reference_tmf import declared
from turnup.runtime.tmf import Resource
from turnup.runtime.tmf.paths import APIS

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "tmf"
METHODS = {"list": "get", "create": "post", "get": "get", "patch": "patch", "delete": "delete"}


def specified(api: str) -> dict[str, Any]:
    files = sorted(FOLDER.glob(f"{api}-{APIS[api].version.removeprefix('v')}*"))
    if not files:
        pytest.skip(f"no {api} in ../shared/data/tmf")
    with files[-1].open() as file:
        read = json.load(file) if files[-1].suffix == ".json" else yaml.load(file, Loader=yaml.CSafeLoader)
    paths: dict[str, Any] = read["paths"]
    return paths


@pytest.mark.parametrize("resource", declared(), ids=lambda each: f"{each.api}-{each.name}")
def test_a_declaration_is_specified(resource: Resource) -> None:
    paths = specified(resource.api)
    for operation, method in METHODS.items():
        if getattr(resource, operation) is not None:
            path = f"/{resource.name}" + ("" if operation in ("list", "create") else "/{id}")
            assert method in paths.get(path, {}), f"{method} {path}"
