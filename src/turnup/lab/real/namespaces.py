"""Namespaces, cables and addresses of the real lab: made in one go, removed by what was written down before.

Whatever runs inside a namespace of ours is ours: `remove` ends it by process id, taken from the namespace.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from turnup.lab.real import plan
from turnup.lab.real.machine import RealLabError, run, wait_for
from turnup.lab.real.plan import Plan

_NOTE = "made.json"
_PPPOE_CABLE = "tl-mppp"


def note(home: Path, layout: Plan) -> None:
    """Write down what is about to be made, so that `remove` finds it even after kill -9 in the middle."""
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    cables = [_cable(n) for n in range(len(plan.MANAGED))]
    made = {"namespaces": layout.namespaces, "links": [*cables, _PPPOE_CABLE, plan.BRIDGE]}
    part = home / f"{_NOTE}.part"
    part.write_text(json.dumps(made), encoding="utf-8")
    part.replace(home / _NOTE)


def noted(home: Path) -> tuple[list[str], list[str]]:
    """(namespaces, links) of a lab that was begun; empty when there is none."""
    try:
        made = json.loads((home / _NOTE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [], []
    return made["namespaces"], made["links"]


def _cable(n: int) -> str:
    """This machine's end of the management cable to the n-th managed namespace."""
    return f"tl-m{n}"


def make(layout: Plan) -> None:
    """All namespaces with their cables and fixed addresses; namespaces by these names are not there yet."""
    there = existing()
    taken = sorted(set(layout.namespaces) & there)
    if taken:
        raise RealLabError(f"namespaces {', '.join(taken)} exist and are not of this lab; remove them first")
    for name in layout.namespaces:
        run("ip", "netns", "add", name)
    _batch(None, [f"link add {plan.BRIDGE} type bridge forward_delay 0"])
    _batch(None, [f"addr add {plan.THIS_MACHINE}/24 dev {plan.BRIDGE}", f"link set {plan.BRIDGE} up"])
    for n, (name, address) in enumerate(plan.MANAGED.items()):
        _batch(None, [f"link add {_cable(n)} type veth peer name mgmt netns {name}"])
        _batch(None, [f"link set {_cable(n)} master {plan.BRIDGE}", f"link set {_cable(n)} up"])
        _batch(name, ["link set lo up", f"addr add {address}/24 dev mgmt", "link set mgmt up"])
    for name, address in ((plan.GATEWAY, plan.GATEWAY6), (plan.KEA, plan.KEA6)):
        _batch(name, [f"addr add {address}/64 dev mgmt nodad"])
    _core()
    for n in layout.numbers:
        _subscriber(n)
    _gateway(layout)
    if layout.pppoe:
        _pppoe(layout)


def _core() -> None:
    _batch(plan.GATEWAY, [f"link add {plan.UPLINK} type veth peer name eth0 netns {plan.CORE}"])
    _settings(plan.CORE, ["net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"])
    _batch(
        plan.CORE,
        [
            "link set lo up",
            "link set eth0 up",
            *(f"addr add {address}/24 dev eth0" for address in (plan.INTERNET4, plan.GARDEN4)),
            *(f"addr add {address}/64 dev eth0 nodad" for address in (plan.INTERNET6, plan.GARDEN6)),
            *(f"route add {net} via {plan.UPLINK4.partition('/')[0]}" for net in plan.SUBNETS4.values()),
            *(
                f"route add {net} via {plan.UPLINK6.partition('/')[0]}"
                for net in (*plan.WAN6.values(), plan.DELEGATED6)
            ),
        ],
    )


def _subscriber(n: int) -> None:
    name = plan.subscriber(n)
    _batch(plan.GATEWAY, [f"link add {plan.port(n)} type veth peer name eth0 netns {name}"])
    _settings(name, ["net.ipv6.conf.eth0.accept_ra=2", "net.ipv6.conf.eth0.accept_dad=0"])
    _batch(name, ["link set lo up", f"link set eth0 address 02:00:00:00:00:{n:02x}", "link set eth0 up"])


