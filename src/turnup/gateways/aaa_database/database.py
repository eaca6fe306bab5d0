"""Connections to the AAA server's PostgreSQL, its schema, and how its errors read in Turnup."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any, LiteralString

import psycopg
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg_pool import ConnectionPool, PoolTimeout

from turnup.contracts.configuration import ElementRefused
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


def libpq_url(url: str) -> str:
    """An SQLAlchemy URL as libpq wants it; others unchanged."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def create_schema(url: str) -> None:
    """Create the schema `aaa` where it is missing; safe to repeat and to run by several at once."""
    text = resources.files("turnup.gateways.aaa_database").joinpath("schema.sql").read_bytes()
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        connection.execute(text)


class AaaDatabase:
    """A small pool of connections; opened at the first use."""

    def __init__(self, url: str, *, max_size: int = 4) -> None:
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            libpq_url(url),
            min_size=0,
            max_size=max_size,
            open=False,
            kwargs={"application_name": "turnup-aaa", **_GONE_WITHOUT_A_WORD},
            max_idle=300,
        )
        self._opened = False

    @contextmanager
    def transaction(self, what: str, deadline_s: float) -> Iterator[psycopg.Connection[Any]]:
        """One transaction. Raises Unavailable when the database is away or too slow, ElementRefused when it
        does not accept what it was told (without the row's content: it holds secrets)."""
        refuse_in_transaction(f"aaa database: {what}")
        if not self._opened:
            self._pool.open()
            self._opened = True
        try:
            with self._pool.connection(timeout=deadline_s) as connection:
                ms = max(1, int(deadline_s * 1000))
                connection.execute(_DEADLINE, {"ms": str(ms), "idle_ms": str(min(ms, _IDLE_MS))})
                yield connection
        except (PoolTimeout, psycopg.OperationalError, IdleInTransactionSessionTimeout) as error:
            raise Unavailable(f"the AAA database does not answer: {_plain(error)}") from error
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            raise ElementRefused(f"the AAA database refuses it: {_plain(error)}") from None

    def close(self) -> None:
        self._pool.close()


def _plain(error: Exception) -> str:
    """The error's first line; PostgreSQL's detail may quote the row."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return primary or str(error).partition("\n")[0]
