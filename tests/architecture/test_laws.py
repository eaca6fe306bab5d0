"""The laws of the house hold, and their checks can fail: each is shown a violation and must name it."""

import ast
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table

import turnup

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src" / "turnup"

# A small house in which every kind of file exists and obeys; imports as the real ones have them.
SKELETON = {
    "kernel/money.py": "from decimal import Decimal",
    "contracts/crm.py": "from turnup.kernel import money",
    "contracts/orders.py": "from turnup.kernel import money",
    "runtime/durable.py": "import dbos",
    "runtime/database.py": "import sqlalchemy\nimport psycopg",
    "bss/crm/model.py": "from turnup.kernel import money",
    "bss/crm/tables.py": "import sqlalchemy",
    "bss/crm/store.py": "import sqlalchemy\nfrom turnup.bss.crm import tables, model",
    "bss/crm/rules.py": "from turnup.bss.crm import model",
    "bss/crm/service.py": "from turnup.bss.crm import rules, store\nfrom turnup.contracts import orders",
    "bss/crm/component.py": "from turnup.bss.crm import service, store",
    "bss/billing/model.py": "",
    "bss/billing/rules.py": "from turnup.bss.billing import model",
    "bss/billing/frames.py": "import polars\nfrom turnup.bss.billing import rules",
    "bss/billing/store.py": "import polars\nimport sqlalchemy",
    "bss/billing/service.py": "from turnup.bss.billing import frames, store",
    "oss/inventory/service.py": "from turnup.contracts import crm",
    "oss/inventory/routes.py": "import fastapi\nfrom turnup.oss.inventory import service",
    "oss/inventory/handlers.py": "from turnup.oss.inventory import service",
    "oss/inventory/workflows.py": "from turnup.oss.inventory import service",
    "integration/mediation/service/mediation.py": "from turnup.runtime import database",
    "gateways/ssh.py": "import asyncssh",
    "gateways/radius/driver.py": "import psycopg\nimport httpx\nfrom turnup.contracts import orders",
    "gateways/radius/service.py": "import psycopg\nimport httpx\nimport fastapi",
    "console/pages.py": "import fastapi\nfrom turnup.contracts import crm",
    "lab/device.py": "import asyncssh\nimport psycopg",
    "app/assembly.py": "from turnup.bss.crm import component\nfrom turnup.lab import device",
}

# file, the import planted into it, the contract that must break
VIOLATIONS = [
    ("bss/crm/service.py", "from turnup.bss.billing import model", "components never import each other"),
    ("bss/crm/model.py", "from turnup.oss.inventory import service", "components never import each other"),
    ("bss/crm/rules.py", "def f():\n    from turnup.bss.billing import model", "components never import"),
    (
        "bss/crm/service.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from turnup.bss.billing import model",
        "components never import each other",
    ),
    ("runtime/database.py", "from turnup.bss.crm import model", "the house has floors"),
    ("kernel/money.py", "from turnup.contracts import crm", "the house has floors"),
    ("helpers.py", "", "the house has floors"),
    ("gateways/radius/driver.py", "from turnup.bss.crm import model", "gateways, console and portal know"),
    ("console/pages.py", "from turnup.oss.inventory import service", "gateways, console and portal know"),
    ("lab/device.py", "from turnup.kernel import money", "the house has floors"),
    ("bss/crm/service.py", "from turnup.lab import device", "only the assembly knows the lab"),
    ("bss/crm/store.py", "from turnup.bss.crm import service", "inside a component"),
    ("bss/crm/rules.py", "from turnup.bss.crm import store", "inside a component"),
    ("bss/billing/rules.py", "from turnup.bss.billing import frames", "inside a component"),
    ("oss/inventory/routes.py", "from turnup.oss.inventory import handlers", "inside a component"),
    ("bss/crm/manager.py", "", "inside a component"),
    ("bss/crm/handlers.py", "from turnup.bss.crm import store", "a store is known to its service"),
    ("kernel/money.py", "import pydantic", "know no framework"),
    ("contracts/crm.py", "import sqlalchemy", "know no framework"),
    ("bss/crm/rules.py", "import random", "know no framework"),
    ("bss/crm/model.py", "from turnup.runtime import database", "know no framework"),
    ("bss/billing/frames.py", "from turnup.bss.billing import store", "know no framework"),
    ("bss/crm/service.py", "from sqlalchemy import select", "SQL only in"),
    ("console/pages.py", "import sqlalchemy", "SQL only in"),
    ("gateways/radius/driver.py", "import sqlalchemy", "SQL only in"),
    ("oss/inventory/workflows.py", "import psycopg", "psycopg only in"),
    ("bss/crm/rules.py", "import polars", "Polars only in"),
    ("runtime/database.py", "import polars", "Polars only in"),
    ("oss/inventory/workflows.py", "import dbos", "DBOS only behind"),
    ("runtime/database.py", "import dbos", "DBOS only behind"),
    ("bss/crm/service.py", "import fastapi", "HTTP frameworks at the edge"),
    ("bss/crm/store.py", "import httpx", "HTTP frameworks at the edge"),
    (
        "contracts/crm.py",
        "from turnup.contracts import orders\n#also contracts/orders.py: from turnup.contracts import crm",
        "No import cycles",
    ),
]


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("house")
    for name, content in SKELETON.items():
        _write(root / "turnup" / name, content)
    return root


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content + "\n")
    for folder in path.parents:
        (folder / "__init__.py").touch()
        if folder.name == "turnup":
            return


