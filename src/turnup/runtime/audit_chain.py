"""Seals audit entries into the chain of `kernel.audit_chain`, checks it, and takes away whole links by age.

A unit of work only inserts its entries; nothing is computed there, so that units never wait for each other.
One sealer at a time binds what is committed and not yet sealed: as with events, an entry that commits late
has a lower id and still gets into a later link, because the sealer asks for what has no link, never for ids
above a mark.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, Row, Table, delete, func, insert, select, text, update

from turnup.kernel.audit_chain import (
    GENESIS,
    Anchor,
    Breach,
    Broken,
    Checker,
    Checkpoint,
    KeyOf,
    Link,
    SealedEntry,
    checkpoint_mac,
    link_mac,
    sealed,
)
from turnup.runtime import faultpoint, metrics
from turnup.runtime.secrets import SecretBox
from turnup.runtime.tables import audit, audit_checkpoint, audit_link

log = structlog.get_logger(__name__)

MacOf = Callable[[bytes, int, bytes], bytes]

_PURPOSE = "turnup audit chain"
_BATCH = 1_000
_DIGEST_BYTES = 32
_LINKS_AT_ONCE = 200
_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('turnup.audit.seal', 0))")


def keys_of(box: SecretBox) -> KeyOf:
    """MAC keys derived from those of the key file, which no database holds."""
    return lambda key_id: box.derived(_PURPOSE, key_id)


def seal(connection: Connection, box: SecretBox, now: datetime) -> Link | None:
    """Bind up to a batch of unsealed entries into the next link. Needs its own transaction; None when nothing
    waits or another one does it."""
    if not connection.scalar(_LOCK):
        return None
    waiting = audit.c.link.is_(None)
    rows = connection.execute(select(audit).where(waiting).order_by(audit.c.audit_id).limit(_BATCH)).all()
    if not rows:
        return None
    key_id, key = _sealing_key(box)
    link = sealed(_head(connection), now, [_entry(row) for row in rows], key_id, key)
    connection.execute(insert(audit_link).values(_link_row(link)))
    ids = [entry for entry, _ in link.entries]
    connection.execute(update(audit).where(audit.c.audit_id.in_(ids)).values(link=link.n))
    faultpoint.reach("audit.sealed")
    return link


def seal_all(engine: Engine, box: SecretBox, now: datetime) -> int:
    """Seal what waits, a transaction a link. Returns how many entries. The head goes into the log, too: a log
    kept elsewhere is an anchor."""
    done = 0
    while True:
        with engine.begin() as connection:
            link = seal(connection, box, now)
        if link is None:
            return done
        done += len(link.entries)
        metrics.audit_sealed.inc(len(link.entries))
        log.info("audit_sealed", anchor=f"{link.n}:{link.hash.hex()}", entries=len(link.entries))
        if len(link.entries) < _BATCH:
            return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """`head` is the anchor to keep elsewhere; `since_link` the first link looked at. `unsealed` entries wait
    for their link."""

    ok: bool
    head: str
    since_link: int
    links: int
    entries: int
    unsealed: int
    unchecked_anchors: tuple[str, ...]
    broken: tuple[Broken, ...]


def verify(
    engine: Engine, box: SecretBox, anchors: Sequence[Anchor] = (), *, last_links: int | None = None
) -> Verification:
    """Look at every link and entry, or at the last links only (their start is then taken on trust). Reads in
    one snapshot, so that sealing may go on."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        start = _checkpoint(connection)
        start = _later_start(connection, box, start, last_links) if last_links is not None else start
        since = start.n if start else 0
        checker = Checker(start, keys_of(box), anchors)
        links = entries = 0
        for link, present in _chain(connection, since):
            checker.take(link, present)
            links += 1
            entries += len(present)
        checker.finish()
        strays = _strays(connection)
        unsealed = unsealed_entries(connection)
    broken = (*checker.broken, *strays)
    old = tuple(str(anchor) for anchor in anchors if anchor.n < since)
    return Verification(
        ok=not broken,
        head=str(checker.head),
        since_link=since + 1,
        links=links,
        entries=entries,
        unsealed=unsealed,
        unchecked_anchors=old,
        broken=broken,
    )


