"""Verbs of inventory, pure: read a network document, count through pools, follow the topology."""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from uuid import UUID

from turnup.contracts.inventory import ElementView, LinkView, SiteView
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import ElementId
from turnup.oss.inventory.model import ElementDoc, LinkDoc, NetworkDoc, PoolDoc, PortDoc, SiteDoc

ROLES = ("access", "bng", "dhcp", "aaa", "router", "switch")
POOL_KINDS = ("ipv4", "ipv6_wan", "ipv6_pd")
_EARTH_RADIUS_KM = 6371.0
_RANGE = re.compile(r"(?P<head>[^{}]*)\{(?P<low>\d{1,4})-(?P<high>\d{1,4})\}(?P<tail>[^{}]*)")


def parse_network(document: Mapping[str, Any]) -> NetworkDoc:
    """Read and check a network document; raises InvalidInput with the path of what is wrong."""
    sites = tuple(_site(path, row) for path, row in _rows(document, "sites"))
    elements = tuple(_element(path, row) for path, row in _rows(document, "elements"))
    links = tuple(_link(path, row) for path, row in _rows(document, "links"))
    pools = tuple(_pool(path, row) for path, row in _rows(document, "pools"))
    _check_unique("sites", [site.code for site in sites])
    _check_unique("elements", [element.code for element in elements])
    _check_unique("pools", [pool.code for pool in pools])
    _check_references(sites, elements, links)
    return NetworkDoc(sites=sites, elements=elements, links=links, pools=pools)


def _check_unique(section: str, codes: Sequence[str]) -> None:
    for n, code in enumerate(codes):
        if code in codes[:n]:
            raise InvalidInput(
                f"{code!r} is there already",
                field=f"{section}[{n}].code",
                remedy=f"rename it, or merge it with {section}[{codes.index(code)}]",
            )


def _check_references(
    sites: Sequence[SiteDoc], elements: Sequence[ElementDoc], links: Sequence[LinkDoc]
) -> None:
    site_codes = {site.code for site in sites}
    ports = {(element.code, port.name) for element in elements for port in element.ports}
    for n, element in enumerate(elements):
        if element.site not in site_codes:
            raise InvalidInput(
                f"no site {element.site!r} in this document",
                field=f"elements[{n}].site",
                remedy=f"use one of: {', '.join(sorted(site_codes))}",
            )
    for n, link in enumerate(links):
        for end, key in (((link.a_element, link.a_port), "a"), ((link.b_element, link.b_port), "b")):
            if end not in ports:
                raise InvalidInput(
                    f"no port {end[1]!r} on element {end[0]!r}",
                    field=f"links[{n}].{key}",
                    remedy="write ELEMENT/PORT as the elements section names them",
                )


