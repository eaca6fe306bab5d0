"""Retention: what is due goes, in batches, counted; what is younger, open or needed stays."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from builders.direct_run import DirectRun
from builders.house import NOON
from privacy.conftest import Planted
from turnup.app.house import House
from turnup.app.privacy.purging import Purges, run_purge
from turnup.kernel.errors import Conflict
from turnup.runtime import personal, purges
from turnup.runtime.audit_chain import seal_all, verify
from turnup.runtime.component import Schema
from turnup.runtime.secrets import SecretBox

LATER = timedelta(days=11 * 366)


def run(house: House, *, now: datetime | None = None) -> dict[str, int]:
    """A purge as a worker carries it out; what it took away."""
    purge_id = house.purges.begin("cli:anna")
    started = (now or house.runtime.clock.now()).isoformat()
    run_purge(DirectRun(house.runtime), purge_id, started, purges=house.purges)  # type: ignore[arg-type]
    return dict(house.purges.last(1)[0].rows)


def test_nothing_is_due_on_the_first_day(planted: Planted) -> None:
    assert {due.what for due in planted.house.purges.due() if due.rows} <= {"billing.usage traffic"}
    planted.sql("UPDATE billing.usage SET started_at = now(), ended_at = now(), used_on = current_date")
    assert run(planted.house) == {}


def test_what_is_due_goes_and_the_dry_run_said_so(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    house = planted.house
    planted.leave()
    planted.sql("UPDATE reconciliation.finding SET repaired_at = now()")
    usage = planted.sql("SELECT sum(octets) FROM billing.usage").scalar()
    planted.sql("UPDATE runtime.event SET position = event_id WHERE position IS NULL")
    later = house.runtime.clock.now() + LATER
    _clock_at(monkeypatch, house, later)
    said = {due.what: due.rows for due in house.purges.due() if due.rows and not due.what.startswith("files")}
    taken = run(house, now=later)
    for what in said:
        assert taken[what] <= said[what] if "usage" in what else taken[what] >= said[what], what
    assert {
        "monitoring.session traffic", "crm.message messages", "mediation.quarantine imports",
        "reconciliation.finding operations", "billing.usage traffic", "runtime.event events",
        "dbos.workflow_status workflows",
    } <= set(taken)  # fmt: skip
    assert planted.sql("SELECT count(*) FROM monitoring.session").scalar() == 0
    assert planted.sql("SELECT sum(octets) FROM billing.usage").scalar() == usage
    assert planted.sql("SELECT count(*) FROM dbos.operation_outputs").scalar() == 0
    assert planted.sql("SELECT count(*) FROM billing.ledger_entry").scalar() > 0
    assert planted.sql("SELECT name FROM crm.party").scalar() != "(erased)"
    assert not any(due.rows for due in house.purges.due() if not due.what.startswith("files"))
    assert planted.sql("SELECT count(*) FROM runtime.audit WHERE action = 'privacy.purged'").scalar() == 1


def test_what_is_open_stays_however_old(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that goes on, a queued message, a finding nobody mended, an event nobody has consumed."""
    planted.sql("UPDATE crm.message SET state = 'queued', finished_at = NULL")
    planted.sql("UPDATE runtime.consumer SET position = 0")
    later = planted.house.runtime.clock.now() + LATER
    taken = run(planted.house, now=later)
    assert not {"monitoring.session traffic", "crm.message messages", "runtime.event events"} & set(taken)
    assert planted.sql("SELECT count(*) FROM reconciliation.finding").scalar() == 1


def test_the_newest_configuration_of_an_element_stays(planted: Planted) -> None:
    planted.sql(
        "INSERT INTO configuration.backup SELECT element_id, 2, taken_at, sha256, cause, text"
        " FROM configuration.backup"
    )
    run(planted.house, now=planted.house.runtime.clock.now() + LATER)
    assert planted.sql("SELECT revision FROM configuration.backup").scalars().all() == [2]


def test_faults_go_from_their_last_outage_back_to_the_alarm(planted: Planted) -> None:
    planted.sql(
        """WITH a AS (INSERT INTO monitoring.alarm VALUES (gen_random_uuid(), gen_random_uuid(), 'p', 'los',
             '2020-01-01', '2020-01-02', 1, NULL) RETURNING id),
           p AS (INSERT INTO monitoring.problem SELECT gen_random_uuid(), id, 'fibre', '2020-01-01',
             '2020-01-02' FROM a RETURNING id)
           INSERT INTO monitoring.outage SELECT :s, id, '2020-01-01', '2020-01-02' FROM p""",
        s=planted.service,
    )
    taken = run(planted.house)
    assert [taken[f"monitoring.{t} operations"] for t in ("outage", "problem", "alarm")] == [1, 1, 1]


