"""Rotation of the sealing key over a whole house: real credentials, real intents, a real services table."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from provisioning.conftest import REQUEST, RESERVATION
from turnup.app import secrets
from turnup.app.cli.main import app
from turnup.app.engine import attach_engine
from turnup.app.house import House, assemble
from turnup.app.migrations.runner import upgrade
from turnup.contracts.configuration import Credentials, Fragment
from turnup.contracts.provisioning import Cause, CauseKind
from turnup.kernel.ids import ElementId, derived_id
from turnup.runtime.secrets import SecretBox, SecretUnreadable, key_id_of, seal_text
from turnup.runtime.settings import load_settings

OLT, SERVICE = ElementId(derived_id("element", "access")), REQUEST.service_id


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("migrated", lambda url: upgrade(url) and None)


@pytest.fixture
def house(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """An element with credentials and a designed service whose secret is intended on that element."""
    sealed = seal_text(SecretBox(tmp_path / "secret.key"), "mail-hush", "mail_password")
    given = {"data_dir": str(tmp_path), "database_url": database_url, "mail_host": "127.0.0.1",
             "mail_username": "isp", "mail_password": sealed}  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(f"TURNUP_{name.upper()}", value)
    settings = load_settings()
    house = assemble(settings, attach_engine(settings), process="test")
    with house.runtime.unit("configuration", "test") as unit:
        house.configuration.set_credentials(unit, OLT, Credentials(username="turnup", password="hush"))
    with house.runtime.unit("provisioning", "test") as unit:
        house.provisioning.design(unit, REQUEST, RESERVATION, Cause(CauseKind.ASKED, "rotation test"))
    designed = house.provisioning.designed(SERVICE)
    assert designed is not None
    attributes = {"username": designed.login, "secret": designed.secret_sealed}
    with house.runtime.unit("configuration", "test") as unit:
        fragment = Fragment(service_id=SERVICE, kind="aaa", attributes=attributes, generation=1)
        assert house.configuration.intend(unit, OLT, fragment)
    yield house
    house.close()


def keys_in_use(house: House) -> dict[str, int]:
    return {use.key: use.secrets for use in secrets.key_uses(house)}


def secret_on(house: House) -> str:
    """What the network would be told, opened."""
    intent = house.configuration.intents(OLT, None)[SERVICE]
    assert intent.fragment is not None
    return intent.fragment.attributes["secret"]


def test_everything_opens_after_the_old_key_is_taken_out(house: House) -> None:
    path = house.settings.secret_key_path
    (old,) = SecretBox(path).key_ids()
    assert keys_in_use(house) == {old: 4}  # credentials, service, intent, mail password
    before = secret_on(house)
    done = secrets.rotate(house, "cli:anna")
    assert (done.key != old, done.resealed) == (True, 3)
    assert keys_in_use(house) == {old: 1, done.key: 3}
    assert key_id_of(done.mail_password or "") == done.key
    path.write_text(path.read_text().splitlines()[-1] + "\n")
    assert house.configuration.credentials(OLT).password == "hush"
    assert secret_on(house) == before
    with house.database.engine.connect() as connection:
        audited = connection.execute(
            text("SELECT component, after FROM runtime.audit WHERE action LIKE '%resealed' ORDER BY 1")
        ).all()
    assert [tuple(row) for row in audited] == [("configuration", 2), ("provisioning", 1)]


def test_a_rotation_that_was_broken_off_is_finished_without_another_key(house: House) -> None:
    key = SecretBox(house.settings.secret_key_path).add_key()  # and then the power failed
    assert secrets.rotate(house, "cli:anna", new_key=False).resealed == 3
    assert secrets.rotate(house, "cli:anna", new_key=False).resealed == 0
    assert keys_in_use(house)[key] == 3


def test_a_secret_that_does_not_open_stops_it_and_changes_nothing(house: House) -> None:
    elsewhere = seal_text(SecretBox(house.settings.secret_key_path), "x", "elsewhere")
    with house.database.engine.begin() as connection:
        connection.execute(
            text("UPDATE provisioning.service SET secret_sealed = :other"), {"other": elsewhere}
        )
    before = keys_in_use(house)
    with pytest.raises(SecretUnreadable):
        secrets.rotate(house, "cli:anna")
    assert [count for count in keys_in_use(house).values() if count] == list(before.values())


def test_the_commands(house: House) -> None:
    run = CliRunner()
    rotated = json.loads(run.invoke(app, ["secrets", "rotate", "--json"]).stdout)
    shown = json.loads(run.invoke(app, ["secrets", "keys", "--json"]).stdout)
    assert [(use["key"], use["secrets"], use["seals"]) for use in shown][-1] == (rotated["key"], 3, True)
    sealed = run.invoke(app, ["secrets", "seal", "mail_password", "--secret", "new"]).stdout.strip()
    assert sealed.startswith("mail_password: sealed:")
    assert key_id_of(sealed.removeprefix("mail_password: ")) == rotated["key"]
    assert run.invoke(app, ["secrets", "seal", "http_port", "--secret", "x"]).exit_code != 0
