"""`turnup audit`, its API and what doctor says of the chain, on an installation of its own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from fastapi.testclient import TestClient
from sqlalchemy import text
from typer.testing import CliRunner

from turnup.app import secrets
from turnup.app.cli.main import app
from turnup.app.doctor import Finding, examine
from turnup.app.engine import attach_engine
from turnup.app.house import House, assemble
from turnup.app.migrations.runner import upgrade
from turnup.app.server import api_of
from turnup.contracts.configuration import FreezeScope
from turnup.runtime.auth import issue_token
from turnup.runtime.settings import load_settings


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("migrated", lambda url: upgrade(url) and None)


@pytest.fixture
def house(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("TURNUP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TURNUP_DATABASE_URL", database_url)
    settings = load_settings()
    house = assemble(settings, attach_engine(settings), process="test")
    with house.runtime.unit("configuration", "staff:anna") as unit:
        freeze_id = house.configuration.freeze(unit, FreezeScope.ALL, None, "card swap")
    with house.runtime.unit("configuration", "token:shop") as unit:
        house.configuration.lift(unit, freeze_id, "done")
    yield house
    house.close()


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["audit", *words])


def tamper(house: House) -> None:
    with house.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE runtime.audit DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE runtime.audit SET actor = 'staff:eve' WHERE audit_id = 1"))


def findings() -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(load_settings(), {})}


def test_list_filters_by_who_what_subject_and_time(house: House) -> None:
    shown = json.loads(run("list", "--json").stdout)
    assert [(e["actor"], e["action"]) for e in shown] == [
        ("token:shop", "configuration.freeze_lifted"),
        ("staff:anna", "configuration.frozen"),
    ]
    for words, count in (
        (["--who", "staff:*"], 1),
        (["--what", "configuration.*", "--component", "configuration"], 2),
        (["--subject", shown[0]["subject"]], 2),
        (["--since", "2020-01-01", "--until", "2020-01-02"], 0),
        (["--limit", "1"], 1),
    ):
        assert len(json.loads(run("list", *words, "--json").stdout)) == count, words
    assert "staff:anna" in run("list").stdout


def test_verify_prints_an_anchor_that_it_takes_again(house: House, tmp_path: Path) -> None:
    done = run("verify")
    assert done.exit_code == 0, done.output
    anchor = done.stdout.strip().rpartition("head ")[2]
    kept = tmp_path / "anchors.txt"
    kept.write_text(f"{anchor}\n")
    assert json.loads(run("verify", "--anchor", str(kept), "--json").stdout)["ok"]
    assert run("verify", "--anchor", f"1:{'00' * 32}").exit_code == 1
    assert run("verify", "--anchor", f"7:{'00' * 32}").exit_code == 1
    assert run("verify", "--anchor", "nonsense").exit_code != 0
    secrets.rotate(house, "cli:anna")
    assert run("verify", "--anchor", anchor).exit_code == 0


def test_the_old_key_is_needed_until_a_rotation(house: House) -> None:
    run("verify")
    (old,) = secrets.key_uses(house)
    assert old.secrets == 1
    done = secrets.rotate(house, "cli:anna")
    assert {use.key: use.secrets for use in secrets.key_uses(house)} == {old.key: 0, done.key: 1}


def test_what_was_tampered_with_is_named_by_verify_and_doctor(house: House) -> None:
    run("verify")
    assert findings()["audit chain"].ok
    tamper(house)
    broken = run("verify", "--json")
    assert broken.exit_code == 1
    (breach,) = json.loads(broken.stdout)["broken"]
    assert (breach["breach"], breach["link"], breach["entry"]) == ("entry_changed", 1, 1)
    assert "entry_changed" in run("verify").stdout
    assert not findings()["audit chain"].ok


def test_doctor_sees_that_nobody_seals_and_nobody_purges(house: House) -> None:
    assert findings()["audit sealing"].ok
    assert findings()["purge"].ok
    with house.database.engine.begin() as connection:
        connection.execute(
            text("""INSERT INTO runtime.audit (at, component, actor, action, subject)
                    VALUES (now() - interval '1 hour', 'crm', 'x', 'y', 'z')""")
        )
        connection.execute(
            text("""INSERT INTO runtime.worker (worker_id, version, started_at, heartbeat_at)
                    VALUES ('w', 'v', now() - interval '4 days', now())""")
        )
    found = findings()
    assert (found["audit sealing"].ok, found["purge"].ok) == (False, False)
    house.purges.begin("test")
    house.purges.finish(house.purges.last()[0].id)
    assert findings()["purge"].ok


def test_the_api_asks_for_a_scope(house: House) -> None:
    def client(scope: str) -> TestClient:
        with house.database.engine.begin() as connection:
            token = issue_token(connection, scope, [scope], now=house.runtime.clock.now())
        return TestClient(api_of(house), headers={"Authorization": f"Bearer {token}"})

    auditor, stranger = client("audit:read"), client("crm:read")
    listed = auditor.get("/turnup/v1/audit", params={"actor": "staff:*"}).json()
    assert [entry["actor"] for entry in listed] == ["staff:anna"]
    run("verify")
    verified = auditor.get("/turnup/v1/audit/verification").json()
    again = auditor.get("/turnup/v1/audit/verification", params={"anchor": [verified["head"]]}).json()
    assert (verified["ok"], again["ok"]) == (True, True)
    assert auditor.get("/turnup/v1/audit/verification", params={"anchor": "x"}).status_code == 400
    for path in ("audit", "audit/verification"):
        assert stranger.get(f"/turnup/v1/{path}").status_code == 403
