"""Configuration of an AAA server: one subscriber row per service, written in one transaction per apply.

A row's `key` is the service id. Rows without one were made by somebody else: a read of all shows them under
an id derived from element and user name, so that reconciliation sees them as unexpected. The first apply of a
service with such a user name takes the row over.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, LiteralString

from psycopg.types.json import Jsonb

from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment
from turnup.contracts.inventory import ElementView
from turnup.gateways.aaa_database.database import aaa_database, schema_text
from turnup.gateways.ownership import service_of
from turnup.gateways.transports.postgres import PeerDatabase, own_database, raise_fence
from turnup.kernel.ids import ServiceId

KIND = "aaa_subscriber"
_ATTRIBUTES = ("username", "secret", "ipv4", "ipv6_wan", "ipv6_pd", "down_kbps", "up_kbps", "state")

_READ: LiteralString = """
SELECT key, generation, username, aaa.opened(secret, %(data_key)s), host(ipv4), ipv6_wan::text, ipv6_pd::text,
       down_kbps::text, up_kbps::text, state
FROM aaa.subscriber"""
_WANTED: LiteralString = """jsonb_to_recordset(%s) AS wanted (
  key text, generation bigint, username text, secret text, ipv4 inet, ipv6_wan cidr, ipv6_pd cidr,
  down_kbps integer, up_kbps integer, state text)"""
# One statement for all rows: a client that stops within an `executemany`, which is a pipeline, leaves a
# transaction that PostgreSQL does not count as idle, and so never ends.
_TAKE_OVER: LiteralString = (
    "UPDATE aaa.subscriber AS found SET key = wanted.key FROM "
    + _WANTED
    + """
WHERE found.username = wanted.username AND found.key IS NULL
  AND NOT EXISTS (SELECT FROM aaa.subscriber AS own WHERE own.key = wanted.key)"""
)
_PUT: LiteralString = (
    """
INSERT INTO aaa.subscriber (key, generation, username, secret, ipv4, ipv6_wan, ipv6_pd, down_kbps, up_kbps,
                            state)
SELECT key, generation, username, aaa.closed(secret, %s), ipv4, ipv6_wan, ipv6_pd, down_kbps, up_kbps, state
FROM """
    + _WANTED
    + """