def unsealed_entries(connection: Connection, *, before: datetime | None = None) -> int:
    query = select(func.count()).select_from(audit).where(audit.c.link.is_(None))
    if before is not None:
        query = query.where(audit.c.at < before)
    return connection.scalar(query) or 0


def entries_before(connection: Connection, before: datetime) -> int:
    """Sealed entries in links that were sealed before then."""
    old = select(audit_link.c.n).where(audit_link.c.sealed_at < before)
    return connection.scalar(select(func.count()).select_from(audit).where(audit.c.link.in_(old))) or 0


def take_away(connection: Connection, box: SecretBox, before: datetime, now: datetime) -> int:
    """Delete up to a batch of the oldest links, all of whose entries were made before that instant, and those
    entries; the checkpoint lets the chain go on. Returns the entries deleted. Needs its own transaction.

    What does not verify is kept: evidence of tampering is not for the purge.
    """
    if not connection.scalar(_LOCK):
        return 0
    start = _checkpoint(connection)
    checker = Checker(start, keys_of(box))
    last: Link | None = None
    gone = 0
    for link, present in _chain(connection, start.n if start else 0, limit=_LINKS_AT_ONCE):
        checker.take(link, present)
        if checker.broken or link.sealed_at >= before or any(e.at >= before for e in present.values()):
            break
        last, gone = link, gone + len(present)
    if last is None:
        return 0
    key_id, key = _sealing_key(box)
    connection.execute(
        insert(audit_checkpoint).values(
            n=last.n,
            hash=last.hash,
            key_id=key_id,
            mac=checkpoint_mac(key, last.n, last.hash),
            taken_at=now,
            entries=gone,
        )
    )
    connection.execute(delete(audit).where(audit.c.link <= last.n))
    connection.execute(delete(audit_link).where(audit_link.c.n <= last.n))
    return gone


def resign(engine: Engine, box: SecretBox) -> tuple[int, int]:
    """MACs by the key that seals now; hashes and anchors stay: (done, left as they were because they do not
    verify by their own key). A batch a transaction; broken off, it may be repeated."""
    done = left = 0
    for table, mac_of in ((audit_link, link_mac), (audit_checkpoint, checkpoint_mac)):
        after: int | None = 0
        while after is not None:
            with engine.begin() as connection:
                more, kept, after = _resign_batch(connection, box, table, mac_of, after)
            done, left = done + more, left + kept
    return done, left


def _resign_batch(
    connection: Connection, box: SecretBox, table: Table, mac_of: MacOf, after: int
) -> tuple[int, int, int | None]:
    """(done, left, the last one looked at; None at the end)."""
    key_id, fresh = _sealing_key(box)
    rows = connection.execute(
        select(table.c.n, table.c.hash, table.c.key_id, table.c.mac)
        .where(table.c.n > after, table.c.key_id != key_id)
        .order_by(table.c.n)
        .limit(_BATCH)
    ).all()
    done = 0
    for row in rows:
        old = box.derived(_PURPOSE, row.key_id)
        if old is None or mac_of(old, row.n, bytes(row.hash)) != bytes(row.mac):
            continue
        new = mac_of(fresh, row.n, bytes(row.hash))
        connection.execute(update(table).where(table.c.n == row.n).values(key_id=key_id, mac=new))
        done += 1
    return done, len(rows) - done, rows[-1].n if rows else None


def signed_by(connection: Connection) -> dict[str, int]:
    """How many links and checkpoints each key of the key file has sealed."""
    found: dict[str, int] = {}
    for table in (audit_link, audit_checkpoint):
        for key_id, count in connection.execute(
            select(table.c.key_id, func.count()).group_by(table.c.key_id)
        ):
            found[key_id] = found.get(key_id, 0) + count
    return found


# --- inside ----------------------------------------------------------------------------------------------


