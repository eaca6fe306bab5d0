"""Configuration of a Kea DHCP server: its reservations, written to its own PostgreSQL in one transaction.

They hold from the next packet on: nothing is reloaded, a running lease is not touched. Rows name their
service in Kea's user context; rows without were made by somebody else. The newest generation of every service
is kept in a table of ours beside Kea's, also after its removal.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, LiteralString
from uuid import UUID

import psycopg

from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment
from turnup.contracts.inventory import ElementView
from turnup.gateways.dhcp.reservation import (
    ADDRESS,
    ATTRIBUTES,
    CIRCUIT_ID,
    HW_ADDRESS,
    PREFIX,
    Reservation,
    Row,
    Server,
    fragment,
    reservation,
)
from turnup.gateways.ownership import service_of
from turnup.gateways.transports.postgres import PeerDatabase, own_database, raise_fence
from turnup.kernel.ids import ServiceId

_PORTAL4, _PORTAL6 = 114, 103  # RFC 8910
_HOST_SCOPE = 3  # Kea's dhcp_option_scope: one host
_LENGTH_OF_ADDRESS = 128

_LAY_OUT: LiteralString = """
SELECT pg_advisory_xact_lock(7152002);
CREATE SCHEMA IF NOT EXISTS turnup;
CREATE TABLE IF NOT EXISTS turnup.fence (key text PRIMARY KEY, generation bigint NOT NULL);"""
_LAID_OUT: LiteralString = "SELECT to_regclass('turnup.fence') IS NOT NULL"
_READ: LiteralString = """
SELECT h.dhcp_identifier, h.dhcp_identifier_type, h.ipv4_address, h.user_context,
       (SELECT json_agg(json_build_array(r.address, r.prefix_len, r.type) ORDER BY r.type, r.address)
          FROM ipv6_reservations r WHERE r.host_id = h.host_id),
       coalesce((SELECT o.formatted_value FROM dhcp4_options o WHERE o.host_id = h.host_id AND o.code = 114),
                (SELECT o.formatted_value FROM dhcp6_options o WHERE o.host_id = h.host_id AND o.code = 103))
FROM hosts h"""
_OF: LiteralString = " WHERE h.user_context::jsonb #>> '{turnup,service}' = ANY(%s)"
_DROP: LiteralString = """
DELETE FROM hosts WHERE user_context::jsonb #>> '{turnup,service}' = ANY(%s)
RETURNING ipv4_address, dhcp_identifier"""
_HELD6: LiteralString = """
SELECT r.address FROM ipv6_reservations r JOIN hosts h USING (host_id)
WHERE h.user_context::jsonb #>> '{turnup,service}' = ANY(%s)"""
_HOST: LiteralString = """
INSERT INTO hosts (dhcp_identifier, dhcp_identifier_type, dhcp4_subnet_id, dhcp6_subnet_id, ipv4_address,
                   user_context)
VALUES (%s, %s, %s, %s, %s, %s) RETURNING host_id"""
_ADDRESS6: LiteralString = (
    "INSERT INTO ipv6_reservations (address, prefix_len, type, host_id) VALUES (%s, %s, %s, %s)"
)
# persistent: sent also to clients that do not ask for it
_OPTION4: LiteralString = """
INSERT INTO dhcp4_options (code, formatted_value, space, persistent, host_id, scope_id)
VALUES (%s, %s, 'dhcp4', true, %s, %s)"""
_OPTION6: LiteralString = """
INSERT INTO dhcp6_options (code, formatted_value, space, persistent, host_id, scope_id)
VALUES (%s, %s, 'dhcp6', true, %s, %s)"""
# a lease nobody has a reservation for any more; Kea asks this table at every packet
_FORGET4: LiteralString = """
DELETE FROM lease4 WHERE address = ANY(%s)
  AND NOT EXISTS (SELECT FROM hosts h WHERE h.ipv4_address = lease4.address)"""
_FORGET6: LiteralString = """
DELETE FROM lease6 WHERE address = ANY(%s)
  AND NOT EXISTS (SELECT FROM ipv6_reservations r WHERE r.address = lease6.address)"""