ON CONFLICT (key) DO UPDATE SET generation = excluded.generation, username = excluded.username,
  secret = excluded.secret, ipv4 = excluded.ipv4, ipv6_wan = excluded.ipv6_wan, ipv6_pd = excluded.ipv6_pd,
  down_kbps = excluded.down_kbps, up_kbps = excluded.up_kbps, state = excluded.state, updated_at = now()"""
)
_DROP: LiteralString = "DELETE FROM aaa.subscriber WHERE key = ANY(%s)"


class AaaDatabaseDriver:
    """Implements contracts.configuration.ElementDriver. An element whose management names a host (and port,
    database) is an AAA server with a database of its own: its credentials are that database's, `data_key`
    encrypts the subscribers' secrets in it, and our schema is laid out in it at the first contact. Any other
    is the database at `url`, with our schema in it (`create_schema`); no credentials are asked for."""

    needs_credentials: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        self._shared = aaa_database(url, max_size=8)
        self._own: dict[str, PeerDatabase] = {}
        self._guard = threading.Lock()

    def close(self) -> None:
        """Let go of the connections."""
        for database in (self._shared, *self._own.values()):
            database.close()

    def read(
        self,
        element: ElementView,
        credentials: Credentials,
        services: Sequence[ServiceId] | None,
        *,
        deadline_s: float,
    ) -> Mapping[ServiceId, Fragment]:
        database = self._database(element, credentials, deadline_s)
        values: dict[str, Any] = {"data_key": credentials.data_key}
        with database.transaction("read", deadline_s) as connection:
            if services is None:
                rows = connection.execute(_READ, values).fetchall()
            else:
                values["keys"] = [str(service) for service in services]
                rows = connection.execute(_READ + " WHERE key = ANY(%(keys)s)", values).fetchall()
        fragments = [_fragment(element, row) for row in rows]
        return {fragment.service_id: fragment for fragment in fragments}

    def apply(
        self, element: ElementView, credentials: Credentials, changes: Sequence[Change], *, deadline_s: float
    ) -> tuple[str, ...]:
        data_key = credentials.data_key
        puts = [_row(change.want) for change in changes if change.want is not None]
        drops = [str(change.service_id) for change in changes if change.want is None]
        database = self._database(element, credentials, deadline_s)
        with database.transaction("apply", deadline_s) as connection:
            raise_fence(connection, "aaa", element, changes)
            if drops:
                connection.execute(_DROP, (drops,))
            if puts:
                connection.execute(_TAKE_OVER, (Jsonb(puts),))
                connection.execute(_PUT, (data_key, Jsonb(puts)))
        return tuple(_command(change) for change in changes)

    def running_config(self, element: ElementView, credentials: Credentials, *, deadline_s: float) -> str:
        """All subscribers but their secrets, a line each, sorted by user name."""
        database = self._database(element, credentials, deadline_s)
        with database.transaction("running_config", deadline_s) as connection:
            values = {"data_key": credentials.data_key}
            rows = connection.execute(_READ + " ORDER BY username", values).fetchall()
        return "".join(_line(row) + "\n" for row in rows)

    def restore(
        self, element: ElementView, credentials: Credentials, config: str, *, deadline_s: float
    ) -> None:
        raise ElementRefused(
            f"{element.code} cannot be restored from text: it holds no secrets",
            remedy="apply the services again, or restore the AAA database from its own backup",
        )

    def _database(self, element: ElementView, credentials: Credentials, deadline_s: float) -> PeerDatabase:
        url = own_database(element, credentials)
        if url is None:
            return self._shared
        with self._guard:
            known = self._own.get(url)
        if known is not None:
            return known
        made = PeerDatabase(url, name=f"the database of {element.code}")
        with made.transaction("lay out", deadline_s) as connection:
            if credentials.data_key is not None:
                connection.execute("CREATE EXTENSION IF NOT EXISTS pgcrypto")
            connection.execute(schema_text())
        with self._guard:
            return self._own.setdefault(url, made)


def _fragment(element: ElementView, row: Sequence[Any]) -> Fragment:
    key, generation, *values = row
    attributes = {name: value for name, value in zip(_ATTRIBUTES, values, strict=True) if value is not None}
    return Fragment(
        service_id=service_of(element, attributes["username"] if key is None else key),
        kind=KIND,
        attributes=attributes,
        generation=generation,
    )


def _row(fragment: Fragment) -> dict[str, str | int | None]:
    for name in ("username", "secret", "down_kbps", "up_kbps", "state"):
        if not fragment.attributes.get(name):
            raise ElementRefused(f"a subscriber needs {name}", field=f"attributes.{name}")
    unknown = sorted(set(fragment.attributes) - set(_ATTRIBUTES))
    if unknown:
        raise ElementRefused(
            f"the AAA database has no {', '.join(unknown)}",
            field=f"attributes.{unknown[0]}",
            remedy=f"it has: {', '.join(_ATTRIBUTES)}",
        )
    values = {name: fragment.attributes.get(name) or None for name in _ATTRIBUTES}
    return {
        "key": str(fragment.service_id),
        "generation": fragment.generation,
        **values,
    }


def _command(change: Change) -> str:
    """What was done, in one line, for people; the secret stays out."""
    if change.want is None:
        return f"delete subscriber {change.service_id} fence {change.generation}"
    shown = {**change.want.attributes, "secret": "********"}
    words = " ".join(f"{name} {shown[name]}" for name in _ATTRIBUTES if name in shown)
    return f"set subscriber {change.service_id} {words} generation {change.generation}"


def _line(row: Sequence[Any]) -> str:
    key, generation, *values = row
    shown = {
        name: value
        for name, value in zip(_ATTRIBUTES, values, strict=True)
        if value is not None and name != "secret"
    }
    words = " ".join(f"{name} {value}" for name, value in shown.items())
    return f"subscriber {words} key {key or '-'} generation {generation}"