def _sealing_key(box: SecretBox) -> tuple[str, bytes]:
    key_id = box.key_ids()[-1]
    key = box.derived(_PURPOSE, key_id)
    assert key is not None  # it was in the file a moment ago, and nothing takes keys out by itself
    return key_id, key


def _head(connection: Connection) -> Anchor:
    row = connection.execute(
        select(audit_link.c.n, audit_link.c.hash).order_by(audit_link.c.n.desc()).limit(1)
    ).one_or_none()
    if row is not None:
        return Anchor(row.n, bytes(row.hash))
    start = _checkpoint(connection)
    return Anchor(start.n, start.hash) if start else Anchor(0, GENESIS)


def _checkpoint(connection: Connection) -> Checkpoint | None:
    row = connection.execute(
        select(audit_checkpoint).order_by(audit_checkpoint.c.n.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Checkpoint(n=row.n, hash=bytes(row.hash), key_id=row.key_id, mac=bytes(row.mac))


def _later_start(
    connection: Connection, box: SecretBox, start: Checkpoint | None, last_links: int
) -> Checkpoint | None:
    """The link from which only the last so many follow, as if it were a checkpoint."""
    row = connection.execute(
        select(audit_link.c.n, audit_link.c.hash).order_by(audit_link.c.n.desc()).offset(last_links).limit(1)
    ).one_or_none()
    if row is None:
        return start
    key_id, key = _sealing_key(box)
    digest = bytes(row.hash)
    return Checkpoint(n=row.n, hash=digest, key_id=key_id, mac=checkpoint_mac(key, row.n, digest))


def _chain(
    connection: Connection, since: int, *, limit: int | None = None
) -> Iterator[tuple[Link, dict[int, SealedEntry]]]:
    """Links after this one, in order, with the entries that name them."""
    seen = 0
    while limit is None or seen < limit:
        rows = connection.execute(
            select(audit_link).where(audit_link.c.n > since).order_by(audit_link.c.n).limit(_LINKS_AT_ONCE)
        ).all()
        if not rows:
            return
        between = audit.c.link.between(rows[0].n, rows[-1].n)
        present: dict[int, dict[int, SealedEntry]] = {}
        for row in connection.execute(select(audit).where(between)):
            present.setdefault(row.link, {})[row.audit_id] = _entry(row)
        for row in rows:
            yield _link(row), present.get(row.n, {})
        since = rows[-1].n
        seen += len(rows)


def _strays(connection: Connection) -> list[Broken]:
    """Entries that name a link which is not there."""
    known = select(audit_link.c.n).where(audit_link.c.n == audit.c.link).exists()
    rows = connection.execute(
        select(audit.c.audit_id, audit.c.link)
        .where(audit.c.link.is_not(None), ~known)
        .order_by(audit.c.audit_id)
        .limit(_BATCH)
    )
    return [
        Broken(Breach.ENTRY_INSERTED, row.link, row.audit_id, "names a link that is not there")
        for row in rows
    ]


def _entry(row: Row[Any]) -> SealedEntry:
    return SealedEntry(
        id=row.audit_id,
        at=row.at,
        component=row.component,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        before=row.before,
        after=row.after,
    )


def _link(row: Row[Any]) -> Link:
    digests = bytes(row.digests)
    cut = [digests[at : at + _DIGEST_BYTES] for at in range(0, len(digests), _DIGEST_BYTES)]
    ids = list(row.audit_ids)
    cut += [b""] * (len(ids) - len(cut))
    return Link(
        n=row.n,
        previous=bytes(row.previous),
        sealed_at=row.sealed_at,
        entries=tuple(zip(ids, cut[: len(ids)], strict=True)),
        hash=bytes(row.hash),
        key_id=row.key_id,
        mac=bytes(row.mac),
    )


def _link_row(link: Link) -> dict[str, object]:
    return {
        "n": link.n,
        "previous": link.previous,
        "sealed_at": link.sealed_at,
        "audit_ids": [entry for entry, _ in link.entries],
        "digests": b"".join(digest for _, digest in link.entries),
        "hash": link.hash,
        "key_id": link.key_id,
        "mac": link.mac,
    }
