"""Sealing on a real database: concurrent units, kills, tampering by the owner, retention, rotation."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError

from builders.house import lay_out
from turnup.kernel.audit_chain import Anchor, Breach, parse_anchors
from turnup.kernel.errors import TurnupError
from turnup.runtime import audit_chain
from turnup.runtime.audit import AuditEntry, Wanted, entries, write_audit
from turnup.runtime.secrets import SecretBox

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("runtime_alone", lambda url: lay_out(url, []))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def box(tmp_path: Path) -> SecretBox:
    return SecretBox(tmp_path / "secret.key")


def write(engine: Engine, *subjects: str, at: datetime = NOON) -> None:
    with engine.begin() as connection:
        found = [
            AuditEntry(action="test.changed", subject=s, before={"n": 1.5}, after=None) for s in subjects
        ]
        write_audit(connection, found, at=at, component="crm", actor="staff:anna")


def as_owner(engine: Engine, statement: str) -> None:
    """What the database's owner can do: drop the guards first."""
    with engine.begin() as connection:
        for table in ("audit", "audit_link", "audit_checkpoint"):
            connection.execute(text(f"ALTER TABLE runtime.{table} DISABLE TRIGGER USER"))
        connection.execute(text(statement))


def breaches(engine: Engine, box: SecretBox, *anchors: Anchor) -> list[tuple[Breach, int, int | None]]:
    return [(b.breach, b.link, b.entry) for b in audit_chain.verify(engine, box, anchors).broken]


def test_what_commits_late_gets_into_a_later_link(engine: Engine, box: SecretBox) -> None:
    with engine.connect() as slow:
        write_audit(
            slow,
            [AuditEntry(action="a", subject="late", before=None, after=None)],
            at=NOON,
            component="crm",
            actor="x",
        )
        write(engine, "early")
        assert audit_chain.seal_all(engine, box, NOON) == 1
        slow.commit()
    assert audit_chain.seal_all(engine, box, NOON) == 1
    with engine.connect() as connection:
        sealed = {e.subject: (e.id, e.link) for e in entries(connection, Wanted(), 10)}
    assert sealed == {"late": (1, 2), "early": (2, 1)}
    found = audit_chain.verify(engine, box)
    assert (found.ok, found.links, found.entries, found.unsealed) == (True, 2, 2, 0)


def test_writers_and_sealers_at_once_seal_everything_once(engine: Engine, box: SecretBox) -> None:
    def work(n: int) -> None:
        for i in range(20):
            write(engine, f"{n}.{i}", at=NOON)
            audit_chain.seal_all(engine, box, NOON)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    audit_chain.seal_all(engine, box, NOON)
    found = audit_chain.verify(engine, box)
    assert (found.ok, found.entries, found.unsealed) == (True, 80, 0)
    assert audit_chain.seal_all(engine, box, NOON) == 0


def test_a_sealing_that_is_rolled_back_leaves_nothing(engine: Engine, box: SecretBox) -> None:
    write(engine, "one")
    with engine.connect() as connection:
        assert audit_chain.seal(connection, box, NOON) is not None
    found = audit_chain.verify(engine, box)
    assert (found.links, found.unsealed) == (0, 1)
    assert audit_chain.seal_all(engine, box, NOON) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runtime.audit SET actor = 'x'",
        "UPDATE runtime.audit SET link = NULL",
        "DELETE FROM runtime.audit",
        "TRUNCATE runtime.audit",
        "DELETE FROM runtime.audit_link",
        "UPDATE runtime.audit_link SET hash = ''",
        "TRUNCATE runtime.audit_checkpoint",
    ],
)
def test_the_guards_refuse_slips(engine: Engine, box: SecretBox, statement: str) -> None:
    write(engine, "one")
    audit_chain.seal_all(engine, box, NOON)
    with pytest.raises(ProgrammingError, match="insert-only"), engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "breach"),
    [
        ("UPDATE runtime.audit SET actor = 'staff:eve' WHERE audit_id = 2", (Breach.ENTRY_CHANGED, 2, 2)),
        ("UPDATE runtime.audit SET before = '2' WHERE audit_id = 2", (Breach.ENTRY_CHANGED, 2, 2)),
        ("DELETE FROM runtime.audit WHERE audit_id = 2", (Breach.ENTRY_MISSING, 2, 2)),
        (
            "INSERT INTO runtime.audit (at, component, actor, action, subject, link)"
            " VALUES ('2026-03-02', 'crm', 'x', 'y', 'z', 2)",
            (Breach.ENTRY_INSERTED, 2, 4),
        ),
        ("DELETE FROM runtime.audit_link WHERE n = 2", (Breach.LINK_MISSING, 2, None)),
        ("DELETE FROM runtime.audit_link WHERE n = 3", (Breach.ENTRY_INSERTED, 3, 3)),
        ("UPDATE runtime.audit_link SET mac = hash WHERE n = 3", (Breach.LINK_FORGED, 3, None)),
        ("UPDATE runtime.audit_link SET digests = 'x' WHERE n = 1", (Breach.LINK_CHANGED, 1, None)),
    ],
)
def test_the_owner_of_the_database_is_found_out(
    engine: Engine, box: SecretBox, statement: str, breach: tuple[Breach, int, int | None]
) -> None:
    for subject in ("one", "two", "three"):
        write(engine, subject)
        audit_chain.seal_all(engine, box, NOON)
    as_owner(engine, statement)
    assert breach in breaches(engine, box)


