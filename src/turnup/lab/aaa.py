"""A light RADIUS server over its own PostgreSQL database: one query per request.

It lives on when Turnup is down. Without its database it stays silent, so that a NAS tries its next server.
"""

import asyncio
import socket
from collections.abc import Coroutine
from datetime import UTC, datetime
from importlib import resources
from typing import LiteralString, cast

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pyrad.packet import (
    AccessReject,
    AccessRequest,
    AccountingRequest,
    AcctPacket,
    AuthPacket,
    Packet,
    PacketError,
)

from turnup.lab.network_file import Aaa
from turnup.lab.radius import ACCT_STATUS, DICTIONARY, TERMINATE_CAUSE, WALLED, kbps_to_bits, one, text_of

_FIND: LiteralString = """
SELECT secret, host(ipv4), ipv6_wan::text, ipv6_pd::text, down_kbps, up_kbps, state, generation
FROM aaa.subscriber WHERE username = %s"""
_REJECT: LiteralString = "INSERT INTO aaa.reject (username, reason) VALUES (%s, %s)"
_RECORD: LiteralString = """
INSERT INTO aaa.accounting (nas, session_id, username, status, event_at, session_time_s, input_octets,
  output_octets, framed_ipv4, terminate_cause, circuit_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (nas, session_id, status, session_time_s) DO NOTHING"""

_DATABASE_ERRORS = (psycopg.Error, PoolTimeout, OSError)


def create_schema(database_url: str) -> None:
    """Create the schema `aaa` where it is missing."""
    text = resources.files("turnup.lab").joinpath("aaa_schema.sql").read_bytes()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(text)


class AaaServer:
    """Answers Access-Request and Accounting-Request; `answering` False plays dead."""

    def __init__(self, spec: Aaa, database_url: str) -> None:
        self.answering = True
        self._spec = spec
        self._secret = spec.secret.encode()
        self._pool = AsyncConnectionPool(
            database_url, min_size=1, max_size=4, open=False, timeout=3, kwargs={"autocommit": True}
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, auth: socket.socket, acct: socket.socket) -> None:
        """Serve on two bound sockets; does not wait for the database."""
        await self._pool.open(wait=False)
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: _Port(self), sock=auth)
        await loop.create_datagram_endpoint(lambda: _Port(self), sock=acct)

    async def close(self) -> None:
        await self._pool.close(timeout=1)

    def receive(self, data: bytes, addr: tuple[str, int], transport: asyncio.DatagramTransport) -> None:
        """One datagram; what is not a genuine request of ours is dropped."""
        if not self.answering or len(data) < 20:
            return
        try:
            work = self._work(data)
        except (PacketError, ValueError, KeyError):
            return
        if work is not None:
            task = asyncio.get_running_loop().create_task(self._reply(work, addr, transport))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _work(self, data: bytes) -> Coroutine[None, None, Packet] | None:
        if data[0] == AccessRequest:
            auth = AuthPacket(packet=data, secret=self._secret, dict=DICTIONARY, authenticator=data[4:20])
            genuine = auth.message_authenticator and auth.verify_message_authenticator()
            return self._authenticate(auth) if genuine else None
        if data[0] == AccountingRequest:
            acct = AcctPacket(packet=data, secret=self._secret, dict=DICTIONARY)
            return self._account(acct) if acct.VerifyAcctRequest() else None
        return None

    async def _reply(
        self, work: Coroutine[None, None, Packet], addr: tuple[str, int], transport: asyncio.DatagramTransport
    ) -> None:
        try:
            reply = await work
        except _DATABASE_ERRORS:
            return  # no answer: the NAS repeats, or asks its next server
        if self.answering:
            transport.sendto(reply.ReplyPacket(), addr)

    async def _authenticate(self, packet: AuthPacket) -> Packet:
        username = text_of(packet, "User-Name")
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_FIND, (username,), prepare=True)).fetchone()
        if row is None:
            return await self._refuse(packet, username, "unknown subscriber")
        secret, ipv4, wan, delegated, down_kbps, up_kbps, state, generation = row
        if not self._password_ok(packet, secret):
            return await self._refuse(packet, username, "wrong password")
        if state == "disabled":
            return await self._refuse(packet, username, "subscriber disabled")
        reply: Packet = packet.CreateReply()
        for name, value in (
            ("User-Name", username),
            ("Framed-IP-Address", ipv4),
            ("Framed-IPv6-Prefix", wan),
            ("Delegated-IPv6-Prefix", delegated),
            ("WISPr-Bandwidth-Max-Down", kbps_to_bits(down_kbps)),
            ("WISPr-Bandwidth-Max-Up", kbps_to_bits(up_kbps)),
            ("Filter-Id", WALLED if state == "walled" else None),
            ("Session-Timeout", self._spec.session_timeout_s or None),
            ("Class", f"generation:{generation}".encode()),
        ):
            if value is not None:
                reply[name] = value
        return reply

    @staticmethod
    def _password_ok(packet: AuthPacket, secret: str) -> bool:
        if "CHAP-Password" in packet:
            return bool(packet.VerifyChapPasswd(secret.encode()))
        hidden = packet.get(2)
        return bool(hidden) and packet.PwDecrypt(hidden[0]) == secret

    async def _refuse(self, packet: AuthPacket, username: str, reason: str) -> Packet:
        async with self._pool.connection() as connection:
            await connection.execute(_REJECT, (username, reason), prepare=True)
        reply: Packet = packet.CreateReply()
        reply.code = AccessReject
        reply["Reply-Message"] = reason
        return reply

    async def _account(self, packet: AcctPacket) -> Packet:
        status = ACCT_STATUS.get(one(packet, "Acct-Status-Type", 0))
        reply: Packet = packet.CreateReply()
        if status is None:
            return reply  # RFC 2866: a status we do not keep is still acknowledged
        stamp = one(packet, "Event-Timestamp", 0)
        values = (
            text_of(packet, "NAS-Identifier") or text_of(packet, "NAS-IP-Address"),
            text_of(packet, "Acct-Session-Id"),
            text_of(packet, "User-Name") or None,
            status,
            datetime.fromtimestamp(stamp, UTC),
            one(packet, "Acct-Session-Time", 0),
            one(packet, "Acct-Input-Octets", 0) + (one(packet, "Acct-Input-Gigawords", 0) << 32),
            one(packet, "Acct-Output-Octets", 0) + (one(packet, "Acct-Output-Gigawords", 0) << 32),
            text_of(packet, "Framed-IP-Address") or None,
            TERMINATE_CAUSE.get(one(packet, "Acct-Terminate-Cause", 0)),
            text_of(packet, "ADSL-Agent-Circuit-Id") or None,
        )
        async with self._pool.connection() as connection:
            await connection.execute(_RECORD, values, prepare=True)
        return reply


class _Port(asyncio.DatagramProtocol):
    """One UDP port of the server."""

    def __init__(self, server: AaaServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.receive(data, addr, self._transport)
