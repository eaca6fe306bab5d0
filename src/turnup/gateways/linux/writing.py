"""From changes to the script that makes them true on a Linux access gateway.

One script is one apply: under the gateway's own lock it checks that nothing has moved since it was read,
notes the services' files (generation first: the fence), makes classes and routes, switches all nftables
elements in one transaction, and takes away what is not needed any more.
"""

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from turnup.contracts.configuration import Change, ElementRefused, Fragment
from turnup.gateways.linux.reading import Gateway, Held, canonical, class_rate_bps
from turnup.gateways.linux.ruleset import FOLDER, ROUTE_PROTOCOL, Base, is_device

MOVED, BUSY = 75, 76
"""Exit statuses of the script: read again; the lock was not to be had."""
_FIRST_MINOR, _LAST_MINOR = 0x10, 0xFFFE
_LOCK_WAIT_S = 5
_BURST_MS = 10
_BURST_BYTES_MIN = 16_000
_TOMBSTONE_DAYS = 30
_BOOT = f"""#!/bin/sh
# Brings back what the subscribers of this gateway have, after a reboot; run it once the interfaces are there.
cd {FOLDER} && nft -f base.nft && exec 2>&1
every() {{
  find . -name '*.service' -exec sed -n "s/^$1 //p" {{}} +
}}
every qdisc | sort -u | while read -r device; do
  tc qdisc show dev "$device" | grep -q '^qdisc htb 1:' ||
    tc qdisc add dev "$device" root handle 1: htb default 0
done
every tc | tc -batch -
every ip | ip -batch -
every nft | nft -f -
"""
_ATTRIBUTES = frozenset(
    {"username", "circuit_id", "ipv4", "ipv6_wan", "ipv6_pd", "down_kbps", "up_kbps", "walled"}
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One service's fragment, checked and in the kernel's spelling."""

    service: str
    generation: int
    username: str
    circuit_id: str
    port: str
    ipv4: str | None
    ipv6_wan: str | None
    ipv6_pd: str | None
    down_kbps: int
    up_kbps: int
    walled: bool

    @classmethod
    def of(cls, fragment: Fragment) -> "Wanted":
        """Raises ElementRefused naming what the gateway cannot take."""
        given = fragment.attributes
        unknown = sorted(set(given) - _ATTRIBUTES)
        if unknown:
            raise _refused(unknown[0], f"a Linux gateway has no {', '.join(unknown)}")
        circuit_id = _line(given, "circuit_id")
        port = circuit_id.split("/")[1] if circuit_id.count("/") >= 2 else ""
        if not is_device(port):
            raise _refused("circuit_id", f"{circuit_id!r} names no interface of the gateway")
        wanted = cls(
            service=str(fragment.service_id),
            generation=fragment.generation,
            username=_line(given, "username"),
            circuit_id=circuit_id,
            port=port,
            ipv4=_address(given, "ipv4"),
            ipv6_wan=_address(given, "ipv6_wan"),
            ipv6_pd=_address(given, "ipv6_pd"),
            down_kbps=_rate(given, "down_kbps"),
            up_kbps=_rate(given, "up_kbps"),
            walled=given.get("walled") == "yes",
        )
        if wanted.ipv4 is None and wanted.ipv6_wan is None:
            raise _refused("ipv4", "a subscriber needs an IPv4 address or an IPv6 prefix")
        return wanted

    def elements(self) -> list[tuple[str, str, str]]:
        """(family suffix, element, comment) of the addresses that are hers."""
        found = [("4", self.ipv4, self.service)] if self.ipv4 else []
        found += [("6", self.ipv6_wan, f"{self.service} wan")] if self.ipv6_wan else []
        found += [("6", self.ipv6_pd, f"{self.service} pd")] if self.ipv6_pd else []
        return found

    def routes(self) -> list[str]:
        """Lines of ``ip -batch``. The delegated prefix lies behind her router's address in the WAN prefix."""
        tail = f"dev {self.port} proto {ROUTE_PROTOCOL}"
        found = [f"route replace {self.ipv4} {tail}"] if self.ipv4 else []
        if self.ipv6_wan:
            found.append(f"route replace {self.ipv6_wan} {tail}")
        if self.ipv6_pd and self.ipv6_wan:
            found.append(f"route replace {self.ipv6_pd} via {wan_address(self.ipv6_wan)} {tail}")
        elif self.ipv6_pd:
            found.append(f"route replace {self.ipv6_pd} {tail}")
        return found


def wan_address(prefix: str) -> str:
    """The subscriber router's own address: the first of her WAN prefix."""
    return str(ipaddress.IPv6Network(prefix).network_address + 1)


@dataclass(slots=True)
class _Steps:
    """Lines by the program that takes them, in the order they are to be run."""

    files: list[str] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)
    classes: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    removals: list[str] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    old_routes: list[str] = field(default_factory=list)
    old_classes: list[str] = field(default_factory=list)


