"""`turnup staff` and `turnup approve` as an operator types them; brake, freeze and rotation by four eyes."""

import getpass
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from turnup.app.cli.main import app
from turnup.app.engine import attach_engine
from turnup.app.house import assemble
from turnup.app.migrations.runner import upgrade
from turnup.app.server import api_of
from turnup.kernel.access import ApprovalNeeded
from turnup.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound, Unauthenticated
from turnup.kernel.ids import new_id
from turnup.runtime.secrets import SecretBox
from turnup.runtime.settings import load_settings

ANNAS, BENS = "correct horse battery staple", "quite another set of words"
ME = f"cli:{getpass.getuser()}"


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("migrated", lambda url: upgrade(url) and None)


@pytest.fixture
def turnup(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`turnup(words…, typed=…)`: what it printed, as JSON where it is; its errors raise."""
    monkeypatch.setenv("TURNUP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TURNUP_DATABASE_URL", database_url)
    monkeypatch.setenv("TURNUP_DATABASE_POOL_SIZE", "5")

    def run(*words: str, typed: str = "") -> Any:
        result = CliRunner().invoke(app, list(words), input=f"{typed}\n", catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert not typed or typed not in result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    return run


@pytest.fixture
def two(turnup: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Two administrators, and everything dangerous needs both."""
    turnup("staff", "create", "anna", "--role", "administrator", typed=ANNAS)
    turnup("staff", "create", "ben", "--role", "network", "--role", "auditor", typed=BENS)
    monkeypatch.setenv("TURNUP_FOUR_EYES", '["all"]')
    return turnup


def audit(database_url: str, action: str) -> list[tuple[str, str]]:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT actor, component FROM runtime.audit WHERE action = :action ORDER BY audit_id"),
            {"action": action},
        )
        rows = [(row[0], row[1]) for row in found]
    engine.dispose()
    return rows


def test_the_first_administrator(turnup: Callable[..., Any], database_url: str) -> None:
    assert turnup("staff", "list", "--json") == []
    with pytest.raises(InvalidInput, match="at least 12"):
        turnup("staff", "create", "anna", "--role", "administrator", typed="short")
    assert turnup("staff", "list", "--json") == [], "nobody is let in by halves"
    turnup("staff", "create", "anna", "--role", "administrator", typed=ANNAS)
    [anna] = turnup("staff", "list", "--json")
    assert (anna["name"], anna["roles"], anna["has_password"]) == ("anna", ["administrator"], True)
    assert audit(database_url, "staff.granted") == [(ME, "access")]
    settings = load_settings()
    house = assemble(settings, attach_engine(settings), process="test")
    http = TestClient(api_of(house))
    answer = http.post("/turnup/v1/login", json={"name": "anna", "password": ANNAS})
    http.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    assert http.get("/turnup/v1/freezes").status_code == 200
    made = http.post("/turnup/v1/freezes", json={"scope": "all", "reason": "storm"}).json()
    assert made["frozenBy"] == "staff:anna", "a person who is logged in is a named one"
    lift = http.post(f"/turnup/v1/freezes/{made['id']}/lift", json={"reason": "over"})
    assert lift.json() == {"state": "lifted"}
    [session] = turnup("staff", "sessions", "anna", "--json")
    assert (session["way"], session["ended_at"]) == ("password", None)
    assert "1 sessions ended" in turnup("staff", "logout", "anna")
    house.close()


def test_roles_password_disable_unlock(turnup: Callable[..., Any]) -> None:
    assert "support" in turnup("staff", "roles", "--json")
    with pytest.raises(InvalidInput, match="OpenID identity"):
        turnup("staff", "create", "cleo", "--role", "support", "--no-password")
    turnup("staff", "create", "cleo", "--role", "support", "--no-password", "--oidc-identity", "sub-cleo")
    with pytest.raises(NotFound):
        turnup("staff", "roles-of", "nobody", "--role", "billing")
    turnup("staff", "roles-of", "cleo", "--role", "billing")
    turnup("staff", "password", "cleo", typed=BENS)
    turnup("staff", "unlock", "cleo")
    [cleo] = turnup("staff", "list", "--json")
    assert (cleo["roles"], cleo["oidc_identity"], cleo["has_password"]) == (["billing"], "sub-cleo", True)
    turnup("staff", "disable", "cleo")
    turnup("staff", "disable", "cleo")
    assert turnup("staff", "list", "--json")[0]["disabled_at"] is not None
    with pytest.raises(NotFound):
        turnup("token", "create", "t", "--scope", "*", "--owner", "nobody")
    with pytest.raises(NotFound):
        turnup("staff", "create", "dan", "--role", "billing", "--brand", "misspelt", typed=ANNAS)


