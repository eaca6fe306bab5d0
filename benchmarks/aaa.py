"""How much AAA a small machine bears: `python -m benchmarks.aaa --json -` (needs root and `make peers`).

FreeRADIUS answers from our database (one query a request, secrets encrypted, Message-Authenticator demanded)
and, in the same run and on the same PostgreSQL, from its stock SQL schema: same subscribers, same attributes,
same packets. `radclient` asks; every Access-Accept is counted, and every accounting packet must be found in
the database afterwards. Accounting is Start, Interim-Update and Stop of as many sessions. Rounds alternate
between the two; the figures are each side's median.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.aaa_stock import STOCK_AUTH_PORT, fill_stock, start_stock
from benchmarks.report import machine, report
from turnup.contracts.configuration import Change, Credentials, Fragment
from turnup.contracts.inventory import ElementView
from turnup.gateways.aaa_database.driver import KIND, AaaDatabaseDriver
from turnup.kernel.ids import ElementId, ServiceId, SiteId, derived_id
from turnup.lab.real import lab, plan
from turnup.lab.real.machine import RealLabError
from turnup.lab.real.postgres import Postgres

_AUTH_PORT = 1812
_AT_ONCE = 64
_TOGETHER = 1000
_INTERIM_OCTETS, _STOP_OCTETS = 1_000, 5_000
_SUMMARY = re.compile(r"^\s*(\w+)\s*:\s*(\d+)", re.MULTILINE)


class Wrong(Exception):
    """Something was lost, refused or counted twice: the figures mean nothing."""


@dataclass(frozen=True)
class Line:
    """Everything about subscriber `n` follows from `n`."""

    n: int

    @property
    def username(self) -> str:
        return f"line{self.n:06d}@isp"

    @property
    def secret(self) -> str:
        return f"pw-{self.n:06d}"

    @property
    def attributes(self) -> dict[str, str]:
        """As provisioning would write them."""
        return {
            "username": self.username,
            "secret": self.secret,
            "ipv4": f"10.{self.n >> 16}.{self.n >> 8 & 255}.{self.n & 255}",
            "ipv6_wan": f"2001:db8:{self.n >> 16:x}:{self.n & 0xFFFF:x}::/64",
            "ipv6_pd": f"2001:db9:{self.n >> 8:x}:{(self.n & 255) << 8:x}::/56",
            "down_kbps": "300000",
            "up_kbps": "50000",
            "state": "active",
        }


@dataclass(frozen=True)
class Server:
    """One FreeRADIUS as its clients know it."""

    host: str
    port: int
    secret: str

    def ask(self, kind: str, packets: Iterable[str]) -> tuple[int, float]:
        """Send all packets, some at once; (answers that were accepted, seconds)."""
        port = self.port + (kind == "acct")
        with tempfile.NamedTemporaryFile("w", suffix=".packets") as file:
            file.write("\n\n".join(packets))
            file.flush()
            began = time.perf_counter()
            done = subprocess.run(
                ["radclient", "-q", "-s", "-p", str(_AT_ONCE), "-r", "4", "-t", "3", "-f", file.name,
                 f"{self.host}:{port}", kind, self.secret],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            seconds = time.perf_counter() - began
        summary = dict(_SUMMARY.findall(done.stdout))
        if "Accepted" not in summary:
            raise Wrong(f"radclient says: {(done.stdout + done.stderr)[-500:]}")
        return int(summary["Accepted"]), seconds


def access_requests(lines: Iterable[Line]) -> Iterator[str]:
    for line in lines:
        yield (
            f'User-Name = "{line.username}"\nUser-Password = "{line.secret}"\n'
            'NAS-Identifier = "bench"\nMessage-Authenticator = 0x00'
        )


def accounting(lines: Iterable[Line], status: str, seconds: int, octets: int, mark: str) -> Iterator[str]:
    """One packet of each line's session in this round (`mark`)."""
    for line in lines:
        yield (
            f'User-Name = "{line.username}"\nAcct-Session-Id = "{mark}-{line.n}"\n'
            f'Acct-Status-Type = {status}\nNAS-Identifier = "bench"\nNAS-IP-Address = 192.0.2.1\n'
            f"Acct-Session-Time = {seconds}\nAcct-Input-Octets = {octets}\nAcct-Output-Octets = {octets}\n"
            f"Framed-IP-Address = {line.attributes['ipv4']}"
        )


def accepts_per_second(server: Server, lines: list[Line]) -> float:
    accepted, seconds = server.ask("auth", access_requests(lines))
    if accepted != len(lines):
        raise Wrong(f"{accepted} of {len(lines)} were accepted")
    return accepted / seconds