def script(base: Base, gateway: Gateway, changes: Sequence[Change]) -> tuple[str, tuple[str, ...]]:
    """(script for /bin/sh, the commands in it for people). `gateway` is what was read last."""
    steps = _Steps()
    free = _free_minors(gateway)
    for change in changes:
        key = str(change.service_id)
        held = gateway.services.get(key, Held())
        if change.want is None:
            steps.files += [f"service {key}", f"generation {change.generation}"]
            _take_away(steps, base, held, None)
            continue
        wanted = Wanted.of(change.want)
        minor = held.minor if held.minor is not None and held.present else next(free)
        _take_away(steps, base, held, wanted)
        _put(steps, base, wanted, minor)
    nft = [*steps.removals, *steps.elements]
    said = (*steps.classes, *steps.routes, *nft, *steps.old_routes, *steps.old_classes)
    return _assemble(base, gateway, steps, nft), said


def _free_minors(gateway: Gateway) -> "_Minors":
    taken = gateway.minors | {held.minor for held in gateway.services.values() if held.minor is not None}
    return _Minors(taken)


class _Minors:
    """Gives the lowest free class, each once."""

    def __init__(self, taken: set[int]) -> None:
        self._taken = taken
        self._next = _FIRST_MINOR

    def __next__(self) -> int:
        while self._next in self._taken:
            self._next += 1
        if self._next > _LAST_MINOR:
            raise ElementRefused(
                "the gateway has no free traffic class", remedy="spread the subscribers over more gateways"
            )
        self._next += 1
        return self._next - 1


def _put(steps: _Steps, base: Base, wanted: Wanted, minor: int) -> None:
    classes = [
        _class(wanted.port, minor, wanted.down_kbps),
        _class(base.uplink, minor, wanted.up_kbps),
    ]
    elements = [
        f'add element inet turnup class{suffix} {{ {key} comment "{comment}" : 1:{minor:x} }}'
        for suffix, key, comment in wanted.elements()
    ]
    if wanted.walled:
        elements += [
            f"add element inet turnup walled{suffix} {{ {key} }}" for suffix, key, _ in wanted.elements()
        ]
    routes = wanted.routes()
    steps.devices |= {wanted.port, base.uplink}
    steps.classes += classes
    steps.routes += routes
    steps.elements += elements
    steps.files += [
        f"service {wanted.service}",
        f"generation {wanted.generation}",
        f"username {wanted.username}",
        f"circuit_id {wanted.circuit_id}",
        f"down_kbps {wanted.down_kbps}",
        f"up_kbps {wanted.up_kbps}",
        *(f"qdisc {device}" for device in sorted({wanted.port, base.uplink})),
        *(f"tc {line}" for line in classes),
        *(f"ip {line}" for line in routes),
        *(f"nft {line}" for line in elements),
    ]


