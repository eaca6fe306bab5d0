"""RADIUS accounting as the AAA servers stored it, read forward without missing a record.

Ids are given at insert and seen at commit, so a smaller id may appear after a larger one, and repeats leave
gaps that never fill: neither "greater than the last" nor "wait for the gap" is safe. A writer locks the table
before it draws its id and until it ends. So: note the highest id drawn, note who holds that lock, and once
those have ended, every id up to the noted one is either visible or never will be. Nobody is blocked by it.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, LiteralString

import psycopg

from turnup.contracts.configuration import Credentials
from turnup.contracts.inventory import ElementView
from turnup.contracts.monitoring import AccountingRecord, Rejection
from turnup.gateways.transports.postgres import PeerDatabase, own_database
from turnup.kernel.errors import NotFound, Unavailable
from turnup.kernel.ids import ElementId

_STATUS = {"on": "accounting_on", "off": "accounting_off"}
_WAIT_S = 0.25
_POLL_S = 0.005
_DEADLINE_S = 10.0
_REJECT_DEADLINE_S = 2.0
"""Somebody looks at a page."""
_STUCK_S = 5.0

_LAID_OUT: LiteralString = "SELECT to_regclass('aaa.accounting') IS NOT NULL"
_DRAWN: LiteralString = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM aaa.accounting_id_seq"
_WRITERS: LiteralString = """
SELECT virtualtransaction FROM pg_locks
WHERE relation = 'aaa.accounting'::regclass AND mode = 'RowExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_READ: LiteralString = """
SELECT id, nas, session_id, coalesce(username, ''), status, event_at, session_time_s, input_octets,
       output_octets, host(framed_ipv4), terminate_cause, circuit_id
FROM aaa.accounting WHERE id > %s AND id <= %s ORDER BY id LIMIT %s"""
_REJECT: LiteralString = "SELECT at, reason FROM aaa.reject WHERE username = %s ORDER BY id DESC LIMIT 1"


DRIVER = "aaa_database"
SHARED = "turnup"
"""The name of the AAA database that belongs to no element."""


class AaaAccounting:
    """Implements contracts.monitoring.AccountingSource on one AAA database."""

    def __init__(self, database: PeerDatabase) -> None:
        self._database = database
        self._laid_out = False
        self._lock = threading.Lock()
        self._settled = 0
        self._waiting: tuple[int, frozenset[str]] | None = None
        """An id drawn, and the writers who may still be about to show a smaller one."""
        self._waiting_since = 0.0

    def read_after(self, cursor: int, limit: int) -> Sequence[AccountingRecord]:
        """At most `limit` records with ids above `cursor`, in order; none below the last returned will ever
        appear later. Raises Unavailable."""
        with self._lock, self._database.transaction("accounting", _DEADLINE_S) as connection:
            self._require_tables(connection)
            settled = self._settle(connection)
            rows = connection.execute(_READ, (cursor, settled, limit)).fetchall()
            if not rows and self._waiting is not None:
                self._complain_if_stuck()
        return [_record(row) for row in rows]

    def last_rejection(self, username: str) -> Rejection | None:
        """The last time the AAA server turned this user away: why is she offline? Raises Unavailable."""
        with self._database.transaction("reject", _REJECT_DEADLINE_S) as connection:
            self._require_tables(connection)
            found = connection.execute(_REJECT, (username,)).fetchone()
        return None if found is None else Rejection(found[0], found[1])

    def close(self) -> None:
        self._database.close()

    def _require_tables(self, connection: psycopg.Connection[Any]) -> None:
        if self._laid_out:
            return
        found = connection.execute(_LAID_OUT).fetchone()
        if found is None or not found[0]:
            raise Unavailable(
                "the AAA database has no accounting yet", remedy="it is laid out with the first service on it"
            )
        self._laid_out = True

    def _settle(self, connection: psycopg.Connection[Any]) -> int:
        """The id up to which nothing new can appear."""
        if self._waiting is None:
            drawn = connection.execute(_DRAWN).fetchone()
            high = int(drawn[0]) if drawn else 0
            self._waiting = (high, self._writers(connection))  # in this order: see the module's docstring
            self._waiting_since = time.monotonic()
        high, writers = self._waiting
        until = time.monotonic() + _WAIT_S
        while writers:
            writers &= self._writers(connection)
            if writers and time.monotonic() > until:
                self._waiting = (high, writers)
                return self._settled
            if writers:
                time.sleep(_POLL_S)
        self._waiting = None
        self._settled = max(self._settled, high)
        return self._settled

    def _complain_if_stuck(self) -> None:
        """Nothing to read for this long is not silence: whoever draws conclusions from silence must know."""
        waited_s = time.monotonic() - self._waiting_since
        if waited_s > _STUCK_S:
            raise Unavailable(
                f"a transaction holds aaa.accounting open since {waited_s:.0f} s",
                remedy="end it: see pg_stat_activity of the AAA database",
            )

    @staticmethod
    def _writers(connection: psycopg.Connection[Any]) -> frozenset[str]:
        return frozenset(row[0] for row in connection.execute(_WRITERS))


class AaaServers:
    """Implements contracts.monitoring.AccountingSources and Rejections: the database of the installation, and
    that of each AAA server in the network that has its own (management keys host, port, database), by element
    code."""

    def __init__(
        self,
        shared: AaaAccounting,
        elements: Callable[[], Sequence[ElementView]],
        credentials: Callable[[ElementId], Credentials],
    ) -> None:
        self._shared = shared
        self._elements = elements
        self._credentials = credentials
        self._own: dict[str, tuple[str, AaaAccounting]] = {}

    def sources(self) -> Mapping[str, AaaAccounting]:
        return {SHARED: self._shared, **{code: self._source(code, url) for code, url in self._urls().items()}}

    def last_rejection(self, username: str) -> Rejection | None:
        found, trouble, silent = [], None, 0
        sources = self.sources()
        for source in sources.values():
            try:
                found.append(source.last_rejection(username))
            except Unavailable as error:
                trouble, silent = error, silent + 1
        if trouble is not None and silent == len(sources):
            raise trouble
        return max((each for each in found if each is not None), key=lambda each: each.at, default=None)

    def _urls(self) -> dict[str, str]:
        servers = (
            each
            for each in self._elements()
            if each.driver == DRIVER and "host" in each.management and each.status == "in_service"
        )
        found: dict[str, str] = {}
        for each in servers:
            with contextlib.suppress(NotFound):  # without credentials it is not set up yet
                url = own_database(each, self._credentials(each.id))
                found |= {each.code: url} if url is not None else {}
        return found

    def _source(self, code: str, url: str) -> AaaAccounting:
        known = self._own.get(code)
        if known is not None and known[0] == url:
            return known[1]
        if known is not None:
            known[1].close()
        made = AaaAccounting(PeerDatabase(url, name=f"the database of {code}", max_size=2))
        self._own[code] = (url, made)
        return made


def _record(row: Sequence[Any]) -> AccountingRecord:
    source_id, nas, session_id, username, status, event_at, time_s, up, down, ipv4, cause, circuit = row
    return AccountingRecord(
        source_id=source_id,
        nas=nas,
        session_id=session_id,
        username=username,
        status=_STATUS.get(status, status),
        event_at=event_at,
        session_time_s=time_s,
        input_octets=up,
        output_octets=down,
        framed_ipv4=ipv4,
        cause=cause,
        circuit_id=circuit,
    )
