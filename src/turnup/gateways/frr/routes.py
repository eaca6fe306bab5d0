"""A subscriber's routes in FRR's own words, pure: from a running configuration, and into lines for one.

A static route has no place for a name, so a service's prefixes also stand in prefix lists named after it, the
IPv4 one with the generation as its description::

    ip prefix-list turnup-SERVICE description generation 3
    ip prefix-list turnup-SERVICE seq 5 permit 198.51.100.2/32
    ip route 198.51.100.2/32 192.0.2.9 tag 7152

An empty list is a fence: it says up to which generation the service was withdrawn, and when.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from turnup.contracts.configuration import Change, ElementRefused, StaleGeneration

KIND = "route"
LIST = "turnup-"
TAG = 7152
"""On every route of ours, so that a routing policy can pick them."""
FENCE_KEPT = timedelta(days=30)
_SLOTS = {"ipv4": ("ip", 5), "ipv6_wan": ("ipv6", 5), "ipv6_pd": ("ipv6", 10)}
"""Attribute -> (family in FRR's word, place in the service's prefix list)."""
_NAMES = {slot: name for name, slot in _SLOTS.items()}

_DESCRIPTION = re.compile(
    rf"^ip prefix-list {LIST}(?P<key>\S+) description generation (?P<generation>\d+)"
    r"(?: withdrawn (?P<withdrawn>\d{4}-\d\d-\d\d))?$"
)
_ENTRY = re.compile(
    rf"^(?P<family>ipv?6?) prefix-list {LIST}(?P<key>\S+) seq (?P<place>\d+) permit (?P<prefix>\S+)$"
)
_ROUTE = re.compile(r"^(?P<family>ipv?6?) route (?P<prefix>\S+) (?P<next_hop>\S+)(?P<rest>.*)$")


@dataclass(slots=True)
class Held:
    """What the router holds of one service."""

    generation: int = 0
    withdrawn: date | None = None
    prefixes: dict[str, str] = field(default_factory=dict)
    """Attribute -> prefix, from the prefix lists."""


@dataclass(frozen=True, slots=True)
class Router:
    """A running configuration, as far as subscribers' routes go."""

    services: Mapping[str, Held]
    routes: Mapping[str, tuple[str, ...]]
    """Prefix -> the static routes to it, as lines."""

    def next_hops(self, prefix: str) -> set[str]:
        return {line.split()[3] for line in self.routes.get(prefix, ())}


@dataclass(frozen=True, slots=True)
class NextHops:
    """Where subscribers of this router's site are reached, by family in FRR's word."""

    ip: str | None
    ipv6: str | None

    @classmethod
    def of(cls, code: str, management: Mapping[str, str]) -> "NextHops":
        """From `next_hop4`, `next_hop6`. Raises ElementRefused naming the key that is no address."""
        found: list[str | None] = []
        for key, version in (("next_hop4", 4), ("next_hop6", 6)):
            text = management.get(key)
            try:
                address = ipaddress.ip_address(text) if text else None
            except ValueError:
                address = None
            if text and (address is None or address.version != version):
                raise ElementRefused(
                    f"{code}: {text!r} is no IPv{version} address",
                    field=f"management.{key}",
                    remedy="write the address of the BNG that serves the site",
                )
            found.append(str(address) if address else None)
        return cls(*found)

    def to(self, code: str, family: str) -> str:
        hop = self.ip if family == "ip" else self.ipv6
        if hop is None:
            key = "next_hop4" if family == "ip" else "next_hop6"
            raise ElementRefused(
                f"{code} is not told where subscribers are", field=f"management.{key}", remedy="add it"
            )
        return hop


def read_router(running: str) -> Router:
    services: dict[str, Held] = {}
    routes: dict[str, tuple[str, ...]] = {}
    for line in running.splitlines():
        if match := _DESCRIPTION.match(line):
            held = services.setdefault(match["key"], Held())
            held.generation = int(match["generation"])
            held.withdrawn = date.fromisoformat(match["withdrawn"]) if match["withdrawn"] else None
        elif match := _ENTRY.match(line):
            name = _NAMES.get((match["family"], int(match["place"])))
            if name is not None:
                services.setdefault(match["key"], Held()).prefixes[name] = match["prefix"]
        elif match := _ROUTE.match(line):
            routes[match["prefix"]] = (*routes.get(match["prefix"], ()), line.rstrip())
    return Router(services, routes)