def test_batches_are_counted_exactly_and_a_killed_purge_goes_on(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = planted.house
    monkeypatch.setattr(personal, "_ROWS_MAX", 10)
    planted.sql(
        "INSERT INTO mediation.quarantine (source, row, reason, since)"
        " SELECT 'old.csv', n, 'x', '2020-01-01' FROM generate_series(1, 95) n"
    )
    purge_id = house.purges.begin("cli:anna")
    started = house.runtime.clock.now().isoformat()
    batches = 0

    def dies(point: str) -> None:
        nonlocal batches
        batches += point == "purge.batch"
        if batches == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(purges.faultpoint, "reach", dies)
    with pytest.raises(KeyboardInterrupt):
        run_purge(DirectRun(house.runtime), purge_id, started, purges=house.purges)  # type: ignore[arg-type]
    left = planted.sql("SELECT count(*) FROM mediation.quarantine WHERE source = 'old.csv'").scalar()
    assert 0 < left < 95
    with pytest.raises(Conflict, match="under way"):
        house.purges.begin("cli:anna")
    run_purge(DirectRun(house.runtime), purge_id, started, purges=house.purges)  # type: ignore[arg-type]
    run_purge(DirectRun(house.runtime), purge_id, started, purges=house.purges)  # type: ignore[arg-type]
    (view,) = house.purges.last()
    assert view.rows["mediation.quarantine imports"] == 95
    assert view.finished_at is not None
    assert planted.sql("SELECT count(*) FROM mediation.quarantine WHERE source = 'old.csv'").scalar() == 0


def test_usage_condensed_twice_keeps_its_sum(planted: Planted) -> None:
    run(planted.house)
    planted.sql(
        "INSERT INTO billing.usage VALUES (:s, 'late', '2026-01-05 12:00Z', '2026-01-05 13:00Z',"
        " '2026-01-05', 8)",
        s=planted.service,
    )
    run(planted.house)
    assert [tuple(r) for r in planted.sql("SELECT key, octets FROM billing.usage")] == [
        ("day:2026-01-05", 50)
    ]


def test_the_audit_goes_by_whole_links_and_stays_verifiable(planted: Planted) -> None:
    house = planted.house
    box = SecretBox(house.settings.secret_key_path)
    before = planted.sql("SELECT count(*) FROM runtime.audit").scalar()
    seal_all(house.database.engine, box, house.runtime.clock.now())
    taken = run(house, now=house.runtime.clock.now() + LATER)
    assert taken["runtime.audit audit"] == before
    found = verify(house.database.engine, box)
    assert (found.ok, found.since_link) == (True, 2)


def test_old_mails_and_logs_go_and_present_ones_stay(planted: Planted) -> None:
    house = planted.house
    logs = house.settings.data_dir / "log"
    logs.mkdir()
    old, new = logs / "server.log.1", logs / "server.log"
    for path in (old, new):
        path.write_text("x")
    (mail,) = (house.settings.data_dir / "mail" / "new").glob("*")
    long_ago = (house.runtime.clock.now() - timedelta(days=800)).timestamp()
    os.utime(old, (long_ago, long_ago))
    os.utime(mail, (long_ago, long_ago))
    taken = run(house)
    assert (taken["files mail messages"], taken["files log logs"]) == (1, 1)
    assert (mail.exists(), old.exists(), new.exists()) == (False, False, True)


def test_kept_for_ever_and_days_of_ones_own(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    house = planted.house
    given = house.settings.model_copy(update={"retention_days": {"imports": 0, "messages": 1}})
    schemas = [Schema(name=s.name, metadata=s.metadata, privacy=s.privacy) for s in _schemas()]
    own = Purges(house.runtime, given, schemas, SecretBox(tmp_path / "secret.key"))
    assert (own.days["imports"], own.days["messages"], own.days["traffic"]) == (0, 1, 180)
    quarantine = next(due for due in own.due() if due.what == "mediation.quarantine imports")
    assert (quarantine.before, quarantine.rows) == (None, 0)


def test_the_standing_purge_begins_once_a_day(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.purges.begin_if_due()
    house.purges.begin_if_due()
    (first,) = house.purges.last()
    house.purges.finish(first.id)
    house.purges.begin_if_due()
    assert len(house.purges.last()) == 1
    _clock_at(monkeypatch, house, house.runtime.clock.now() + timedelta(days=1, minutes=1))
    house.purges.begin_if_due()
    assert len(house.purges.last()) == 2


def _schemas() -> list[Schema]:
    from turnup.app.house import schemas

    return schemas()


def _clock_at(monkeypatch: pytest.MonkeyPatch, house: House, at: datetime) -> None:
    assert at > NOON
    monkeypatch.setattr(type(house.runtime.clock), "now", lambda _: at)
