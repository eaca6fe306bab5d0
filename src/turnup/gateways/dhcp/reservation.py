"""One service's reservations as Kea keeps them, from a fragment and back. Pure.

A row of Kea's `hosts` is found by what the relay says of the port: circuit-id (option 82, RFC 3046) on IPv4,
the value of the remote-id (option 37, RFC 4649) on IPv6, which Kea takes for a hardware address.
"""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from turnup.contracts.configuration import ElementRefused, Fragment
from turnup.contracts.inventory import ElementView
from turnup.kernel.ids import ServiceId

KIND = "dhcp_subscriber"
HW_ADDRESS, CIRCUIT_ID = 0, 2
"""Kea's host identifier types."""
ADDRESS, PREFIX = 0, 2
"""Kea's IPv6 reservation types: IA_NA, IA_PD."""
ATTRIBUTES = ("circuit_id", "ipv4", "ipv6_wan", "ipv6_pd", "walled")
_HW_ADDRESS_BYTES_MAX = 20


@dataclass(frozen=True, slots=True)
class Server:
    """What the element's management says of a Kea: `subnets4` and `subnets6` (``100.64.0.0/20=1 …``: Kea's
    subnet ids), `captive_portal` (URL of the API, RFC 8908), `circuit_id` (port | full: what relays send)."""

    subnets4: Mapping[ipaddress.IPv4Network, int]
    subnets6: Mapping[ipaddress.IPv6Network, int]
    captive_portal: str | None
    full_circuit_id: bool

    @classmethod
    def of(cls, element: ElementView) -> "Server":
        given = element.management
        try:
            return cls(
                subnets4={ipaddress.IPv4Network(net): number for net, number in _pairs(given, "subnets4")},
                subnets6={ipaddress.IPv6Network(net): number for net, number in _pairs(given, "subnets6")},
                captive_portal=given.get("captive_portal"),
                full_circuit_id=given.get("circuit_id", "port") == "full",
            )
        except ValueError as error:
            raise ElementRefused(
                f"{element.code}: {error}",
                field="management.subnets4",
                remedy="write PREFIX=ID of Kea's subnets, with spaces between them",
            ) from error

    def identifier(self, circuit_id: str) -> bytes:
        """What the relay sends for this line: the port's name, or the whole circuit id."""
        parts = circuit_id.split("/")
        if self.full_circuit_id:
            return circuit_id.encode()
        if len(parts) < 3:
            raise ElementRefused(f"{circuit_id!r} names no port", field="attributes.circuit_id")
        return "/".join(parts[1:-1]).encode()


def _pairs(given: Mapping[str, str], key: str) -> list[tuple[str, int]]:
    pairs = []
    for word in given.get(key, "").split():
        net, _, number = word.partition("=")
        pairs.append((net, int(number)))
    return pairs


@dataclass(frozen=True, slots=True)
class Reservation:
    """What Kea should hold for one service."""

    service: str
    generation: int
    circuit_id: str
    identifier: bytes
    ipv4: ipaddress.IPv4Address | None
    subnet4: int | None
    wan: ipaddress.IPv6Network | None
    """The /64 on her line; her router's address is the first in it."""
    subnet6: int | None
    delegated: ipaddress.IPv6Network | None
    captive_portal: str | None
    """Announced by DHCP (RFC 8910) while it is set: she is walled."""

    @property
    def context(self) -> str:
        """Kea's user context: whose row this is."""
        return json.dumps(
            {
                "turnup": {
                    "service": self.service,
                    "generation": self.generation,
                    "circuit_id": self.circuit_id,
                }
            }
        )

    @property
    def wan_address(self) -> str | None:
        return None if self.wan is None else str(self.wan.network_address + 1)


