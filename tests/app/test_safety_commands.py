"""`turnup freeze` and `turnup brake` as an operator types them, on an installation of its own."""

import getpass
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from turnup.app.cli.main import app
from turnup.app.migrations.runner import upgrade
from turnup.kernel.errors import InvalidInput, NotFound
from turnup.kernel.ids import new_id

ME = f"cli:{getpass.getuser()}"


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("migrated", lambda url: upgrade(url) and None)


@pytest.fixture
def turnup(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`turnup(words…)`: what it printed, as JSON where it is; its errors raise."""
    monkeypatch.setenv("TURNUP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TURNUP_DATABASE_URL", database_url)
    monkeypatch.setenv("TURNUP_DATABASE_POOL_SIZE", "5")

    def run(*words: str) -> Any:
        result = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    return run


def test_freeze_list_lift(turnup: Callable[..., Any]) -> None:
    made = turnup("freeze", "all", "--reason", "storm", "--json")
    assert made["stillWriting"] == []
    [view] = turnup("freeze", "list", "--json")
    assert (view["id"], view["scope"], view["frozen_by"], view["reason"]) == (made["id"], "all", ME, "storm")
    with pytest.raises(NotFound):
        turnup("freeze", "element", "olt9", "--reason", "x")
    with pytest.raises(InvalidInput, match="no freeze"):
        turnup("freeze", "lift", "nonsense", "--reason", "over")
    with pytest.raises(InvalidInput, match="reason"):
        turnup("freeze", "lift", made["id"])
    assert "1 lifted" in turnup("freeze", "lift", made["id"], "--reason", "over")
    assert turnup("freeze", "list", "--json") == []
    [former] = turnup("freeze", "list", "--lifted", "--json")
    assert (former["lifted_by"], former["lift_reason"]) == (ME, "over")


def test_brake_list_release_refuse(turnup: Callable[..., Any], database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for n in range(3):
            connection.execute(
                text("""INSERT INTO provisioning.brake_hold
                          (hold_id, request, kind, cause, actor, what, services, facts, held_at, state)
                        VALUES (:id, :request, 'dunning', 'dunning 1', 'workflow:x', 'suspend',
                                CAST(:services AS jsonb), '{}', '2026-03-02 12:00Z', 'held')"""),
                {"id": new_id(), "request": f"order:{n}", "services": f'["{new_id()}"]'},
            )
    engine.dispose()
    listed = turnup("brake", "list", "--json")
    assert (listed["brake"]["limit"], listed["brake"]["waiting"]) == (25, 3)
    numbers = [str(hold["n"]) for hold in listed["holds"]]
    with pytest.raises(InvalidInput, match="nothing chosen"):
        turnup("brake", "release", "--reason", "x")
    with pytest.raises(NotFound):
        turnup("brake", "release", "99", "--reason", "x")
    assert turnup("brake", "release", numbers[0], "--reason", "checked", "--json") == {"released": 1}
    assert turnup("brake", "refuse", "--all", "--reason", "wrong policy", "--json") == {"refused": 2}
    assert turnup("brake", "list", "--json")["holds"] == []
    decided = turnup("brake", "list", "--decided", "--json")["holds"]
    assert [(hold["state"], hold["decided_by"]) for hold in decided] == [
        ("released", ME),
        ("refused", ME),
        ("refused", ME),
    ]