def _gateway(layout: Plan) -> None:
    """A router with addresses on its interfaces; what subscribers may do is its manager's business."""
    _settings(
        plan.GATEWAY,
        [
            "net.ipv4.ip_forward=1",
            "net.ipv6.conf.all.forwarding=1",
            "net.ipv6.conf.all.accept_dad=0",
            "net.ipv6.conf.default.accept_dad=0",
            *(f"net.ipv4.conf.{plan.port(n)}.proxy_arp=1" for n in layout.numbers),
            *(f"net.ipv6.conf.{plan.port(n)}.accept_dad=0" for n in layout.numbers),
        ],
    )
    lines = [
        f"addr add {plan.UPLINK4} dev {plan.UPLINK}",
        f"addr add {plan.UPLINK6} dev {plan.UPLINK} nodad",
        f"link set {plan.UPLINK} up",
    ]
    for n in layout.numbers:
        lines += [f"addr add {router}/32 dev {plan.port(n)}" for router in plan.ROUTERS4]
        lines += [f"addr add fe80::1/64 dev {plan.port(n)} nodad", f"link set {plan.port(n)} up"]
    _batch(plan.GATEWAY, lines)


def _pppoe(layout: Plan) -> None:
    """Bridges that join the guests' cards to each other, to the core and to the management bridge."""
    taps = dict(zip(("access", "core", "mgmt"), plan.BNG_TAPS, strict=True))
    members = [(tap, bridge) for bridge, tap in taps.items()]
    members += [(plan.router_tap(n), "access") for n in layout.pppoe_numbers]
    lines = [f"link add {bridge} type bridge forward_delay 0 mcast_snooping 0" for bridge in taps]
    lines += [f"link set {bridge} up" for bridge in taps]
    lines += [f"tuntap add dev {tap} mode tap" for tap, _ in members]
    lines.append(f"link add to-core type veth peer name eth1 netns {plan.CORE}")
    members += [("to-core", "core"), ("to-mgmt", "mgmt")]
    _batch(None, [f"link add {_PPPOE_CABLE} type veth peer name to-mgmt netns {plan.PPPOE}"])
    _batch(None, [f"link set {_PPPOE_CABLE} master {plan.BRIDGE}", f"link set {_PPPOE_CABLE} up"])
    lines += [f"link set {name} master {bridge} up" for name, bridge in members]
    _settings(plan.PPPOE, ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])
    _batch(plan.PPPOE, lines)
    _batch(
        plan.CORE,
        [
            "link set eth1 up",
            f"addr add {plan.BNG_CORE4} dev eth1",
            f"addr add {plan.BNG_CORE6} dev eth1 nodad",
            f"route add {plan.PPPOE_NET4} via {plan.BNG_UPLINK4.partition('/')[0]}",
            *(
                f"route add {net} via {plan.BNG_UPLINK6.partition('/')[0]}"
                for net in (plan.PPPOE_WAN6, plan.PPPOE_DELEGATED6)
            ),
        ],
    )


def _batch(namespace: str | None, lines: Iterable[str]) -> None:
    where = [] if namespace is None else ["-n", namespace]
    run("ip", *where, "-batch", "-", given="\n".join(lines) + "\n")


def _settings(namespace: str, settings: Iterable[str]) -> None:
    run("ip", "netns", "exec", namespace, "sysctl", "-qw", *settings)


def existing() -> set[str]:
    """Names of all network namespaces of this machine."""
    return {line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.strip()}


def remove(home: Path) -> list[str]:
    """End everything that runs in the noted namespaces, and remove them and the links; what was removed."""
    namespaces, links = noted(home)
    there = existing()
    gone = [name for name in namespaces if name in there]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for name in gone:
            _signal(name, number)
        if number == signal.SIGTERM:
            _give_time(gone)
    for name in gone:
        run("ip", "netns", "delete", name)
    # a cable goes with its namespace, but the kernel takes its time over that
    for link in links:
        if subprocess.run(["ip", "link", "delete", link], capture_output=True, check=False).returncode == 0:
            gone.append(link)
    (home / _NOTE).unlink(missing_ok=True)
    return gone


def processes(namespace: str) -> list[int]:
    """Ids of what runs in a namespace."""
    return [int(line) for line in run("ip", "netns", "pids", namespace).split()]


def _signal(namespace: str, number: signal.Signals) -> None:
    for pid in processes(namespace):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _give_time(namespaces: list[str]) -> None:
    try:
        wait_for(
            lambda: not any(processes(name) for name in namespaces), "the lab's processes end", timeout_s=5.0
        )
    except RealLabError:
        return  # SIGKILL comes next