def reservation(server: Server, fragment: Fragment) -> Reservation:
    """Raises ElementRefused naming what Kea cannot take."""
    given = fragment.attributes
    unknown = sorted(set(given) - set(ATTRIBUTES))
    if unknown:
        raise _refused(unknown[0], f"a DHCP server has no {', '.join(unknown)}")
    circuit_id = given.get("circuit_id", "")
    try:
        ipv4 = ipaddress.IPv4Address(given["ipv4"]) if given.get("ipv4") else None
        wan = ipaddress.IPv6Network(given["ipv6_wan"]) if given.get("ipv6_wan") else None
        delegated = ipaddress.IPv6Network(given["ipv6_pd"]) if given.get("ipv6_pd") else None
    except ValueError as error:
        raise _refused("ipv4", str(error)) from error
    walled = given.get("walled") == "yes"
    if walled and server.captive_portal is None:
        raise ElementRefused(
            "the DHCP server has no captive-portal URL to announce",
            field="management.captive_portal",
            remedy="name the URL of the captive-portal API (RFC 8908)",
        )
    found = Reservation(
        service=str(fragment.service_id),
        generation=fragment.generation,
        circuit_id=circuit_id,
        identifier=server.identifier(circuit_id),
        ipv4=ipv4,
        subnet4=None if ipv4 is None else _subnet(server.subnets4, ipv4, "ipv4"),
        wan=wan,
        subnet6=None if wan is None else _subnet(server.subnets6, wan.network_address, "ipv6_wan"),
        delegated=delegated,
        captive_portal=server.captive_portal if walled else None,
    )
    if wan is not None and len(found.identifier) > _HW_ADDRESS_BYTES_MAX:
        raise _refused("circuit_id", f"Kea takes remote-ids of at most {_HW_ADDRESS_BYTES_MAX} bytes")
    return found


def _subnet(subnets: Mapping[Any, int], address: Any, name: str) -> int:
    for net, number in subnets.items():
        if address in net:
            return number
    raise _refused(name, f"{address} is in no subnet of this DHCP server")


def _refused(name: str, text: str) -> ElementRefused:
    return ElementRefused(text, field=f"attributes.{name}")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `hosts` with what hangs on it, as it was read."""

    identifier: bytes
    identifier_type: int
    ipv4: int | None
    addresses: tuple[tuple[str, int, int], ...]
    """(address, prefix length, type)."""
    context: Mapping[str, Any]
    captive_portal: str | None

    @property
    def service(self) -> str | None:
        """Whose row it says it is; None where somebody else made it."""
        service = self.context.get("turnup", {}).get("service")
        return service if isinstance(service, str) else None

    @property
    def key(self) -> str:
        return self.service or f"{self.identifier_type}:{self.identifier.hex()}"


def fragment(server: Server, service_id: ServiceId, rows: list[Row]) -> Fragment:
    """What the rows of one service amount to. Walled is she whose every row announces the portal."""
    attributes: dict[str, str] = {}
    generation = 0
    for row in rows:
        ours = row.context.get("turnup", {})
        generation = max(generation, int(ours.get("generation", 0)))
        circuit_id = str(ours.get("circuit_id", ""))
        if not circuit_id or server.identifier(circuit_id) != row.identifier:
            circuit_id = f"?/{row.identifier.decode('utf-8', 'replace')}/-"
        attributes["circuit_id"] = circuit_id
        if row.ipv4 is not None:
            attributes["ipv4"] = str(ipaddress.IPv4Address(row.ipv4))
        for address, length, kind in row.addresses:
            if kind == PREFIX:
                attributes["ipv6_pd"] = f"{ipaddress.IPv6Address(address)}/{length}"
            else:
                wan = ipaddress.IPv6Network((ipaddress.IPv6Address(address), 64), strict=False)
                first = str(wan.network_address + 1) == address
                attributes["ipv6_wan"] = str(wan) if first else f"{address}/{length}"
    portals = {row.captive_portal for row in rows}
    walled = {server.captive_portal} == portals and server.captive_portal is not None
    attributes["walled"] = "yes" if walled else "no" if portals == {None} else "partly"
    return Fragment(service_id=service_id, kind=KIND, attributes=attributes, generation=generation)
