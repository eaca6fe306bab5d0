"""`turnup connector` as an operator types it, and the same by HTTP."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from builders.house import client_of
from builders.sftp_server import PASSWORD, USER, SftpPeer, sftp_server
from turnup.app.cli.main import app
from turnup.app.engine import Engine
from turnup.app.house import House, assemble
from turnup.app.migrations.runner import upgrade
from turnup.runtime.settings import Settings

ROWS = "id,name,kind\n1,Jane,individual\n2,,individual\n"


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("migrated", lambda url: upgrade(url) and None)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[SftpPeer]:
    (tmp_path / "sftp" / "in").mkdir(parents=True)
    with sftp_server(tmp_path / "sftp") as running:
        yield running


@pytest.fixture
def turnup(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`turnup(code, words…)`: what it printed, as JSON where it is, if it ended with that code."""
    monkeypatch.setenv("TURNUP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TURNUP_DATABASE_URL", database_url)
    monkeypatch.setenv("TURNUP_DATABASE_POOL_SIZE", "5")

    def run(code: int, *words: str, given: str | None = None) -> Any:
        result = CliRunner().invoke(app, ["connector", *words], input=given, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    return run


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    settings = Settings(data_dir=tmp_path / "data", database_pool_size=5, database_url=database_url)
    made = assemble(settings, Engine(database_url, database_url, embedded=False), process="test")
    yield made
    made.close()


def document(peer: SftpPeer) -> dict[str, Any]:
    return {
        "name": "crm-in",
        "kind": "customers",
        "mode": "live",
        "sftp": {"host": "127.0.0.1", "port": peer.port, "host_key": peer.host_key, "username": USER},
        "folder": "/in",
        "pattern": "*.csv",
        "schedule": {"every_seconds": 60},
        "ready": {"by": "rename"},
        "columns": [{"to": to, "from": of} for to, of in (("external_id", "id"), ("name", "name"))],
    }


def test_a_day_with_a_connector(turnup: Callable[..., Any], peer: SftpPeer, tmp_path: Path) -> None:
    file = tmp_path / "crm-in.yaml"
    file.write_text(yaml.safe_dump(document(peer)))
    assert turnup(0, "import", str(file), "--json") == {"name": "crm-in", "version": 1, "changed": True}
    assert turnup(0, "import", str(file), "--json")["changed"] is False
    turnup(0, "credentials", "crm-in", given=PASSWORD + "\n")
    [listed] = turnup(0, "list", "--json")
    assert (listed["credentials_set"], PASSWORD in json.dumps(listed)) == (True, False)
    local = tmp_path / "a.csv"
    local.write_text(ROWS)
    tested = turnup(1, "test", "crm-in", str(local), "--json")
    assert (tested["read"], tested["applied"], len(tested["quarantined"])) == (2, 1, 1)
    peer.write("in/a.csv", ROWS)
    [taken] = turnup(1, "run", "crm-in", "--json")["files"]
    assert (taken["counts"]["read"], taken["counts"]["applied"], taken["counts"]["quarantined"]) == (2, 1, 1)
    [row] = turnup(0, "quarantine", "list", "--json")
    assert (row["field"], row["raw"]) == ("name", {"id": "2", "name": "", "kind": "individual"})
    replayed = turnup(0, "quarantine", "replay", str(row["id"]), "--set", "name=Joe", "--json")
    assert replayed[str(row["id"])]["state"] == "applied"
    assert "a.csv" in turnup(0, "show", "crm-in") and "a.csv" in turnup(0, "files", "crm-in")


def test_the_same_by_http(house: House, peer: SftpPeer) -> None:
    client = client_of(house.runtime, house.components)
    base = "/turnup/v1/connectors"
    assert client.put(base, json={**document(peer), "mode": "maybe"}).status_code == 400
    assert client.put(base, json=document(peer)).json()["version"] == 1
    assert client.put(f"{base}/crm-in/credentials", json={"password": PASSWORD}).status_code == 200
    assert [each["name"] for each in client.get(base).json()] == ["crm-in"]
    assert client.get(f"{base}/crm-in").json()["document"]["folder"] == "/in"
    peer.write("in/a.csv", ROWS)
    [taken] = client.post(f"{base}/crm-in/run").json()["files"]
    assert (taken["read"], taken["applied"], taken["quarantined"]) == (2, 1, 1)
    assert client.get(f"{base}/files/{taken['id']}/differences").json() == [{"row": 2, "fields": "new"}]
    [row] = client.get(f"{base}/quarantine").json()
    answer = client.post(f"{base}/quarantine/{row['id']}/replay", json={})
    assert answer.json()["state"] == "quarantined"
    assert client.post(f"{base}/quarantine/{row['id']}/discard", json={"reason": ""}).status_code == 400
    assert client.post(f"{base}/quarantine/{row['id']}/discard", json={"reason": "test"}).status_code == 200
    assert client.get(f"{base}/crm-in/files").json()["taken"][0]["discarded"] == 1
    assert client.get(f"{base}/crm-in/files/1").status_code == 404
    assert client.post(f"{base}/nobody/run").status_code == 404
    reader = client_of(house.runtime, house.components, scopes=["connectors:read"])
    assert reader.get(base).status_code == 200
    assert reader.get(f"{base}/quarantine").status_code == 403
    assert reader.post(f"{base}/crm-in/run").status_code == 403


def test_the_report_of_a_takeover_and_its_file(
    turnup: Callable[..., Any], tmp_path: Path, peer: SftpPeer
) -> None:
    file = tmp_path / "report.csv"
    done = CliRunner().invoke(app, ["import", "report", "--csv", str(file), "--json"], catch_exceptions=False)
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])
    assert file.read_text().startswith("external_id,service,")