def _rows(document: Mapping[str, Any], key: str, inside: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for n, row in enumerate(_list(document, key, inside)):
        path = f"{inside}{key}[{n}]"
        if not isinstance(row, Mapping):
            raise InvalidInput("must be a mapping", field=path, remedy="write key: value lines")
        yield path, row


def _list(document: Mapping[str, Any], key: str, inside: str) -> list[Any]:
    rows = document.get(key) or []
    if not isinstance(rows, list):
        raise InvalidInput(
            f"{key} must be a list", field=f"{inside}{key}", remedy="start each entry with a dash"
        )
    return rows


def _text(path: str, row: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if value is None or value == "":
        raise InvalidInput(f"{key} is missing", field=f"{path}.{key}", remedy=f"add {key}: …")
    return str(value)


def _whole(path: str, row: Mapping[str, Any], key: str, default: int, least: int, most: int) -> int:
    value = row.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(
            f"{value!r} is not a whole number from {least} to {most}",
            field=f"{path}.{key}",
            remedy=f"write a number from {least} to {most}",
        )
    return value


def _decimal(path: str, row: Mapping[str, Any], key: str, default: Decimal | None) -> Decimal | None:
    if row.get(key) is None:
        return default
    try:
        return Decimal(str(row[key]))
    except InvalidOperation as error:
        raise InvalidInput(
            f"{row[key]!r} is not a number", field=f"{path}.{key}", remedy="write digits, e.g. 52.52"
        ) from error


def _site(path: str, row: Mapping[str, Any]) -> SiteDoc:
    code = _text(path, row, "code")
    return SiteDoc(
        code=code,
        name=_text(path, row, "name", code),
        latitude=_decimal(path, row, "latitude", None),
        longitude=_decimal(path, row, "longitude", None),
        reach_km=_decimal(path, row, "reach_km", Decimal(25)) or Decimal(25),
    )


def _element(path: str, row: Mapping[str, Any]) -> ElementDoc:
    role = _text(path, row, "role")
    if role not in ROLES:
        raise InvalidInput(
            f"unknown role {role!r}", field=f"{path}.role", remedy=f"use one of: {', '.join(ROLES)}"
        )
    management = row.get("management", {})
    if not isinstance(management, Mapping):
        raise InvalidInput("must be a mapping", field=f"{path}.management", remedy="write key: value lines")
    ports: list[PortDoc] = []
    for port_path, port in _rows(row, "ports", f"{path}."):
        ports.extend(_ports(port_path, port))
    return ElementDoc(
        code=_text(path, row, "code"),
        role=role,
        driver=_text(path, row, "driver"),
        site=_text(path, row, "site"),
        management={str(key): str(value) for key, value in management.items()},
        ports=tuple(ports),
    )


def _ports(path: str, row: Mapping[str, Any]) -> list[PortDoc]:
    """One port, or a range: ``name: pon-0/1/{0-15}`` makes sixteen."""
    name = _text(path, row, "name")
    kind = _text(path, row, "kind", "ethernet")
    capacity = _whole(path, row, "capacity", 64 if kind == "pon" else 1, 1, 4094)
    first_vlan = _whole(path, row, "first_vlan", 1000 if capacity <= 3095 else 1, 1, 4095 - capacity)
    if "{" not in name:
        return [PortDoc(name=name, kind=kind, capacity=capacity, first_vlan=first_vlan)]
    found = _RANGE.fullmatch(name)
    if found is None or int(found["low"]) > int(found["high"]):
        raise InvalidInput(f"{name!r} has no range", field=f"{path}.name", remedy="write {0-15}")
    head, low, high, tail = found["head"], int(found["low"]), int(found["high"]), found["tail"]
    return [
        PortDoc(name=f"{head}{n}{tail}", kind=kind, capacity=capacity, first_vlan=first_vlan)
        for n in range(low, high + 1)
    ]


def _link(path: str, row: Mapping[str, Any]) -> LinkDoc:
    ends = []
    for key in ("a", "b"):
        element, _, port = _text(path, row, key).partition("/")
        ends.append((element, port))
    return LinkDoc(a_element=ends[0][0], a_port=ends[0][1], b_element=ends[1][0], b_port=ends[1][1])


def _pool(path: str, row: Mapping[str, Any]) -> PoolDoc:
    kind = _text(path, row, "kind")
    if kind not in POOL_KINDS:
        raise InvalidInput(
            f"unknown kind {kind!r}", field=f"{path}.kind", remedy=f"use one of: {', '.join(POOL_KINDS)}"
        )
    prefixes = []
    for n, prefix in enumerate(_list(row, "prefixes", f"{path}.")):
        try:
            prefixes.append(ip_network(str(prefix)))
        except ValueError as error:
            raise InvalidInput(
                str(error),
                field=f"{path}.prefixes[{n}]",
                remedy="write the network address, e.g. 192.0.2.0/24",
            ) from error
    wanted_version = 4 if kind == "ipv4" else 6
    default_length = {"ipv4": 32, "ipv6_wan": 64, "ipv6_pd": 56}[kind]
    length = _whole(path, row, "prefix_length", default_length, 1, 32 if wanted_version == 4 else 128)
    for n, network in enumerate(prefixes):
        if network.version != wanted_version or network.prefixlen > length:
            raise InvalidInput(
                f"{network} cannot give IPv{wanted_version} prefixes of length {length}",
                field=f"{path}.prefixes[{n}]",
                remedy=f"write prefixes of IPv{wanted_version} no longer than {length}",
            )
    return PoolDoc(
        code=_text(path, row, "code"),
        kind=kind,
        prefixes=tuple(prefixes),
        prefix_length=length,
        reserved=frozenset(str(value) for value in _list(row, "reserved", f"{path}.")),
    )


def pool_size(prefixes: Iterable[IPv4Network | IPv6Network], prefix_length: int) -> int:
    """How many values the prefixes hold, reserved ones included."""
    return sum(2 ** (prefix_length - prefix.prefixlen) for prefix in prefixes)


def pool_value(prefixes: Sequence[IPv4Network | IPv6Network], prefix_length: int, n: int) -> str | None:
    """The n-th value of a pool, as text: an address for /32, else a prefix. None past the end.

    Network and broadcast address of an IPv4 prefix wider than /31 are skipped as values (None is not
    returned for them; they come back as ``""``), so that n stays a stable position.
    """
    for prefix in prefixes:
        count = 2 ** (prefix_length - prefix.prefixlen)
        if n >= count:
            n -= count
            continue
        base = int(prefix.network_address) + (n << (prefix.max_prefixlen - prefix_length))
        if prefix.version == 4 and prefix_length == 32:
            if prefix.prefixlen < 31 and n in (0, count - 1):
                return ""
            return str(IPv4Network((base, 32)).network_address)
        network = IPv4Network if prefix.version == 4 else IPv6Network
        return str(network((base, prefix_length)))
    return None


def pool_position(
    prefixes: Sequence[IPv4Network | IPv6Network], prefix_length: int, value: str
) -> int | None:
    """The position of a value: what `pool_value` turns into it. None for what the pool never gives."""
    try:
        wanted = ip_network(value)
    except ValueError:
        return None
    before = 0
    for prefix in prefixes:
        if wanted.version == prefix.version and wanted.prefixlen == prefix_length:
            offset = int(wanted.network_address) - int(prefix.network_address)
            if 0 <= offset < prefix.num_addresses:
                n = before + (offset >> (prefix.max_prefixlen - prefix_length))
                return n if pool_value(prefixes, prefix_length, n) == value else None
        before += 2 ** (prefix_length - prefix.prefixlen)
    return None


def networks(prefixes: Sequence[str]) -> list[IPv4Network | IPv6Network]:
    return [ip_network(prefix) for prefix in prefixes]


def next_values(
    prefixes: Sequence[IPv4Network | IPv6Network],
    prefix_length: int,
    reserved: Collection[str],
    start: int,
    chunk: int = 256,
) -> tuple[list[tuple[int, str]], int]:
    """The pool's values at the next positions from `start`, as (position, value), and where they end."""
    end = max(start, min(pool_size(prefixes, prefix_length), start + chunk))
    numbered = ((n, pool_value(prefixes, prefix_length, n)) for n in range(start, end))
    return [(n, value) for n, value in numbered if value and value not in reserved], end


def serving(site: UUID, elements: Sequence[ElementView]) -> list[ElementView]:
    """Which of a role's elements serve a line: all in service at its site, else all there are."""
    usable = [element for element in elements if element.status == "in_service"]
    return [element for element in usable if element.site_id == site] or usable


def elements_cut_off(
    access: Collection[ElementId],
    cores: Collection[ElementId],
    links: Sequence[LinkView],
    failed: ElementId,
    failed_port: str | None = None,
) -> set[ElementId]:
    """Access elements that lose every path to a core element (BNG) when an element, or one of its ports,
    fails. The failed element itself is cut off if it is an access element."""

    def alive(link: LinkView) -> bool:
        if failed_port is None:
            return failed not in (link.a_element, link.b_element)
        return (failed, failed_port) not in (
            (link.a_element, link.a_port),
            (link.b_element, link.b_port),
        )

    neighbours: dict[ElementId, set[ElementId]] = {}
    for link in filter(alive, links):
        neighbours.setdefault(link.a_element, set()).add(link.b_element)
        neighbours.setdefault(link.b_element, set()).add(link.a_element)
    reached = {core for core in cores if failed_port is not None or core != failed}
    waiting = list(reached)
    while waiting:
        for neighbour in neighbours.get(waiting.pop(), ()):
            if neighbour not in reached:
                reached.add(neighbour)
                waiting.append(neighbour)
    return {element for element in access if element not in reached}


def distance_km(a: tuple[Decimal, Decimal], b: tuple[Decimal, Decimal]) -> float:
    """Great-circle distance between (latitude, longitude) pairs in degrees."""
    lat1, lon1, lat2, lon2 = (math.radians(float(value)) for value in (*a, *b))
    half = (
        math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(half))


def nearest_site(
    place: tuple[Decimal, Decimal], sites: Sequence[tuple[SiteView, Decimal]]
) -> SiteView | None:
    """The nearest site whose reach (km) covers the place; None: not serviceable."""
    candidates = [
        (distance_km(place, (site.latitude, site.longitude)), site.code, site)
        for site, reach_km in sites
        if site.latitude is not None
        and site.longitude is not None
        and distance_km(place, (site.latitude, site.longitude)) <= float(reach_km)
    ]
    return min(candidates)[2] if candidates else None
