"""Connections to a PostgreSQL that is a peer's own (AAA, DHCP), and how its errors read in Turnup."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg_pool import ConnectionPool, PoolTimeout

from turnup.contracts.configuration import Change, Credentials, ElementRefused, StaleGeneration
from turnup.contracts.inventory import ElementView
from turnup.kernel.errors import Unavailable
from turnup.runtime.database import refuse_in_transaction

_GONE_WITHOUT_A_WORD = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that vanished must not hold a caller long: only a living one enforces the deadline."""

_DEADLINE: LiteralString = (
    "SELECT set_config('statement_timeout', %(ms)s, true),"
    " set_config('idle_in_transaction_session_timeout', %(idle_ms)s, true)"
)
_IDLE_MS = 3_000
"""A stopped process must not keep its row locks: those who come after it wait for them."""

_FENCE: LiteralString = """
INSERT INTO {fence} AS held (key, generation)
SELECT key, generation FROM unnest(%s::text[], %s::bigint[]) AS wanted (key, generation) ORDER BY key
ON CONFLICT (key) DO UPDATE SET generation = excluded.generation WHERE held.generation <= excluded.generation
RETURNING key"""


def own_database(element: ElementView, credentials: Credentials, *, port: str = "5432") -> str | None:
    """The libpq URL of an element that has a database of its own: management keys host, port, database. None
    where its management names no host."""
    host = element.management.get("host")
    if host is None:
        return None
    return make_conninfo(
        host=host,
        port=element.management.get("port", port),
        dbname=element.management.get("database", ""),
        user=credentials.username,
        password=credentials.password,
    )


class PeerDatabase:
    """A small pool of connections; opened at the first use."""

    def __init__(self, url: str, *, name: str, max_size: int = 4) -> None:
        self._name = name
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            url,
            min_size=0,
            max_size=max_size,
            open=False,
            kwargs={"application_name": "turnup", **_GONE_WITHOUT_A_WORD},
            max_idle=300,
        )
        self._opened = False

    @contextmanager
    def transaction(self, what: str, deadline_s: float) -> Iterator[psycopg.Connection[Any]]:
        """One transaction. Raises Unavailable when the database is away or too slow, ElementRefused when it
        does not accept what it was told (without the row's content: it holds secrets)."""
        refuse_in_transaction(f"{self._name}: {what}")
        if not self._opened:
            self._pool.open()
            self._opened = True
        try:
            with self._pool.connection(timeout=deadline_s) as connection:
                ms = max(1, int(deadline_s * 1000))
                connection.execute(_DEADLINE, {"ms": str(ms), "idle_ms": str(min(ms, _IDLE_MS))})
                yield connection
        except (PoolTimeout, psycopg.OperationalError, IdleInTransactionSessionTimeout) as error:
            raise Unavailable(f"{self._name} does not answer: {_plain(error)}") from error
        except psycopg.Error as error:
            raise ElementRefused(f"{self._name} refuses it: {_plain(error)}") from None

    def close(self) -> None:
        self._pool.close()


def raise_fence(
    connection: psycopg.Connection[Any], schema: str, element: ElementView, changes: Sequence[Change]
) -> None:
    """Keep each change's generation in the table `fence` of this schema; it stays after a removal. Raises
    StaleGeneration where a newer one stands there already: we are the late ones, and nothing is changed."""
    keys = [str(change.service_id) for change in changes]
    statement = sql.SQL(_FENCE).format(fence=sql.Identifier(schema, "fence"))
    fenced = connection.execute(statement, (keys, [change.generation for change in changes])).fetchall()
    stale = set(keys) - {row[0] for row in fenced}
    if stale:
        raise StaleGeneration(f"{element.code} holds a newer generation of {', '.join(sorted(stale))}")


def _plain(error: Exception) -> str:
    """The error's first line; PostgreSQL's detail may quote the row."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return primary or str(error).partition("\n")[0]
