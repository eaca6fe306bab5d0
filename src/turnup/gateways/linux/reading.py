"""What a Linux access gateway holds, from its own words: nftables, traffic classes and routes of the kernel.

The kernel is asked, not what we once wrote down: only what it cannot keep (generation, user name, the line's
name) comes from the service's file on the gateway, and only beside elements the kernel has.
"""

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from turnup.contracts.configuration import ElementRefused
from turnup.gateways.linux.ruleset import FOLDER, ROUTE_PROTOCOL
from turnup.gateways.transports.ssh import ExecResult
from turnup.kernel.errors import Unavailable

_NOTED = ("username", "circuit_id", "down_kbps", "up_kbps")
SHOW = f"""
echo '## nft'; nft -j list table inet turnup 2>/dev/null || echo '{{"nftables": []}}'
for device in $(tc qdisc show | awk '$2 == "htb" && $3 == "1:" {{ print $5 }}'); do
  echo "## class $device"; tc class show dev "$device"
done
echo '## route4'; ip -j -4 route show table main proto {ROUTE_PROTOCOL}
echo '## route6'; ip -j -6 route show table main proto {ROUTE_PROTOCOL}
echo '## files'; cd {FOLDER} 2>/dev/null || exit 0
cat epoch; sha256sum base.nft
find . -name '*.service' -exec grep -hE '^(service|{"|".join(_NOTED)}|generation) ' {{}} +
exit 0
"""
"""A script for /bin/sh; `read_answer` reads what it prints."""
SHELL = "exec sh -s"
"""The command that takes a script on its input."""

_UNITS = ("", "K", "M", "G", "T")
_RATE = re.compile(r"(?P<number>[0-9]+)(?P<unit>[KMGT]?)bit")
_CLASS = re.compile(r"^class htb 1:(?P<minor>[0-9a-f]+) .*?\brate (?P<rate>[0-9]+[KMGT]?bit)", re.MULTILINE)
_FRAME_BYTES, _PAYLOAD_BYTES = 1514, 1460
"""A plan's rate is what she can measure, payload of full TCP segments; HTB counts Ethernet frames, so classes
are that much faster."""


@dataclass(slots=True)
class Held:
    """What the kernel has for one service, and what its file says."""

    generation: int = 0
    known: dict[str, str] = field(default_factory=dict)
    """From the file: username, circuit_id, and the rates meant."""
    ipv4: str | None = None
    ipv6_wan: str | None = None
    ipv6_pd: str | None = None
    minor: int | None = None
    """Its class: 1:minor on its port (download) and on the uplink (upload)."""
    port: str | None = None
    down_kbps: int | None = None
    up_kbps: int | None = None
    walled: str = "no"
    """yes | no | partly"""
    map_keys: list[str] = field(default_factory=list)
    """Addresses and prefixes that the maps have for it, routed or not."""
    walled_keys: set[str] = field(default_factory=set)
    routes: dict[str, str] = field(default_factory=dict)
    """Of those, destination -> interface."""
    class_devices: set[str] = field(default_factory=set)
    """Interfaces that have its class."""

    @property
    def present(self) -> bool:
        """The kernel has something of it; a file alone is only a fence."""
        return bool(self.map_keys)

    def noted_kbps(self, name: str) -> int | None:
        noted = self.known.get(name, "")
        return int(noted) if noted.isdigit() else None


@dataclass(slots=True)
class Gateway:
    """Everything that was read. `services` by the key in the elements' comments."""

    services: dict[str, Held] = field(default_factory=dict)
    epoch: int = 0
    """Rises with every apply: who applies names the one he read."""
    base_sha256: str | None = None
    has_table: bool = False
    devices: set[str] = field(default_factory=set)
    """Interfaces with our traffic classes."""
    minors: set[int] = field(default_factory=set)
    """Classes in use on any of them."""