def accounting_per_second(server: Server, lines: list[Line], mark: str) -> float:
    """Start of all sessions, then Interim-Update, then Stop."""
    total, taken = 0, 0.0
    for status, second, octets in (
        ("Start", 0, 0),
        ("Interim-Update", 60, _INTERIM_OCTETS),
        ("Stop", 120, _STOP_OCTETS),
    ):
        accepted, seconds = server.ask("acct", accounting(lines, status, second, octets, mark))
        if accepted != len(lines):
            raise Wrong(f"{accepted} of {len(lines)} {status} packets were answered")
        total, taken = total + accepted, taken + seconds
    return total / taken


def provision(access: dict[str, Any], lines: list[Line]) -> None:
    """By the driver that provisions a real AAA server."""
    database = access["database"]
    element = ElementView(
        id=ElementId(derived_id("element", "aaa1")),
        code="aaa1",
        role="aaa",
        site_id=SiteId(derived_id("site", "bench")),
        driver="aaa_database",
        management={name: str(database[name]) for name in ("host", "port", "database")},
        status="in_service",
    )
    credentials = Credentials(
        username=database["username"], password=database["password"], data_key=access["data_key"]
    )
    driver = AaaDatabaseDriver("")
    for first in range(0, len(lines), _TOGETHER):
        changes = [
            Change(
                kind=KIND,
                service_id=(service := ServiceId(derived_id("service", "aaa", str(line.n)))),
                want=Fragment(service_id=service, kind=KIND, attributes=line.attributes, generation=1),
                generation=1,
            )
            for line in lines[first : first + _TOGETHER]
        ]
        driver.apply(element, credentials, changes, deadline_s=60.0)
    driver.close()


def check(postgres: Postgres, sessions: int) -> None:
    """Every packet that was answered is in the database, once."""
    ours = postgres.sql(
        "SELECT count(*), count(DISTINCT (session_id, status)), coalesce(sum(input_octets), 0)"
        " FROM aaa.accounting WHERE nas = 'bench'",
        "aaa",
    ).strip()
    octets = sessions * (_INTERIM_OCTETS + _STOP_OCTETS)
    if ours != f"{3 * sessions}|{3 * sessions}|{octets}":
        raise Wrong(f"our database holds {ours} (rows, packets, octets) of {sessions} sessions")
    stock = postgres.sql(
        "SELECT count(*), count(acctstoptime), coalesce(sum(acctinputoctets), 0) FROM radacct", "radius"
    ).strip()
    if stock != f"{sessions}|{sessions}|{sessions * _STOP_OCTETS}":
        raise Wrong(f"the stock database holds {stock} (sessions, ended, octets) of {sessions} sessions")


@contextmanager
def real_lab() -> Iterator[dict[str, Any]]:
    endpoints = lab.up(plan.Plan(subscribers=1))
    try:
        yield endpoints
    finally:
        lab.down()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3, help="of each server, alternating")
    parser.add_argument("--json", metavar="FILE", default="-", help="- prints")
    options = parser.parse_args()
    on = machine()
    try:
        with real_lab() as endpoints:
            figures = _measure(endpoints["aaa"][0], options.subscribers, options.rounds)
    except (RealLabError, Wrong) as error:
        sys.exit(str(error))
    report("aaa", figures, on, options.json)


def _measure(access: dict[str, Any], subscribers: int, rounds: int) -> dict[str, object]:
    name = plan.AAA[0]
    postgres = Postgres(name, access["host"], plan.HOME / name / "postgres")
    lines = [Line(n) for n in range(subscribers)]
    provision(access, lines)
    fill_stock(postgres, [(line.username, line.attributes) for line in lines])
    start_stock(postgres, access["secret"])
    postgres.sql("ANALYZE", "aaa")
    postgres.sql("ANALYZE", "radius")
    servers = {
        "": Server(access["host"], _AUTH_PORT, access["secret"]),
        "peer_": Server(access["host"], STOCK_AUTH_PORT, access["secret"]),
    }
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        for prefix, server in servers.items():
            accepts = accepts_per_second(server, lines)
            accounted = accounting_per_second(server, lines, f"r{number}")
            found.setdefault(f"{prefix}accepts_per_second", []).append(accepts)
            found.setdefault(f"{prefix}accounting_per_second", []).append(accounted)
            print(
                f"{prefix or 'ours '}{accepts:.0f} accepts/s, {accounted:.0f} accounting/s", file=sys.stderr
            )
    check(postgres, rounds * subscribers)
    figures: dict[str, object] = {name: round(median(values)) for name, values in found.items()}
    for what in ("accepts", "accounting"):
        ours, peer = (median(found[f"{prefix}{what}_per_second"]) for prefix in servers)
        figures[f"{what}_ratio"] = round(ours / peer, 2)
    return {"subscribers": subscribers, "rounds": rounds, **figures, "check": "ok"}


if __name__ == "__main__":
    main()
