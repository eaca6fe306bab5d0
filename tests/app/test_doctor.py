"""The doctor names what is wrong, and says nothing is where nothing is."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, create_engine, text

from turnup.app.doctor import Finding, examine
from turnup.app.migrations.runner import head, upgrade
from turnup.kernel.ids import new_id
from turnup.runtime.embedded import ConnectionInfo
from turnup.runtime.secrets import SecretBox, seal_text
from turnup.runtime.settings import load_settings

CONNECTORS = Path(__file__).parents[2] / "examples" / "connectors"


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("migrated", lambda url: upgrade(url) and None)


@pytest.fixture
def sql(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def bad(tmp_path: Path, database_url: str) -> Callable[..., dict[str, Finding]]:
    """`bad(...)`: what is wrong with an installation on this database, with these settings, by check."""

    def found(environment: Any = None, **settings: Any) -> dict[str, Finding]:
        given = {"data_dir": tmp_path, "database_url": database_url, "database_pool_size": 10, **settings}
        findings = examine(load_settings(**given), environment or {})
        assert all(finding.remedy for finding in findings if not finding.ok)
        return {finding.check: finding for finding in findings if not finding.ok}

    return found


def alive(sql: Engine, version: str = "v1", silent: timedelta = timedelta(0)) -> None:
    with sql.begin() as connection:
        connection.execute(
            text("""INSERT INTO runtime.worker (worker_id, version, started_at, heartbeat_at)
                    VALUES (:id, :version, clock_timestamp(), clock_timestamp() - :silent)"""),
            {"id": str(new_id()), "version": version, "silent": silent},
        )


def test_a_sound_installation_has_nothing_wrong(bad: Any, sql: Engine) -> None:
    alive(sql)
    assert bad() == {}


def test_no_worker_and_workers_of_two_versions(bad: Any, sql: Engine) -> None:
    alive(sql, silent=timedelta(minutes=1))
    assert set(bad()) == {"workers"}
    alive(sql, "v1")
    alive(sql, "v2")
    assert set(bad()) == {"worker versions"}


def test_an_empty_or_outdated_database(bad: Any, sql: Engine) -> None:
    alive(sql)
    with sql.begin() as connection:
        connection.execute(text("UPDATE runtime.schema_revision SET version_num = '0000'"))
    assert bad()["schema"].detail == f"at revision 0000, not {head()}"
    with sql.begin() as connection:
        connection.execute(text("DROP SCHEMA runtime CASCADE"))
    assert bad()["schema"].remedy == "run `turnup migrate`"


def test_a_misspelt_variable_is_named_with_the_right_one(bad: Any, sql: Engine) -> None:
    alive(sql)
    found = bad({"TURNUP_HTTP_PROT": "80", "TURNUP_HTTP_PORT": "80", "PATH": "/bin"})
    assert found["settings"] == Finding(
        check="settings",
        ok=False,
        detail="TURNUP_HTTP_PROT means nothing",
        remedy="did you mean TURNUP_HTTP_PORT?",
    )


def test_an_open_key_file(bad: Any, sql: Engine, tmp_path: Path) -> None:
    alive(sql)
    key = tmp_path / "secret.key"
    key.write_text("x")
    key.chmod(0o644)
    assert bad()["secret key"].remedy == f"chmod 600 {key}"
    key.chmod(0o600)
    assert bad() == {}


def test_more_threads_and_connections_than_there_are(bad: Any, sql: Engine) -> None:
    alive(sql)
    assert set(bad(worker_concurrency=60)) == {"pool size"}
    assert set(bad(database_pool_size=500)) == {"connections"}


def test_what_waits_is_counted(bad: Any, sql: Engine) -> None:
    alive(sql)
    with sql.begin() as connection:
        connection.execute(text("UPDATE runtime.sequencer SET last_position = 5000"))
        connection.execute(text("INSERT INTO runtime.consumer VALUES ('crm', 10), ('billing', 5000)"))
        connection.execute(
            text("""INSERT INTO runtime.event (position, type, schema_version, aggregate_id,
                                               aggregate_version, payload, occurred_at, actor)
                    VALUES (7, 'x.Y', 1, :id, 1, '{}', clock_timestamp(), 'test')"""),
            {"id": new_id()},
        )
        connection.execute(
            text("INSERT INTO runtime.parked VALUES ('crm', :id, 7, 'no such account', clock_timestamp())"),
            {"id": new_id()},
        )
    found = bad()
    assert found["event lag"].detail == "crm is 4990 behind"
    assert found["parked events"].detail == "1 wait: crm x.Y: no such account"


def test_what_waits_for_a_person_is_shown(bad: Any, sql: Engine) -> None:
    alive(sql)
    with sql.begin() as connection:
        connection.execute(
            text("""INSERT INTO configuration.freeze (freeze_id, scope, reason, frozen_by, frozen_at)
                    VALUES (:id, 'all', 'storm', 'cli:anna', '2026-03-02 12:00Z')"""),
            {"id": new_id()},
        )
        connection.execute(
            text("""INSERT INTO provisioning.brake_hold
                      (hold_id, request, kind, cause, actor, what, services, facts, held_at, state)
                    VALUES (:id, 'order:1', 'dunning', 'dunning 1', 'workflow:x', 'suspend',
                            CAST(:services AS jsonb), '{}', '2026-03-02 12:00Z', 'held')"""),
            {"id": new_id(), "services": f'["{new_id()}"]'},
        )
    found = bad()
    assert set(found) == {"brake", "freezes"}
    assert found["brake"].detail == "1 automatic changes of 1 services wait since 2026-03-02 12:00"
    assert found["freezes"].detail == "1 in force, first by cli:anna at 2026-03-02 12:00: storm"


def test_connectors_that_fail_are_late_or_have_rows_that_wait(bad: Any, sql: Engine) -> None:
    alive(sql)
    document = yaml.safe_load((CONNECTORS / "customers.yaml").read_text())
    with sql.begin() as connection:
        for name in ("kunden", "post"):
            connection.execute(
                text("INSERT INTO mediation.connector VALUES (:name, 1, :document, now(), 'cli:anna')"),
                {"name": name, "document": json.dumps({**document, "name": name})},
            )
            connection.execute(
                text("""INSERT INTO mediation.connector_state (name, next_at, fact_position, file_number)
                        VALUES (:name, clock_timestamp(), 0, 0)"""),
                {"name": name},
            )
    assert bad() == {}
    with sql.begin() as connection:
        connection.execute(
            text("""UPDATE mediation.connector_state SET last_error = 'no such folder',
                    next_at = '2026-03-02 12:00Z' WHERE name = 'post'""")
        )
        for n, mode in enumerate(("live", "shadow")):
            connection.execute(
                text("""INSERT INTO mediation.taken_file
                          (file_id, connector, version, name, sha256, mode, state, rows_read, taken_at)
                        VALUES (:id, 'kunden', 1, 'a.csv', '', :mode, 'applied', 2, now())"""),
                {"id": f"00000000-0000-4000-8000-00000000000{n}", "mode": mode},
            )
        connection.execute(
            text("""INSERT INTO mediation.raw_row (file_id, n, state, changed_at)
                    SELECT file_id, n, 'quarantined', now()
                    FROM mediation.taken_file, generate_series(2, 3) n""")
        )
    found = bad()
    assert {check: finding.detail for check, finding in found.items()} == {
        "connectors": "post: no such folder",
        "connector schedules": "overdue: post since 2026-03-02 12:00",
        "connector quarantine": "2 rows of kunden wait",
    }


def test_a_stuck_workflow_is_named(bad: Any, sql: Engine) -> None:
    alive(sql)
    with sql.begin() as connection:
        connection.execute(
            text("""INSERT INTO dbos.workflow_status (workflow_uuid, status, name, created_at, updated_at)
                    VALUES ('order:1:1', 'PENDING', 'orders.fulfil', 0, 0)""")
        )
    assert "orders.fulfil order:1:1" in bad()["workflows"].detail


def test_a_database_that_does_not_let_us_in(bad: Any, postgres: ConnectionInfo) -> None:
    found = bad(database_url=postgres.url("no_such_database"))
    assert set(found) == {"database"}
    assert "no_such_database" in found["database"].detail


def test_embedded_postgres_that_never_ran(tmp_path: Path) -> None:
    findings = examine(load_settings(data_dir=tmp_path / "nowhere"), {})
    assert {finding.check for finding in findings if not finding.ok} == {"data directory", "database"}
    findings = examine(load_settings(data_dir=tmp_path), {})
    assert {f.check for f in findings if not f.ok} == {"embedded PostgreSQL", "database"}


def test_mail_is_tried_and_its_password_not_left_in_clear(bad: Any, sql: Engine, tmp_path: Path) -> None:
    alive(sql)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but not listening
        where = {"mail_host": "127.0.0.1", "mail_port": nobody.getsockname()[1]}
        assert bad(**where)["mail"].remedy.startswith("is 127.0.0.1:")
        login = {**where, "mail_username": "isp", "mail_password": "hush"}
        found = bad(**login)
        assert "hush" not in str(found)
        assert found["mail password"].remedy == (
            "replace it by what `turnup secrets seal mail_password` prints"
        )
        assert "mail password" not in bad({"TURNUP_MAIL_PASSWORD": "hush"}, **login)
        sealed = seal_text(SecretBox(tmp_path / "secret.key"), "hush", "mail_password")
        assert set(bad(**{**login, "mail_password": sealed})) == {"mail"}
        other = seal_text(SecretBox(tmp_path / "secret.key"), "hush", "element:1")
        assert "does not belong here" in bad(**{**login, "mail_password": other})["mail"].detail


def test_without_a_mail_server_the_doctor_says_where_messages_go(tmp_path: Path) -> None:
    findings = examine(load_settings(data_dir=tmp_path), {})
    (mail,) = [finding for finding in findings if finding.check == "mail"]
    assert (mail.ok, str(tmp_path / "mail") in mail.detail) == (True, True)


def hire(sql: Engine, name: str, role: str) -> None:
    with sql.begin() as connection:
        connection.execute(
            text("""INSERT INTO runtime.staff (name, roles, created_at)
                    VALUES (:name, CAST(:roles AS jsonb), clock_timestamp())"""),
            {"name": name, "roles": f'["{role}"]'},
        )


def test_who_may_come_in(bad: Any, sql: Engine, tmp_path: Path, database_url: str) -> None:
    alive(sql)
    shown = {f.check: f for f in examine(load_settings(data_dir=tmp_path, database_url=database_url), {})}
    assert (shown["staff"].ok, shown["staff"].remedy) == (
        True,
        "turnup staff create NAME --role administrator",
    )
    hire(sql, "cleo", "billing")
    assert bad()["staff"].detail == "nobody may let others in"
    hire(sql, "anna", "administrator")
    assert bad() == {}
    found = bad(four_eyes=["brake.release", "staff.grant"])["four eyes"]
    assert found.detail == "no second person for brake.release, staff.grant"
    hire(sql, "ben", "network")
    assert bad(four_eyes=["all"])["four eyes"].detail == (
        "no second person for privacy.erase, secrets.rotate, staff.grant"
    )
    hire(sql, "dora", "administrator")
    assert bad(four_eyes=["all"]) == {}
    assert "brake.relaese" in bad(four_eyes=["brake.relaese"])["access settings"].detail
    assert "no scope" in bad(staff_roles={"night": ["all"]})["access settings"].detail


def test_tokens_that_expired(bad: Any, sql: Engine) -> None:
    alive(sql)
    with sql.begin() as connection:
        connection.execute(
            text("""INSERT INTO runtime.api_token
                      (token_id, name, secret_hash, scopes, created_at, expires_at)
                    VALUES ('x', 'shop', 'x', '["*"]', '2026-01-01Z', '2026-02-01Z')""")
        )
    assert bad()["tokens"].remedy == "make a new one, then `turnup token revoke shop`"
    with sql.begin() as connection:
        connection.execute(text("UPDATE runtime.api_token SET revoked = true"))
    assert bad() == {}


def test_an_openid_secret_in_clear(bad: Any, sql: Engine) -> None:
    alive(sql)
    openid = {"oidc_issuer": "https://login.isp.example", "oidc_client_id": "turnup",
              "public_url": "https://turnup.isp.example", "oidc_client_secret": "hush"}  # fmt: skip
    found = bad(**openid)
    assert set(found) == {"OpenID client secret"}
    assert "hush" not in str(found)