def attributes_of(held: Held, router: Router, hops: NextHops) -> dict[str, str]:
    """What is really routed to the subscriber: a prefix whose route is missing is left out, one that leads
    elsewhere, or also elsewhere, says where."""
    found = {}
    for name, prefix in held.prefixes.items():
        family, _ = _SLOTS[name]
        meant = hops.ip if family == "ip" else hops.ipv6
        actual = router.next_hops(prefix)
        if actual:
            spelled = prefix.removesuffix("/32") if name == "ipv4" else prefix
            found[name] = spelled if actual == {meant} else f"{spelled} via {', '.join(sorted(actual))}"
    return found


def lines_for(changes: Iterable[Change], router: Router, hops: NextHops, code: str, today: date) -> list[str]:
    """Lines for `configure terminal`. Raises StaleGeneration where the router holds a newer generation, and
    ElementRefused for what a router cannot hold, before any line is made."""
    # who leaves goes first: another one may get her address
    ordered = sorted(changes, key=lambda change: change.want is not None)
    wanted = {str(change.service_id): change for change in ordered}
    targets = {key: _prefixes(change) for key, change in wanted.items()}
    _check(wanted, targets, router, code)
    lines: list[str] = []
    for key, change in wanted.items():
        lines += _change(key, change, targets[key], router, hops, code, today)
    return lines + list(_expired(router, set(wanted), today))


def _prefixes(change: Change) -> dict[str, str]:
    """Attribute -> prefix, spelled as FRR prints it."""
    if change.want is None:
        return {}
    found = {}
    for name, value in change.want.attributes.items():
        if name not in _SLOTS:
            raise ElementRefused(
                f"a router has no {name}",
                field=f"attributes.{name}",
                remedy=f"it has: {', '.join(_SLOTS)}",
            )
        try:
            prefix = ipaddress.ip_network(value)
        except ValueError as error:
            raise ElementRefused(f"{value!r} is no prefix", field=f"attributes.{name}") from error
        if prefix.version != (4 if name == "ipv4" else 6):
            raise ElementRefused(f"{value!r} is of the other family", field=f"attributes.{name}")
        found[name] = str(prefix)
    return found


def _check(
    wanted: Mapping[str, Change], targets: Mapping[str, Mapping[str, str]], router: Router, code: str
) -> None:
    for key, change in wanted.items():
        held = router.services.get(key)
        if held is not None and held.generation > change.generation:
            raise StaleGeneration(
                f"{code} holds generation {held.generation} of {key}, this is {change.generation}"
            )
    owners = {
        prefix: key
        for key, held in router.services.items()
        if key not in wanted
        for prefix in held.prefixes.values()
    }
    for key, prefixes in targets.items():
        for name, prefix in prefixes.items():
            if prefix in owners or owners.setdefault(prefix, key) != key:
                raise ElementRefused(
                    f"{code}: {prefix} is routed for {owners[prefix]}",
                    field=f"attributes.{name}",
                    remedy="find out who holds the address: turnup reconcile",
                )


def _change(
    key: str,
    change: Change,
    target: Mapping[str, str],
    router: Router,
    hops: NextHops,
    code: str,
    today: date,
) -> Iterator[str]:
    """The fence first; a route goes before its name, and comes after it: none of ours is ever nameless."""
    held = router.services.get(key, Held())
    mark = "" if change.want is not None else f" withdrawn {today.isoformat()}"
    yield f"ip prefix-list {LIST}{key} description generation {change.generation}{mark}"
    for name, prefix in held.prefixes.items():
        if target.get(name) == prefix:
            continue
        yield from (f"no {line}" for line in router.routes.get(prefix, ()))
        family, place = _SLOTS[name]
        yield f"no {family} prefix-list {LIST}{key} seq {place} permit {prefix}"
    for name, prefix in target.items():
        family, place = _SLOTS[name]
        hop = hops.to(code, family)
        if held.prefixes.get(name) != prefix:
            yield f"{family} prefix-list {LIST}{key} seq {place} permit {prefix}"
        yield from (f"no {line}" for line in router.routes.get(prefix, ()) if line.split()[3] != hop)
        if hop not in router.next_hops(prefix):
            yield f"{family} route {prefix} {hop} tag {TAG}"


def _expired(router: Router, touched: set[str], today: date) -> Iterator[str]:
    for key, held in router.services.items():
        if key not in touched and held.withdrawn and held.withdrawn + FENCE_KEPT < today:
            yield f"no ip prefix-list {LIST}{key}"