def test_an_anchor_knows_what_was_cut_off(engine: Engine, box: SecretBox) -> None:
    for subject in ("one", "two"):
        write(engine, subject)
        audit_chain.seal_all(engine, box, NOON)
    (anchor,) = parse_anchors(audit_chain.verify(engine, box).head)
    as_owner(engine, "DELETE FROM runtime.audit_link WHERE n = 2; DELETE FROM runtime.audit WHERE link = 2")
    assert breaches(engine, box) == []
    assert breaches(engine, box, anchor) == [(Breach.LINK_MISSING, 2, None)]


def test_retention_takes_whole_links_and_the_chain_stays_whole(engine: Engine, box: SecretBox) -> None:
    for day in range(4):
        write(engine, f"{day}a", f"{day}b", at=NOON + timedelta(days=day))
        audit_chain.seal_all(engine, box, NOON + timedelta(days=day))
    old = Anchor(1, bytes(32))
    now = NOON + timedelta(days=9)
    with engine.begin() as connection:
        assert audit_chain.take_away(connection, box, NOON + timedelta(days=1, hours=1), now) == 4
    found = audit_chain.verify(engine, box, [old])
    assert (found.ok, found.since_link, found.entries) == (True, 3, 4)
    assert found.unchecked_anchors == (str(old),)
    with engine.begin() as connection:
        assert audit_chain.take_away(connection, box, NOON + timedelta(days=1, hours=1), now) == 0
    write(engine, "after", at=now)
    audit_chain.seal_all(engine, box, now)
    with engine.begin() as connection:
        assert audit_chain.take_away(connection, box, now + timedelta(days=1), now + timedelta(days=1)) == 5
    found = audit_chain.verify(engine, box)
    assert (found.ok, found.entries, found.head.split(":")[0]) == (True, 0, "5")


def test_who_takes_the_beginning_away_without_the_key_is_found_out(engine: Engine, box: SecretBox) -> None:
    for subject in ("one", "two"):
        write(engine, subject)
        audit_chain.seal_all(engine, box, NOON)
    as_owner(
        engine,
        "INSERT INTO runtime.audit_checkpoint (n, hash, key_id, mac, taken_at, entries)"
        " SELECT n, hash, key_id, mac, now(), 1 FROM runtime.audit_link WHERE n = 1;"
        " DELETE FROM runtime.audit WHERE link = 1; DELETE FROM runtime.audit_link WHERE n = 1",
    )
    assert breaches(engine, box) == [(Breach.LINK_FORGED, 1, None)]


def test_the_purge_keeps_what_does_not_verify(engine: Engine, box: SecretBox) -> None:
    write(engine, "one")
    audit_chain.seal_all(engine, box, NOON)
    as_owner(engine, "UPDATE runtime.audit SET actor = 'eve'")
    later = NOON + timedelta(days=9)
    with engine.begin() as connection:
        assert audit_chain.take_away(connection, box, later, later) == 0


def test_a_rotation_signs_anew_and_leaves_hashes_and_forgeries(engine: Engine, box: SecretBox) -> None:
    for subject in ("one", "two", "three"):
        write(engine, subject)
        audit_chain.seal_all(engine, box, NOON)
    (anchor,) = parse_anchors(audit_chain.verify(engine, box).head)
    as_owner(engine, "UPDATE runtime.audit_link SET mac = hash WHERE n = 2")
    (old,) = box.key_ids()
    new = box.add_key()
    assert audit_chain.resign(engine, box) == (2, 1)
    assert audit_chain.resign(engine, box) == (0, 1)
    with engine.connect() as connection:
        assert audit_chain.signed_by(connection) == {old: 1, new: 2}
    assert breaches(engine, box, anchor) == [(Breach.LINK_FORGED, 2, None)]


def test_another_key_file_opens_no_chain(engine: Engine, box: SecretBox, tmp_path: Path) -> None:
    write(engine, "one")
    audit_chain.seal_all(engine, box, NOON)
    other = SecretBox(tmp_path / "other.key")
    assert breaches(engine, other) == [(Breach.KEY_MISSING, 1, None)]


def test_the_last_links_alone(engine: Engine, box: SecretBox) -> None:
    for subject in ("one", "two", "three"):
        write(engine, subject)
        audit_chain.seal_all(engine, box, NOON)
    as_owner(engine, "UPDATE runtime.audit SET actor = 'eve' WHERE audit_id = 1")
    assert audit_chain.verify(engine, box, last_links=2).ok
    assert not audit_chain.verify(engine, box, last_links=3).ok


def test_entries_are_found_by_who_what_and_when(engine: Engine) -> None:
    write(engine, "one")
    write(engine, "two", at=NOON + timedelta(days=1))
    with engine.connect() as connection:

        def found(**wanted: object) -> list[str]:
            return [e.subject for e in entries(connection, Wanted(**wanted), 10)]  # type: ignore[arg-type]

        assert found() == ["two", "one"]
        assert found(actor="staff:*", since=NOON + timedelta(hours=1)) == ["two"]
        assert found(until=NOON + timedelta(hours=1), action="test.changed") == ["one"]
        assert found(below=2) == ["one"]
        assert found(actor="staff:_") == found(subject="three") == found(action="test.%*") == []


def test_a_bad_anchor_names_the_field() -> None:
    with pytest.raises(TurnupError) as refused:
        parse_anchors("nonsense")
    assert refused.value.field == "anchor"
