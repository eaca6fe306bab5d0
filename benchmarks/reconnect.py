"""A BNG restarts and everybody dials in again at once: how fast Turnup has taken that in.

    python -m benchmarks.reconnect --sessions 60000 --json -

So many services with a live session each, as the AAA server's accounting told it. Then the NAS says
Accounting-On and everybody's new Start stands in the AAA database, as an AAA server wrote them (how fast:
benchmarks.aaa). `seconds` runs from there until the collector has read them all, every former session
is ended, every event is handled and every service is online again. API, workers, collector and PostgreSQL are
the product's own processes.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import text

from benchmarks.report import machine, report
from turnup.app.demo.stand import Stand
from turnup.kernel.ids import new_id
from turnup.runtime.durable import pending
from turnup.runtime.events import lag, parked
from turnup.runtime.settings import default_data_dir

_NAS = "bng1"
_SPEC = '{"code": "internet", "name": "Internet", "rfs": [], "resources": []}'
_SERVICES = text("""
    INSERT INTO provisioning.service (service_id, number, product_id, customer_id, account_id, spec, state,
        management, admission, generation, verified_generation, characteristics, resources, elements, login,
        secret_sealed, configured_at, created_at)
    SELECT gen_random_uuid(), 'B' || n, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
        CAST(:spec AS jsonb), 'configured', 'managed', 'full', 1, 1, '{}', '{}', '{}',
        'line' || n || '@isp', '', :now, :now
    FROM generate_series(1, :count) AS n""")
_RECORDS = """
    INSERT INTO aaa.accounting (nas, session_id, username, status, event_at, session_time_s, input_octets,
                                output_octets)
    SELECT %(nas)s, %(mark)s || n, 'line' || n || '@isp', %(status)s, %(at)s, %(time)s, %(octets)s, %(octets)s
    FROM generate_series(1, %(count)s) AS n"""
_STATE = text("""
    SELECT (SELECT count(*) FROM monitoring.session WHERE ended_at IS NULL AND session_id LIKE :mark),
           (SELECT count(*) FROM monitoring.session WHERE cause = 'NAS-Reboot'),
           (SELECT count(*) FROM provisioning.service WHERE online)""")


class Storm:
    """Accounting written as an AAA server writes it, and what became of it."""

    def __init__(self, stand: Stand, count: int) -> None:
        self._stand = stand
        self._count = count
        self._aaa = psycopg.connect(stand.engine.aaa_url.replace("+psycopg", ""), autocommit=True)

    def tell(self, mark: str, status: str, at: datetime, *, seconds: int = 0, octets: int = 0) -> None:
        values: dict[str, Any] = {"nas": _NAS, "mark": mark, "status": status, "at": at, "time": seconds}
        self._aaa.execute(_RECORDS, {**values, "octets": octets, "count": self._count})

    def restart(self, at: datetime) -> None:
        self._aaa.execute(
            "INSERT INTO aaa.accounting (nas, session_id, status, event_at) VALUES (%s, 'nas@1', 'on', %s)",
            (_NAS, at),
        )

    def state(self, mark: str) -> tuple[int, int, int]:
        """(live sessions of this mark, sessions ended by the restart, services online)."""
        with self._stand.house.database.engine.connect() as connection:
            row = connection.execute(_STATE, {"mark": f"{mark}%"}).one()
            return int(row[0]), int(row[1]), int(row[2])

    def until(self, mark: str, ended: int, *, patience_s: float = 900.0) -> dict[str, float]:
        """Seconds until all sessions are known, and until everything they mean is done."""
        began = time.perf_counter()
        seen: dict[str, float] = {}
        while True:
            live, over, online = self.state(mark)
            now = time.perf_counter() - began
            if (live, over) == (self._count, ended):
                seen.setdefault("read", now)
                if online == self._count and self._quiet():
                    seen["done"] = now
                    return seen
            if now > patience_s:
                sys.exit(f"after {patience_s:.0f} s: {live} live, {over} ended, {online} online")
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{live} live, {over} ended, {online} online  ")
                sys.stderr.flush()
            time.sleep(0.25)

    def _quiet(self) -> bool:
        with self._stand.house.database.engine.connect() as connection:
            if parked(connection):
                sys.exit(f"parked: {parked(connection)[:1]}")
            return not pending(connection) and not any(lag(connection).values())


def measure(count: int) -> Mapping[str, Any]:
    folder = default_data_dir().resolve().with_name(f"turnup-bench-{new_id().hex[-8:]}")
    with Stand(folder, {"simulated_clock": "false", "workers": "2"}) as stand:
        stand.start_database()
        now = stand.house.runtime.clock.now()
        with stand.house.database.engine.begin() as connection:
            connection.execute(_SERVICES, {"spec": _SPEC, "now": now, "count": count})
            connection.execute(text("ANALYZE provisioning.service"))
        stand.start_processes()
        storm = Storm(stand, count)
        before, after = secrets.token_hex(3), secrets.token_hex(3)
        storm.tell(before, "start", now)
        storm.until(before, 0)
        storm.tell(before, "interim", now + timedelta(minutes=10), seconds=600, octets=10**9)
        storm.restart(now + timedelta(minutes=11))
        storm.tell(after, "start", now + timedelta(minutes=12))
        seconds = storm.until(after, count)
        return {
            "sessions": count,
            "read_seconds": round(seconds["read"], 1),
            "seconds": round(seconds["done"], 1),
            "sessions_per_second": round(count / seconds["done"]),
            "check": "ok",
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=60_000)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - is standard output")
    arguments = parser.parse_args()
    on = machine()
    report("reconnect", measure(arguments.sessions), on, arguments.json)


if __name__ == "__main__":
    main()
