"""The real lab as a whole: up, down, and what somebody outside must know to meet its parts.

What it says of itself lies in `endpoints.json` (0600: it holds credentials).
"""

import fcntl
import json
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from turnup.lab.real import namespaces, plan
from turnup.lab.real.gateway import start_gateway
from turnup.lab.real.kea import start_kea
from turnup.lab.real.machine import RealLabError, inside, require, start, succeeds, wait_for, write
from turnup.lab.real.plan import HOME, Plan
from turnup.lab.real.pppoe.access import start_access
from turnup.lab.real.pppoe.guest import require_guests
from turnup.lab.real.radius import start_aaa

_ENDPOINTS = "endpoints.json"
_TAIL_LINES = 5


def up(layout: Plan, home: Path = HOME) -> dict[str, Any]:
    """Build and start everything; what a caller needs to meet the parts. A lab that is there is refused;
    one that fails half-way is removed again. Raises RealLabError."""
    require()
    if layout.pppoe:
        require_guests()
    with _alone(home):
        if namespaces.noted(home)[0]:
            raise RealLabError("a real lab is there already: `turnup lab down` removes it")
        namespaces.note(home, layout)
        try:
            namespaces.make(layout)
            endpoints = _start(layout, home)
        except RealLabError as error:
            words = _last_words(home)
            _remove(home)
            raise RealLabError(f"{error}\n{words}") from error
        except BaseException:
            _remove(home)
            raise
        write(home / _ENDPOINTS, json.dumps(endpoints, indent=2), mode=0o600)
        return endpoints


def down(home: Path = HOME) -> list[str]:
    """Remove everything a lab made, however it ended; the names of what was removed. Safe to repeat."""
    require()
    with _alone(home):
        return _remove(home)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Two that build, or one that builds and one that removes, wait for each other."""
    with home.with_name(f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove(home: Path) -> list[str]:
    removed = namespaces.remove(home)
    shutil.rmtree(home, ignore_errors=True)
    return removed


def endpoints(home: Path = HOME) -> dict[str, Any]:
    """What `up` returned, of the lab that runs. Raises RealLabError when none does."""
    try:
        found: dict[str, Any] = json.loads((home / _ENDPOINTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RealLabError("no real lab runs here: `turnup lab up --real` starts one") from None
    return found


def _last_words(home: Path) -> str:
    """The end of every log: what failed is in one of them, and they are about to go."""
    logs = sorted(path for pattern in ("log", "*.log", "out", "*.out") for path in home.rglob(pattern))
    tails = (
        (path, path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])
        for path in logs
        if path.is_file()
    )
    return "\n".join(f"{path.relative_to(home)}: {line}" for path, tail in tails for line in tail)


def _start(layout: Plan, home: Path) -> dict[str, Any]:
    python = Path(sys.executable)
    _start_core(home, python)
    kea = start_kea(home)
    secret = secrets.token_urlsafe(18)
    servers = [start_aaa(home, name, secret) for name in plan.AAA]
    gateway = start_gateway(home, layout, python)
    pppoe = {}
    if layout.pppoe:
        bng = start_access(home, layout, servers, python)
        pppoe = {"bng": asdict(bng), "routers": [plan.router(n) for n in layout.pppoe_numbers]}
    return {
        "gateway": {
            **asdict(gateway),
            "uplink": plan.UPLINK,
            "ports": [plan.port(n) for n in layout.numbers],
            "garden": f"{plan.GARDEN4} {plan.GARDEN6}",
        },
        "dhcp": {
            "database": asdict(kea),
            "subnets4": " ".join(f"{net}={number}" for number, net in plan.SUBNETS4.items()),
            "subnets6": " ".join(f"{net}={number}" for number, net in plan.WAN6.items()),
            "captive_portal": plan.PORTAL_URL,
        },
        "aaa": [asdict(server) for server in servers],
        "subscribers": [plan.subscriber(n) for n in layout.numbers],
        **pppoe,
    }


def _start_core(home: Path, python: Path) -> None:
    folder = home / plan.CORE
    folder.mkdir()
    start(
        plan.CORE, folder / "server.log", python, "-m", "turnup.lab.real.core_server",
        "--garden", plan.GARDEN4, plan.GARDEN6,
    )  # fmt: skip
    start(plan.CORE, folder / "iperf3.log", "iperf3", "--server")
    listening = inside(
        plan.CORE, "sh", "-c", "ss -Htln sport = :80 | grep -q . && ss -Htln sport = :5201 | grep -q ."
    )
    wait_for(lambda: succeeds(listening), "the core answers")