def class_rate_bps(kbps: int) -> int:
    """The class rate, in bit/s of Ethernet frames, for a plan's kbit/s; tc counts in whole bytes."""
    return -(-kbps * 1000 * _FRAME_BYTES // (_PAYLOAD_BYTES * 8)) * 8


def printed_rate(bps: int) -> str:
    """A rate as tc shows it: cut to Kbit, Mbit, … where it is large (iproute2, lib/utils_math.c)."""
    unit = 0
    while bps >= 1000 and unit < len(_UNITS) - 1 and (bps % 1000 == 0 or bps >= 1_000_000):
        bps //= 1000
        unit += 1
    return f"{bps}{_UNITS[unit]}bit"


def plan_kbps(shown: str, noted: int | None) -> int:
    """The plan's rate for a class as tc shows it: the noted one where tc would show just that, else as near
    as what is shown allows."""
    if noted is not None and printed_rate(class_rate_bps(noted)) == shown:
        return noted
    found = _RATE.fullmatch(shown)
    if found is None:
        raise ValueError(f"{shown!r} is no rate of tc")
    bps = int(found["number"]) * int(1000 ** _UNITS.index(found["unit"]))
    return round(bps * _PAYLOAD_BYTES / _FRAME_BYTES / 1000)


def read_answer(code: str, answer: ExecResult) -> Gateway:
    """What the element answered to SHOW. Raises Unavailable, ElementRefused."""
    if answer.status is None:
        raise Unavailable(f"{code} dropped the connection")
    if answer.status != 0:
        raise ElementRefused(f"{code}: {complaint(answer.stdout)}")
    try:
        return parse(answer.stdout)
    except (ValueError, KeyError, TypeError) as error:
        raise ElementRefused(
            f"{code} says what cannot be read: {error}",
            remedy="it needs nftables 1.0, iproute2 6 and coreutils",
        ) from error


def complaint(text: str) -> str:
    """Why a script failed, in one line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("^")]
    return lines[0].strip()[:300] if lines else "failed without a reason"


def parse(text: str) -> Gateway:
    """Read the output of `SHOW`. Raises ValueError for anything else."""
    gateway = Gateway()
    rates: dict[str, dict[int, str]] = {}
    routes: dict[str, str] = {}
    tables: list[Mapping[str, Any]] = []
    for title, body in _sections(text):
        if title == "nft":
            tables = json.loads(body)["nftables"]
        elif title.startswith("class "):
            rates[title.removeprefix("class ")] = _rates(body)
        elif title in ("route4", "route6"):
            routes |= _routes(body)
        elif title == "files":
            _files(gateway, body)
    gateway.devices = set(rates)
    gateway.minors = {minor for classes in rates.values() for minor in classes}
    gateway.has_table = any("table" in entry for entry in tables)
    walled = _elements(gateway, tables)
    for held in gateway.services.values():
        _complete(held, rates, routes, walled)
    return gateway


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split("## ")[1:] if text.startswith("## ") else text.split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        yield title.strip(), body


def _rates(body: str) -> dict[int, str]:
    """Minor -> rate, as tc shows it."""
    return {int(found["minor"], 16): found["rate"] for found in _CLASS.finditer(body)}


def _routes(body: str) -> dict[str, str]:
    """Destination as the maps spell it -> interface."""
    return {
        each["dst"] if "/" in each["dst"] or ":" not in each["dst"] else f"{each['dst']}/128": each["dev"]
        for each in json.loads(body.strip() or "[]")
        if "dev" in each
    }


def _files(gateway: Gateway, body: str) -> None:
    current: Held | None = None
    for number, line in enumerate(body.splitlines()):
        word, _, rest = line.partition(" ")
        if number == 0 and word.isdigit() and not rest:
            gateway.epoch = int(word)
        elif rest.strip().endswith("base.nft") and len(word) == 64:
            gateway.base_sha256 = word
        elif word == "service":
            current = gateway.services.setdefault(rest, Held())
        elif current is not None and word == "generation":
            current.generation = int(rest)
        elif current is not None and word in _NOTED:
            current.known[word] = rest


def _elements(gateway: Gateway, tables: list[Mapping[str, Any]]) -> set[str]:
    """Put the maps' elements to their services; what is walled is returned."""
    walled: set[str] = set()
    for entry in tables:
        if "map" in entry and entry["map"]["name"] in ("class4", "class6"):
            for key, value in entry["map"].get("elem", []):
                _element(gateway, key, value)
        elif "set" in entry and entry["set"]["name"] in ("walled4", "walled6"):
            walled.update(_spelled(key)[0] for key in entry["set"].get("elem", []))
    return walled


def _element(gateway: Gateway, key: Any, value: str) -> None:
    spelled, comment = _spelled(key)
    service, _, what = (comment or f"foreign-{spelled}").partition(" ")
    held = gateway.services.setdefault(service, Held())
    held.map_keys.append(spelled)
    held.minor = int(value.partition(":")[2] or "0", 16)
    if "/" not in spelled and ":" not in spelled:
        held.ipv4 = spelled
    elif what == "pd":
        held.ipv6_pd = spelled
    else:
        held.ipv6_wan = spelled


def _spelled(key: Any) -> tuple[str, str | None]:
    """(address or prefix, comment) of an element as `nft -j` writes it."""
    comment = None
    if isinstance(key, dict) and "elem" in key:
        comment = key["elem"].get("comment")
        key = key["elem"]["val"]
    if isinstance(key, dict) and "prefix" in key:
        return f"{key['prefix']['addr']}/{key['prefix']['len']}", comment
    text = str(key)
    return (f"{text}/128" if ":" in text else text), comment


def _complete(
    held: Held, rates: Mapping[str, Mapping[int, str]], routes: Mapping[str, str], walled: set[str]
) -> None:
    """Routes, rates and walls of one service. A prefix that is not routed to her port is not hers."""
    held.routes = {key: routes[key] for key in held.map_keys if key in routes}
    held.walled_keys = walled & set(held.map_keys)
    held.port = held.routes.get(held.ipv4 or "") or held.routes.get(held.ipv6_wan or "")
    for name in ("ipv6_wan", "ipv6_pd"):
        if held.routes.get(getattr(held, name) or "") != held.port:
            setattr(held, name, None)
    if held.map_keys:
        behind = len(held.walled_keys)
        held.walled = "no" if behind == 0 else "yes" if behind == len(held.map_keys) else "partly"
    if held.minor is None:
        return
    held.class_devices = {device for device, classes in rates.items() if held.minor in classes}
    uplinks = held.class_devices - {held.port}
    if held.port in held.class_devices:
        held.down_kbps = plan_kbps(rates[held.port][held.minor], held.noted_kbps("down_kbps"))
    if len(uplinks) == 1:
        held.up_kbps = plan_kbps(rates[uplinks.pop()][held.minor], held.noted_kbps("up_kbps"))


def canonical(value: str) -> str:
    """An address or prefix as the kernel spells it; ValueError for anything else."""
    if "/" in value:
        return str(ipaddress.ip_network(value))
    return str(ipaddress.ip_address(value))
