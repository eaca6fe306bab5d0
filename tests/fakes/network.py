"""A small network that monitoring can watch: its inventory, its logins, its accounting, its polls.

Two OLTs on one BNG; service n hangs on olt1 (odd) or olt2 (even). Each fake keeps state and answers from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from turnup.contracts.inventory import ElementView, LinkView
from turnup.contracts.monitoring import AccountingRecord, Observation
from turnup.kernel.clock import Clock
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import ElementId, LinkId, ServiceId, SiteId, derived_id

ROLES = {"bng1": "bng", "olt1": "access", "olt2": "access"}
LINKS = (("olt1", "xe-0/0/0", "bng1", "xe-0/0/0"), ("olt2", "xe-0/0/0", "bng1", "xe-0/0/1"))


def element_id(code: str) -> ElementId:
    return ElementId(derived_id("element", code))


def service_id(n: int) -> ServiceId:
    return ServiceId(derived_id("service", n))


class FakeNetwork:
    """contracts.inventory.Reads, as far as monitoring reads it."""

    def __init__(self) -> None:
        self.codes = dict(ROLES)
        self.wires = list(LINKS)
        self.alone: set[tuple[str, str]] = set()
        """Ports (element, port) of a single subscriber."""
        self.lines = {service_id(n): ("olt1" if n % 2 else "olt2", f"pon-0/1/{n}") for n in range(1, 5)}

    def elements(self, role: str | None = None) -> Sequence[ElementView]:
        return [
            ElementView(
                id=element_id(code),
                code=code,
                role=each,
                site_id=SiteId(derived_id("site", "pop1")),
                driver="tlos",
                management={"host": "192.0.2.1"},
                status="in_service",
            )
            for code, each in self.codes.items()
            if role in (None, each)
        ]

    def links(self) -> Sequence[LinkView]:
        return [
            LinkView(
                id=LinkId(derived_id("link", *ends)),
                a_element=element_id(ends[0]),
                a_port=ends[1],
                b_element=element_id(ends[2]),
                b_port=ends[3],
            )
            for ends in self.wires
        ]

    def single_lines(self) -> set[tuple[ElementId, str]]:
        return {(element_id(code), port) for code, port in self.alone}

    def services_behind(self, element: ElementId, port: str | None = None) -> Sequence[ServiceId]:
        return sorted(
            service
            for service, (code, line_port) in self.lines.items()
            if element_id(code) == element and port in (None, line_port)
        )


class FakeServices:
    """contracts.provisioning.Reads: login ``s1@isp`` is service 1's, once it is known."""

    def __init__(self) -> None:
        self.known = {f"s{n}@isp": service_id(n) for n in range(1, 5)}

    def services_by_login(self, logins: Sequence[str]) -> Mapping[str, ServiceId]:
        return {login: self.known[login] for login in logins if login in self.known}


class FakeAccounting:
    """contracts.monitoring.AccountingSource over a list, and AccountingSources of nothing else."""

    def __init__(self) -> None:
        self.records: list[AccountingRecord] = []
        self.away = False

    def add(self, status: str, at: datetime, *, n: int = 1, session: str = "a", time_s: int = 0,
            up: int = 0, down: int = 0, nas: str = "bng1", cause: str | None = None) -> None:  # fmt: skip
        self.records.append(
            AccountingRecord(
                source_id=len(self.records) + 1, nas=nas, session_id=session,
                username="" if status.startswith("accounting") else f"s{n}@isp", status=status, event_at=at,
                session_time_s=time_s, input_octets=up, output_octets=down, framed_ipv4=f"192.0.2.{n}",
                cause=cause, circuit_id=None,
            )
        )  # fmt: skip

    def sources(self) -> Mapping[str, "FakeAccounting"]:
        return {"aaa1": self}

    def read_after(self, cursor: int, limit: int) -> Sequence[AccountingRecord]:
        if self.away:
            raise Unavailable("the AAA database does not answer")
        return self.records[cursor : cursor + limit]


class FakeProbe:
    """contracts.monitoring.ElementProbe: elements answer unless silent; ports are up unless down."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.silent: set[str] = set()
        self.down: set[tuple[str, str]] = set()
        self.octets = 0

    def poll(self, elements: Sequence[ElementView], *, deadline_s: float) -> Sequence[Observation]:
        return [self._observe(element) for element in elements]

    def _observe(self, element: ElementView) -> Observation:
        ports = ["xe-0/0/0", "xe-0/0/1", *(f"pon-0/1/{n}" for n in range(1, 5))]
        seen = Observation(
            element_id=element.id, at=self._clock.now(), reachable=True, round_trip_ms=1.0, uptime_s=60.0,
            ports={port: (element.code, port) not in self.down for port in ports},
            octets=dict.fromkeys(ports, (self.octets, 2 * self.octets)),
        )  # fmt: skip
        if element.code in self.silent:
            return replace(seen, reachable=False, round_trip_ms=None, ports={}, octets={}, uptime_s=None)
        return seen


SECOND = timedelta(seconds=1)
