"""Starting the PPPoE access: the BNG, and subscribers' routers that are switched on and do not dial yet."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from turnup.lab.real import plan
from turnup.lab.real.machine import write
from turnup.lab.real.plan import Plan
from turnup.lab.real.pppoe.guest import start_guest, wait_until_ready
from turnup.lab.real.radius import AaaAccess

_BNG_MACS = ("02:00:00:01:00:01", "02:00:00:01:00:02", "02:00:00:01:00:03")
_BNG_MB, _CPE_MB = 192, 96
INTERIM_S = 60
"""pppd takes no less."""


@dataclass(frozen=True, slots=True)
class BngAccess:
    """What the BNG's administrator hands to who manages its sessions."""

    code: str
    host: str
    coa_secret: str


def bng_folder(home: Path = plan.HOME) -> Path:
    return home / plan.PPPOE / plan.BNG


def router_folder(n: int, home: Path = plan.HOME) -> Path:
    """Of the n-th PPPoE subscriber's router."""
    return home / plan.PPPOE / plan.router(n)


def start_access(home: Path, layout: Plan, servers: Sequence[AaaAccess], python: Path) -> BngAccess:
    """Start all guests; returns when they are up."""
    folder = bng_folder(home)
    folder.mkdir(parents=True)
    local, coa = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    settings = {
        "nas": plan.BNG,
        "management": plan.BNG_HOST,
        "mac": _BNG_MACS[0],
        "servers": [{"host": server.host, "secret": server.secret} for server in servers],
        "local_secret": local,
        "coa_secret": coa,
        "interim_s": INTERIM_S,
        "garden": [plan.GARDEN4, plan.GARDEN6],
    }
    write(folder / "bng.json", json.dumps(settings), mode=0o600)
    write(folder / "radius-servers", f"127.0.0.1 {local}\n", mode=0o600)
    write(folder / "addresses.sh", _addresses())
    cards = list(zip(plan.BNG_TAPS, _BNG_MACS, strict=True))
    start_guest(folder, plan.BNG, init="bng.sh", memory_mb=_BNG_MB, cards=cards, python=python)
    for n in layout.pppoe_numbers:
        mac = f"02:00:00:02:00:{n:02x}"
        start_guest(
            router_folder(n, home), plan.router(n), init="cpe.sh", memory_mb=_CPE_MB,
            cards=[(plan.router_tap(n), mac)], python=python,
        )  # fmt: skip
    for each in (folder, *(router_folder(n, home) for n in layout.pppoe_numbers)):
        wait_until_ready(each)
    return BngAccess(plan.BNG, plan.BNG_HOST, coa)


def _addresses() -> str:
    """What the BNG's own administrator configured: read by boot/bng.sh."""
    core4, core6 = (each.partition("/")[0] for each in (plan.BNG_CORE4, plan.BNG_CORE6))
    return (
        f"ip addr add {plan.BNG_HOST}/24 dev mgmt\n"
        f"ip addr add {plan.BNG_UPLINK4} dev core\n"
        f"ip addr add {plan.BNG_UPLINK6} dev core nodad\n"
        f"ip route add default via {core4}\n"
        f"ip -6 route add default via {core6} dev core\n"
        f"MANAGEMENT_NET={plan.MANAGEMENT_NET}\n"
        f"ROUTER4={plan.PPPOE_ROUTER4}\n"
        f"UNUSED4={plan.PPPOE_UNUSED4}\n"
    )