def _lint(root: Path) -> tuple[int, str]:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--no-cache",
            "--config",
            REPOSITORY / ".importlinter",
        ],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "COLUMNS": "300"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _broken(output: str) -> list[str]:
    return re.findall(r"^(.+) BROKEN\b", output, flags=re.MULTILINE)


def test_the_house_keeps_its_laws() -> None:
    status, output = _lint(SOURCE.parent)
    assert status == 0, output


def test_the_skeleton_keeps_the_laws(skeleton: Path) -> None:
    status, output = _lint(skeleton)
    assert status == 0, output


@pytest.mark.parametrize(("file", "planted", "law"), VIOLATIONS)
def test_a_planted_violation_is_found(
    skeleton: Path, tmp_path: Path, file: str, planted: str, law: str
) -> None:
    shutil.copytree(skeleton, tmp_path, dirs_exist_ok=True)
    content, _, second = planted.partition("#also ")
    _write(tmp_path / "turnup" / file, f"{SKELETON.get(file, '')}\n{content}")
    if second:
        other, _, statement = second.partition(": ")
        _write(tmp_path / "turnup" / other, f"{SKELETON[other]}\n{statement}")
    status, output = _lint(tmp_path)
    assert status == 1, output
    assert any(law in broken for broken in _broken(output)), output


# Law 2 is about names, not modules: who may hold a contract's Commands.
COMMANDERS = re.compile(
    r"contracts/|console/|portal/|gateways/|app/|"
    r"(bss/orders|oss/provisioning|integration/mediation|integration/reconciliation)/(workflows|component)"
)


def _foreign_commands(file: str, source: str) -> list[str]:
    """The Commands of other components that this file mentions without leave, in whichever spelling."""
    if COMMANDERS.match(file):
        return []
    own = file.split("/")[1] if file.count("/") > 1 else ""
    contracts: dict[str, str] = {}  # local name -> component
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "turnup.contracts":
            contracts |= {name.asname or name.name: name.name for name in node.names}
        elif isinstance(node, ast.Import):
            contracts |= {
                name.asname or name.name: name.name.rpartition(".")[2]
                for name in node.names
                if name.name.startswith("turnup.contracts.")
            }
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("turnup.contracts."):
            component = (node.module or "").split(".")[2]
            found += [component for name in node.names if name.name == "Commands"]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "Commands":
            component = contracts.get(ast.unparse(node.value))
            found += [component] if component else []
    return [f"{file}: Commands of {component}" for component in found if component != own]