def test_the_brake_is_released_by_two(two: Callable[..., Any], database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for n in range(2):
            connection.execute(
                text("""INSERT INTO provisioning.brake_hold
                          (hold_id, request, kind, cause, actor, what, services, facts, held_at, state)
                        VALUES (:id, :request, 'dunning', 'dunning 1', 'workflow:x', 'suspend',
                                CAST(:services AS jsonb), '{}', '2026-03-02 12:00Z', 'held')"""),
                {"id": new_id(), "request": f"order:{n}", "services": f'["{new_id()}"]'},
            )
    release = ("brake", "release", "--all", "--reason", "checked")
    with pytest.raises(ApprovalNeeded):
        two(*release)
    with pytest.raises(Unauthenticated):
        two(*release, "--as", "anna", typed=BENS)
    waits = two(*release, "--as", "anna", "--json", typed=ANNAS)["approval"]
    with engine.begin() as connection:  # comes between the two pairs of eyes, and was seen by neither
        connection.execute(
            text("""INSERT INTO provisioning.brake_hold
                      (hold_id, request, kind, cause, actor, what, services, facts, held_at, state)
                    VALUES (:id, 'order:late', 'dunning', 'dunning 1', 'workflow:x', 'suspend',
                            '[]', '{}', '2026-03-02 13:00Z', 'held')"""),
            {"id": new_id()},
        )
    engine.dispose()
    assert waits["what"].startswith("release 2 held changes: ")
    [listed] = two("approve", "list", "--json")
    assert (listed["id"], listed["askedBy"]) == (waits["id"], "anna")
    with pytest.raises(NotAllowed, match="herself"):
        two("approve", "yes", waits["id"], "--as", "anna", typed=ANNAS)
    assert "executed: release 2" in two("approve", "yes", waits["id"], "--as", "ben", typed=BENS)
    [late] = two("brake", "list", "--json")["holds"]
    assert late["cause"]["key"] == "order:late"
    decided = two("brake", "list", "--decided", "--json")["holds"]
    assert [hold["decided_by"] for hold in decided if hold["state"] == "released"] == ["staff:anna"] * 2
    assert audit(database_url, "approval.approved") == [("staff:ben", "access")]
    with pytest.raises(Conflict):
        two("approve", "yes", waits["id"], "--as", "ben", typed=BENS)


def test_a_freeze_of_all_is_lifted_by_two(two: Callable[..., Any]) -> None:
    frozen = two("freeze", "all", "--reason", "storm", "--json")["id"]
    lift = ("freeze", "lift", frozen, "--reason", "over", "--as", "anna")
    said = two(*lift, typed=ANNAS)
    assert "0 lifted" in said and "turnup approve yes" in said
    [waits] = two("approve", "list", "--json")
    refused = two("approve", "no", waits["id"], "--as", "ben", "--reason", "not yet", "--json", typed=BENS)
    assert (refused["state"], refused["reason"]) == ("refused", "not yet")
    assert len(two("freeze", "list", "--json")) == 1
    two(*lift, typed=ANNAS)
    [waits] = two("approve", "list", "--json")
    two("approve", "yes", waits["id"], "--as", "ben", typed=BENS)
    assert two("freeze", "list", "--json") == []
    assert len(two("approve", "list", "--decided", "--json")) == 2
    with pytest.raises(InvalidInput, match="no approval"):
        two("approve", "yes", "nonsense", "--as", "ben", typed=BENS)


def test_the_key_is_rotated_by_two(two: Callable[..., Any], tmp_path: Path) -> None:
    keys = SecretBox(tmp_path / "secret.key")
    keys.seal("something", "anywhere")
    before = keys.key_ids()
    waits = two("secrets", "rotate", "--as", "anna", "--json", typed=ANNAS)["approval"]
    assert SecretBox(tmp_path / "secret.key").key_ids() == before
    with pytest.raises(NotAllowed, match="scope"):
        two("approve", "yes", waits["id"], "--as", "ben", typed=BENS)  # reads operations only
    two("staff", "create", "cleo", "--role", "administrator", typed=BENS)
    done = two("approve", "yes", waits["id"], "--as", "cleo", "--json", typed=BENS)
    assert SecretBox(tmp_path / "secret.key").key_ids() == [*before, done["result"]["key"]]


def test_a_token_may_belong_to_somebody(turnup: Callable[..., Any], database_url: str) -> None:
    turnup("staff", "create", "anna", "--role", "billing", typed=ANNAS)
    assert turnup("token", "create", "hers", "--scope", "*", "--owner", "anna").startswith("tu_")
    [token] = turnup("token", "list", "--json")
    assert token["owner"] == "anna"
    turnup("token", "revoke", "hers")
    assert audit(database_url, "token.issued") == audit(database_url, "token.revoked") == [(ME, "access")]


def test_openid_by_the_settings(
    turnup: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = turnup("secrets", "seal", "oidc_client_secret", "--secret", "provider-hush").strip()
    sealed = said.removeprefix("oidc_client_secret: ")
    assert sealed.startswith("sealed:")
    given = {"OIDC_ISSUER": "http://127.0.0.1:1", "OIDC_CLIENT_ID": "turnup", "OIDC_CLIENT_SECRET": sealed,
             "PUBLIC_URL": "https://turnup.isp.example", "PASSWORD_LOGIN": "false"}  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(f"TURNUP_{name}", value)
    settings = load_settings()
    house = assemble(settings, attach_engine(settings), process="test")
    http = TestClient(api_of(house), raise_server_exceptions=False)
    assert http.get("/turnup/v1/login/oidc").status_code == 503, "that provider is silent"
    switched_off = http.post("/turnup/v1/login", json={"name": "anna", "password": ANNAS})
    assert "switched off" in switched_off.json()["message"]
    house.close()
    rotated = turnup("secrets", "rotate", "--json")
    assert rotated["oidc_client_secret"] not in (None, sealed)
    path = tmp_path / "secret.key"
    path.write_text(path.read_text().splitlines()[-1] + "\n")
    monkeypatch.setenv("TURNUP_OIDC_CLIENT_SECRET", rotated["oidc_client_secret"])
    settings = load_settings()
    house = assemble(settings, attach_engine(settings), process="test")
    assert TestClient(api_of(house)).get("/livez").status_code == 200, "it opens with the new key"
    house.close()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"oidc_issuer": "https://login.isp.example"}, "oidc_client_id"),
        ({"oidc_issuer": "https://login.isp.example", "oidc_client_id": "x"}, "public_url"),
        ({"password_login": False}, "password_login"),
    ],
)
def test_settings_by_which_nobody_could_log_in(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings(**given)
    assert caught.value.field == named
