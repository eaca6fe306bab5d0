"""Login attempts, counted before they are tried: per name and per address, with growing lock-outs.

The counters lie in the database, so that several servers share them. An attempt counts as a failure, in a
transaction of its own, before the password is looked at: a hundred guesses at once are a hundred failures.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects.postgresql import insert

from turnup.kernel.access import ADDRESS_LOCK, NAME_LOCK, LockPolicy, failures_still, lock_after
from turnup.kernel.errors import TooManyRequests
from turnup.runtime.tables import login_attempt as table


def name_key(name: str) -> str:
    return f"name:{name.lower()[:64]}"


def address_key(address: str) -> str:
    """One key for a whole IPv6 /64: a subscriber has 2**64 addresses to guess from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "address:unknown"
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        parsed = mapped
    if parsed.version == 6:
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"


def count_attempt(engine: Engine, name: str, address: str, now: datetime) -> None:
    """Count it as a failure of both; `forgive` takes it back. Raises TooManyRequests while either is locked,
    the same for names that do not exist."""
    counters: Sequence[tuple[str, LockPolicy]] = (
        (address_key(address), ADDRESS_LOCK),
        (name_key(name), NAME_LOCK),
    )
    with engine.begin() as connection:
        left = max(_locked_for(connection, key, now) for key, _ in counters)
        if left <= timedelta(0):
            for key, policy in counters:
                _count(connection, key, policy, now)
    if left > timedelta(0):
        raise TooManyRequests("too many failed logins", retry_after_s=left.total_seconds(), field="name")


def forgive(connection: Connection, name: str, address: str | None = None) -> None:
    """After a login that went well, or by an administrator: the name starts anew. The address gets only its
    attempt back: one account of his own must not clear a guesser's count."""
    connection.execute(delete(table).where(table.c.key == name_key(name)))
    if address is not None:
        at = table.c.key == address_key(address)
        connection.execute(
            table.update().where(at, table.c.failures > 0).values(failures=table.c.failures - 1)
        )


def _locked_for(connection: Connection, key: str, now: datetime) -> timedelta:
    fresh = insert(table).values(key=key, failures=0, last_at=now, locked_until=now).on_conflict_do_nothing()
    connection.execute(fresh)
    until = connection.execute(
        select(table.c.locked_until).where(table.c.key == key).with_for_update()
    ).scalar_one()
    left: timedelta = until - now
    return max(left, timedelta(0))


def _count(connection: Connection, key: str, policy: LockPolicy, now: datetime) -> None:
    row = connection.execute(select(table.c.failures, table.c.last_at).where(table.c.key == key)).one()
    failures = failures_still(row.failures, row.last_at, now, policy) + 1
    connection.execute(
        table.update()
        .where(table.c.key == key)
        .values(failures=failures, last_at=now, locked_until=now + lock_after(failures, policy))
    )