def test_commands_are_held_only_where_law_2_allows() -> None:
    found = [
        wrong
        for path in sorted(SOURCE.rglob("*.py"))
        for wrong in _foreign_commands(path.relative_to(SOURCE).as_posix(), path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "from turnup.contracts.billing import Commands, Reads",
        "from turnup.contracts import billing\ndef f(to: billing.Commands) -> None: ...",
        "from turnup.contracts import billing as money\ndef f(to: money.Commands) -> None: ...",
        "import turnup.contracts.billing\ndef f(to: turnup.contracts.billing.Commands) -> None: ...",
    ],
)
def test_foreign_commands_are_found(source: str) -> None:
    assert _foreign_commands("oss/monitoring/service.py", source) == [
        "oss/monitoring/service.py: Commands of billing"
    ]
    assert _foreign_commands("bss/billing/service.py", source) == []
    assert _foreign_commands("bss/orders/workflows.py", source) == []
    assert _foreign_commands("bss/orders/service.py", source) != []
    assert _foreign_commands("oss/monitoring/service.py", source.replace("Commands", "Reads")) == []


def _table_modules() -> Iterator[str]:
    """Every `turnup.<floor>.<component>.tables` (module or package) and `turnup.runtime.tables`."""
    if find_spec("turnup.runtime.tables"):
        yield "turnup.runtime.tables"
    for floor in ("bss", "oss", "integration"):
        if find_spec(f"turnup.{floor}") is None:
            continue
        package = importlib.import_module(f"turnup.{floor}")
        for component in pkgutil.iter_modules(package.__path__):
            name = f"turnup.{floor}.{component.name}.tables"
            if find_spec(name) is not None:
                yield name
                path = getattr(importlib.import_module(name), "__path__", [])
                yield from (f"{name}.{part.name}" for part in pkgutil.iter_modules(path))


def _metadata_of(module_name: str) -> list[MetaData]:
    module = importlib.import_module(module_name)
    found = [value for value in vars(module).values() if isinstance(value, MetaData)]
    found += [value.metadata for value in vars(module).values() if isinstance(value, Table)]
    return list({id(metadata): metadata for metadata in found}.values())


def _strays(metadata: MetaData) -> list[str]:
    """Tables outside any schema, and foreign keys that leave their own."""
    found = [f"{table} has no schema" for table in metadata.tables.values() if table.schema is None]
    for table in metadata.tables.values():
        for key in table.foreign_keys:
            # by its text: a target in another component's metadata could not be resolved
            schema = key.target_fullname.rpartition(".")[0].rpartition(".")[0] or None
            if schema != table.schema:
                found.append(f"{table} points into {key.target_fullname}")
    return found


def test_no_foreign_key_crosses_a_schema() -> None:
    modules = list(_table_modules())
    assert "turnup.runtime.tables" in modules
    strays = [stray for name in modules for metadata in _metadata_of(name) for stray in _strays(metadata)]
    assert strays == []


def test_each_schema_belongs_to_one_component() -> None:
    owners: dict[str | None, set[str]] = {}
    for name in _table_modules():
        for metadata in _metadata_of(name):
            for table in metadata.tables.values():
                owners.setdefault(table.schema, set()).add(".".join(name.split(".")[:3]))
    shared = {schema: sorted(names) for schema, names in owners.items() if len(names) > 1}
    assert shared == {}


def test_a_crossing_foreign_key_is_found() -> None:
    metadata = MetaData()
    Table("account", metadata, Column("id", Integer, primary_key=True), schema="billing")
    Table("line", metadata, Column("account", ForeignKey("billing.account.id")), schema="billing")
    assert _strays(metadata) == []
    Table("order", metadata, Column("account", ForeignKey("billing.account.id")), schema="orders")
    Table("loose", metadata, Column("id", Integer))
    assert _strays(metadata) == ["loose has no schema", "orders.order points into billing.account.id"]


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path.relative_to(SOURCE).as_posix()
        for path in sorted(Path(turnup.__path__[0]).rglob("*.py"))
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []


def test_no_module_is_called_by_what_it_is_not() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base"}
    assert [path.name for path in SOURCE.rglob("*.py") if path.stem in vague] == []