class KeaDriver:
    """Implements contracts.configuration.ElementDriver. Management keys: host, port, database, subnets4,
    subnets6, captive_portal, circuit_id. Credentials: username and password of the database."""

    needs_credentials: ClassVar[bool] = True

    def __init__(self) -> None:
        self._databases: dict[str, PeerDatabase] = {}
        self._guard = threading.Lock()

    def close(self) -> None:
        """Let go of the connections."""
        for database in self._databases.values():
            database.close()

    def read(
        self,
        element: ElementView,
        credentials: Credentials,
        services: Sequence[ServiceId] | None,
        *,
        deadline_s: float,
    ) -> Mapping[ServiceId, Fragment]:
        server = Server.of(element)
        with self._database(element, credentials).transaction("read", deadline_s) as connection:
            rows = _rows(connection, services)
        by_key: dict[str, list[Row]] = {}
        for row in rows:
            by_key.setdefault(row.key, []).append(row)
        found = [fragment(server, service_of(element, key), held) for key, held in by_key.items()]
        return {each.service_id: each for each in found}

    def apply(
        self, element: ElementView, credentials: Credentials, changes: Sequence[Change], *, deadline_s: float
    ) -> tuple[str, ...]:
        server = Server.of(element)
        wanted = [reservation(server, change.want) for change in changes if change.want is not None]
        keys = [str(change.service_id) for change in changes]
        with self._database(element, credentials).transaction("apply", deadline_s) as connection:
            _lay_out(connection)
            raise_fence(connection, "turnup", element, changes)
            going6 = [row[0] for row in connection.execute(_HELD6, (keys,)).fetchall()]
            going4 = [row[0] for row in connection.execute(_DROP, (keys,)).fetchall()]
            for each in wanted:
                _put(connection, each)
            connection.execute(_FORGET4, ([address for address in going4 if address is not None],))
            connection.execute(_FORGET6, (going6,))
        return tuple(_command(change) for change in changes)

    def running_config(self, element: ElementView, credentials: Credentials, *, deadline_s: float) -> str:
        """All reservations, a line each, sorted."""
        held = self.read(element, credentials, None, deadline_s=deadline_s)
        return "".join(
            sorted(
                f"reservation {each.service_id} {_words(each.attributes)} generation {each.generation}\n"
                for each in held.values()
            )
        )

    def restore(
        self, element: ElementView, credentials: Credentials, config: str, *, deadline_s: float
    ) -> None:
        """Replace our reservations by those of the text, older generations included."""
        server = Server.of(element)
        wanted = [reservation(server, each) for each in _parse(config)]
        with self._database(element, credentials).transaction("restore", deadline_s) as connection:
            keys = [row.service for row in _rows(connection, None) if row.service is not None]
            keys = sorted({*keys, *(each.service for each in wanted)})
            connection.execute(_DROP, (keys,))
            connection.execute("DELETE FROM turnup.fence WHERE key = ANY(%s)", (keys,))
            for each in wanted:
                _put(connection, each)

    def _database(self, element: ElementView, credentials: Credentials) -> PeerDatabase:
        url = own_database(element, credentials)
        if url is None:
            raise ElementRefused(
                f"{element.code} has no management host", field="management.host", remedy="add it"
            )
        with self._guard:
            known = self._databases.get(url)
            if known is None:
                known = PeerDatabase(url, name=f"the database of {element.code}")
                self._databases[url] = known
        return known


def _rows(connection: psycopg.Connection[Any], services: Sequence[ServiceId] | None) -> list[Row]:
    if services is None:
        found = connection.execute(_READ).fetchall()
    else:
        found = connection.execute(_READ + _OF, ([str(service) for service in services],)).fetchall()
    return [
        Row(
            identifier=bytes(identifier),
            identifier_type=kind,
            ipv4=ipv4,
            addresses=tuple((address, length, what) for address, length, what in addresses or ()),
            context=_context(context),
            captive_portal=portal,
        )
        for identifier, kind, ipv4, context, addresses, portal in found
    ]


def _context(text: str | None) -> Mapping[str, Any]:
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def _lay_out(connection: psycopg.Connection[Any]) -> None:
    laid_out = connection.execute(_LAID_OUT).fetchone()
    if laid_out is None or not laid_out[0]:
        for statement in _LAY_OUT.split(";\n"):
            connection.execute(statement.encode())


def _put(connection: psycopg.Connection[Any], wanted: Reservation) -> None:
    if wanted.ipv4 is not None:
        host = _host(connection, wanted, CIRCUIT_ID, int(wanted.ipv4))
        if wanted.captive_portal is not None:
            connection.execute(_OPTION4, (_PORTAL4, wanted.captive_portal, host, _HOST_SCOPE))
    if wanted.wan is not None:
        host = _host(connection, wanted, HW_ADDRESS, None)
        connection.execute(_ADDRESS6, (wanted.wan_address, _LENGTH_OF_ADDRESS, ADDRESS, host))
        if wanted.delegated is not None:
            prefix = wanted.delegated
            connection.execute(_ADDRESS6, (str(prefix.network_address), prefix.prefixlen, PREFIX, host))
        if wanted.captive_portal is not None:
            connection.execute(_OPTION6, (_PORTAL6, wanted.captive_portal, host, _HOST_SCOPE))


def _host(connection: psycopg.Connection[Any], wanted: Reservation, kind: int, ipv4: int | None) -> int:
    subnet4 = wanted.subnet4 if kind == CIRCUIT_ID else None
    subnet6 = wanted.subnet6 if kind == HW_ADDRESS else None
    values = (wanted.identifier, kind, subnet4, subnet6, ipv4, wanted.context)
    made = connection.execute(_HOST, values).fetchone()
    assert made is not None  # INSERT ... RETURNING of one row
    return int(made[0])


def _words(attributes: Mapping[str, str]) -> str:
    return " ".join(f"{name} {attributes[name]}" for name in ATTRIBUTES if attributes.get(name))


def _command(change: Change) -> str:
    if change.want is None:
        return f"delete reservation {change.service_id} fence {change.generation}"
    words = _words(change.want.attributes)
    return f"set reservation {change.service_id} {words} generation {change.want.generation}"


def _parse(config: str) -> list[Fragment]:
    found = []
    for line in config.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] != "reservation" or len(words) % 2:
            raise ElementRefused(f"{line[:80]!r} is no line of a DHCP server's reservations", field="config")
        values = dict(zip(words[2::2], words[3::2], strict=True))
        generation = int(values.pop("generation", "0"))
        service_id = ServiceId(UUID(words[1]))
        found.append(
            Fragment(service_id=service_id, kind="dhcp_subscriber", attributes=values, generation=generation)
        )
    return found
