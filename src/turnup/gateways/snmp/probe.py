"""Polls many elements at once: sysUpTime, port names, operational states and 64-bit octet counters.

An element that has no `snmp_port` in its management is only pinged. What cannot be asked (no host, no
community) is left out of the answer: not asked is not unreachable.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog
from gufo.snmp import SnmpError
from gufo.snmp.aio import SnmpSession
from icmplib.exceptions import ICMPLibError, SocketPermissionError
from icmplib.models import Host
from icmplib.ping import async_ping

from turnup.contracts.inventory import ElementView
from turnup.contracts.monitoring import Observation
from turnup.gateways.transports import loop
from turnup.kernel.clock import Clock
from turnup.kernel.errors import TurnupError
from turnup.runtime.database import refuse_in_transaction

log = structlog.get_logger(__name__)

_SYS_UPTIME = "1.3.6.1.2.1.1.3.0"
_IF_OPER_STATUS = "1.3.6.1.2.1.2.2.1.8"
_IF_NAME = "1.3.6.1.2.1.31.1.1.1.1"
_IF_HC_IN_OCTETS = "1.3.6.1.2.1.31.1.1.1.6"
_IF_HC_OUT_OCTETS = "1.3.6.1.2.1.31.1.1.1.10"
_UP = 1
_TICKS_PER_S = 100
_TRIES = 3
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class _Target:
    element: ElementView
    host: str
    port: int | None
    """None: ping only."""
    community: str = field(default="", repr=False)


class SnmpProbe:
    """Implements contracts.monitoring.ElementProbe. `community_of` gives an element's SNMP community, None
    where there is none. Management keys: host, snmp_port."""

    def __init__(self, community_of: Callable[[ElementView], str | None], clock: Clock) -> None:
        self._community_of = community_of
        self._clock = clock
        self._complained: set[str] = set()

    def poll(self, elements: Sequence[ElementView], *, deadline_s: float) -> Sequence[Observation]:
        """One observation for each element that can be asked, within `deadline_s` seconds for all."""
        refuse_in_transaction("snmp poll")
        targets = [target for element in elements if (target := self._target(element)) is not None]
        if not targets:
            return []
        at = self._clock.now()
        return loop.run(_poll_all(targets, at, deadline_s), deadline_s + 1.0, "the poll")

    def _target(self, element: ElementView) -> _Target | None:
        host = element.management.get("host")
        if not host:
            return None
        if "snmp_port" not in element.management:
            return _Target(element, host, None)
        try:
            community = self._community_of(element)
        except TurnupError as error:
            self._complain(element, str(error))
            return None
        if not community:
            self._complain(element, "no SNMP community among its credentials")
            return None
        return _Target(element, host, int(element.management["snmp_port"]), community)

    def _complain(self, element: ElementView, reason: str) -> None:
        if element.code not in self._complained:
            self._complained.add(element.code)
            log.warning("element_not_polled", element=element.code, reason=reason)


async def _poll_all(targets: Sequence[_Target], at: datetime, deadline_s: float) -> list[Observation]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(target: _Target) -> Observation | None:
        async with gate:
            return await _observe(target, at, deadline_s)

    found = await asyncio.gather(*(one(target) for target in targets))
    return [observation for observation in found if observation is not None]


async def _observe(target: _Target, at: datetime, deadline_s: float) -> Observation | None:
    try:
        async with asyncio.timeout(deadline_s):
            if target.port is None:
                return await _ping(target, at, deadline_s)
            return await _snmp(target, at, deadline_s)
    except (TimeoutError, OSError, SnmpError):
        return _silent(target, at)


def _silent(target: _Target, at: datetime) -> Observation:
    return Observation(
        element_id=target.element.id, at=at, reachable=False, round_trip_ms=None, ports={}, octets={}
    )


async def _snmp(target: _Target, at: datetime, deadline_s: float) -> Observation:
    address = (await asyncio.get_running_loop().getaddrinfo(target.host, target.port))[0][4][0]
    session = SnmpSession(
        addr=str(address),
        port=target.port or 161,
        community=target.community,
        timeout=deadline_s / (_TRIES + 1),
        max_repetitions=50,
    )
    started, uptime = await _uptime(session)
    round_trip_ms = (time.perf_counter() - started) * 1000
    names = {index: _text(value) for index, value in (await _column(session, _IF_NAME)).items()}
    states = await _column(session, _IF_OPER_STATUS)
    received = await _column(session, _IF_HC_IN_OCTETS)
    sent = await _column(session, _IF_HC_OUT_OCTETS)
    return Observation(
        element_id=target.element.id,
        at=at,
        reachable=True,
        round_trip_ms=round_trip_ms,
        ports={name: states[index] == _UP for index, name in names.items() if index in states},
        octets={
            name: (_number(received[index]), _number(sent[index]))
            for index, name in names.items()
            if index in received and index in sent
        },
        uptime_s=_number(uptime) / _TICKS_PER_S,
    )


async def _uptime(session: SnmpSession) -> tuple[float, object]:
    """(when the answered request was sent, sysUpTime in ticks): asked up to three times."""
    for _ in range(_TRIES - 1):
        started = time.perf_counter()
        try:
            return started, await session.get(_SYS_UPTIME)
        except TimeoutError:
            continue
    started = time.perf_counter()
    return started, await session.get(_SYS_UPTIME)


async def _column(session: SnmpSession, oid: str) -> dict[str, object]:
    """ifIndex -> value of one column."""
    return {found.rpartition(".")[2]: value async for found, value in session.getbulk(oid)}


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


async def _ping(target: _Target, at: datetime, deadline_s: float) -> Observation | None:
    """None where this machine lets us send no ICMP."""
    try:
        host = await _echo(target.host, deadline_s / (_TRIES + 1))
    except ICMPLibError as error:
        log.warning("ping_failed", element=target.element.code, reason=str(error))
        return None
    return Observation(
        element_id=target.element.id,
        at=at,
        reachable=host.is_alive,
        round_trip_ms=host.min_rtt if host.is_alive else None,
        ports={},
        octets={},
    )


async def _echo(host: str, timeout_s: float) -> Host:
    """The kernel's own echo sockets where the group may use them (net.ipv4.ping_group_range), else raw ones,
    which need CAP_NET_RAW."""
    ping = partial(async_ping, host, count=_TRIES, interval=0.05, timeout=timeout_s)
    answer: Host
    try:
        answer = await ping(privileged=False)
    except SocketPermissionError:
        answer = await ping(privileged=True)
    return answer