def _take_away(steps: _Steps, base: Base, held: Held, wanted: Wanted | None) -> None:
    """Every element of hers goes, to be put anew in the same transaction; classes and routes go only where
    they are not used again."""
    for key in held.map_keys:
        suffix = "6" if ":" in key else "4"
        steps.removals.append(f"delete element inet turnup class{suffix} {{ {key} }}")
        if key in held.walled_keys:
            steps.removals.append(f"delete element inet turnup walled{suffix} {{ {key} }}")
    kept = set() if wanted is None else {line.split()[2] for line in wanted.routes()}  # `replace` moves them
    for destination, device in held.routes.items():
        if destination not in kept:
            steps.old_routes.append(f"route del {destination} dev {device} proto {ROUTE_PROTOCOL}")
    for device in sorted(held.class_devices):
        if wanted is None or device not in (wanted.port, base.uplink):
            steps.old_classes.append(f"class del dev {device} classid 1:{held.minor or 0:x}")


def _class(device: str, minor: int, kbps: int) -> str:
    rate = class_rate_bps(kbps)
    burst = max(_BURST_BYTES_MIN, rate * _BURST_MS // 8000)
    return (
        f"class replace dev {device} parent 1: classid 1:{minor:x} htb rate {rate}bit ceil {rate}bit "
        f"burst {burst}b cburst {burst}b quantum 3028"
    )


def _assemble(base: Base, gateway: Gateway, steps: _Steps, nft: Sequence[str]) -> str:
    text = base.ruleset()
    lines = [
        "set -eu",
        "exec 2>&1",
        "umask 077",
        f"mkdir -p {FOLDER}; cd {FOLDER}",
        f"exec 9>lock; flock -w {_LOCK_WAIT_S} 9 || exit {BUSY}",
        f'[ "$(cat epoch 2>/dev/null || echo 0)" = {gateway.epoch} ] || exit {MOVED}',
        f"echo {gateway.epoch + 1} >epoch.part; mv epoch.part epoch",
    ]
    if gateway.base_sha256 != hashlib.sha256(text.encode()).hexdigest() or not gateway.has_table:
        lines += [_here("cat >base.nft", text), "nft -f base.nft", _here("cat >boot.sh", _BOOT)]
    # what nftables would refuse (an address that is somebody's already) is refused before anything is done
    lines += [_here("cat >batch.nft", _text(nft)), "nft -c -f batch.nft"]
    # one file a service, each put in place whole
    lines += [
        "rm -rf new; mkdir new",
        _here(
            'awk \'$1 == "service" { close(file); file = "new/" $2 ".service" } { print >file }\'',
            _text(steps.files),
        ),
        "mv new/* .; rmdir new",
    ]
    lines += [
        f"tc qdisc show dev {device} | grep -q '^qdisc htb 1:' || "
        f"tc qdisc add dev {device} root handle 1: htb default 0"
        for device in sorted(steps.devices - gateway.devices)
    ]
    for program, batch in (
        ("tc -batch -", steps.classes),
        ("ip -batch -", steps.routes),
        ("nft -f batch.nft", nft),
        ("ip -batch -", steps.old_routes),
        ("tc -batch -", steps.old_classes),
    ):
        if batch and program.startswith("nft"):
            lines.append(program)
        elif batch:
            lines.append(_here(program, _text(batch)))
    lines.append(f"find . -name '*.service' -size -150c -mtime +{_TOMBSTONE_DAYS} -delete")
    lines.append("sync -d epoch; echo applied")
    return "\n".join(lines) + "\n"


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _here(command: str, text: str) -> str:
    return f"{command} <<'TURNUP_END'\n{text}TURNUP_END"


# --- reading attributes -----------------------------------------------------------------------------------


def _refused(name: str, text: str) -> ElementRefused:
    return ElementRefused(text, field=f"attributes.{name}")


def _line(given: Mapping[str, str], name: str) -> str:
    """A value that is noted as one line of a file."""
    value = given.get(name, "")
    if not value or not value.isprintable() or len(value) > 200:
        raise _refused(name, f"a subscriber needs a printable {name}")
    return value


def _address(given: Mapping[str, str], name: str) -> str | None:
    value = given.get(name)
    if not value:
        return None
    try:
        return canonical(value)
    except ValueError as error:
        raise _refused(name, f"{value!r} is no valid {name}") from error


def _rate(given: Mapping[str, str], name: str) -> int:
    value = given.get(name, "")
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise _refused(name, f"{value!r} is no rate in kbit/s")
    return int(value)
