"""What others may know of inventory: what the network is made of and which resources serve which service."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Protocol

from turnup.contracts.unit import Event, Unit
from turnup.kernel.ids import AddressId, ElementId, LinkId, PortId, ServiceId, SiteId


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteView:
    id: SiteId
    code: str
    name: str
    latitude: Decimal | None
    longitude: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementView:
    """A managed network element. Where and how it is managed; its credentials are configuration's."""

    id: ElementId
    code: str
    role: str
    """access | bng | dhcp | aaa | router | switch"""
    site_id: SiteId
    driver: str
    """Which gateway speaks to it: tlos | aaa_database | …"""
    management: Mapping[str, str]
    """host, ssh_port, snmp_port, coa_port, … no secrets."""
    status: str
    """planned | in_service | retired"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortView:
    id: PortId
    element_id: ElementId
    name: str
    kind: str
    """pon | uplink | ethernet"""
    capacity: int
    """Subscribers that fit (PON: 64)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkView:
    id: LinkId
    a_element: ElementId
    a_port: str
    b_element: ElementId
    b_port: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentView:
    """Where a service reaches the network."""

    service_id: ServiceId
    access_element: ElementId
    port: str
    vlan: int
    ont_serial: str | None
    bng_element: ElementId
    circuit_id: str
    """``olt1/pon-0/1/3/1203``: what the NAS reports as Agent-Circuit-Id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceNeed:
    kind: str
    """access_port | vlan | ipv4 | ipv6_wan | ipv6_pd"""
    pool: str | None = None
    prefix_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveRequest:
    """Reserve everything one service needs. `wanted` pins a value (import of a running service):
    ``{"ipv4": "198.51.100.7", "access_port": "olt1/pon-0/1/3", "vlan": "1203"}``."""

    service_id: ServiceId
    address_id: AddressId | None
    site: str | None
    needs: tuple[ResourceNeed, ...]
    ont_serial: str | None = None
    wanted: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a service holds. `resources` by kind: access_port ``olt1/pon-0/1/3``, vlan ``1203``,
    ipv4 ``198.51.100.7``, ipv6_wan ``2001:db8:…/64``, ipv6_pd ``2001:db8:…/56``, circuit_id, ont_serial.
    `elements` by role: the elements that serve it; where several of one role do (a pair of AAA servers), the
    first under the role, the others under ``ROLE:CODE`` (see `role_of`)."""

    service_id: ServiceId
    resources: Mapping[str, str]
    elements: Mapping[str, ElementId]
    status: str
    """reserved | assigned | released"""


def role_of(key: str) -> str:
    """The role of a key of `Reservation.elements`: ``aaa`` of ``aaa`` and of ``aaa:aaa2``."""
    return key.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUsage:
    code: str
    kind: str
    prefixes: tuple[str, ...]
    used: int
    total: int


class Reads(Protocol):
    def reservation(self, service_id: ServiceId) -> Reservation | None: ...
    def reservations(
        self, service_ids: Sequence[ServiceId] | None = None
    ) -> Mapping[ServiceId, Reservation]: ...
    def attachment(self, service_id: ServiceId) -> AttachmentView | None: ...
    def element(self, element_id: ElementId) -> ElementView | None: ...
    def element_by_code(self, code: str) -> ElementView | None: ...
    def elements(self, role: str | None = None) -> Sequence[ElementView]: ...
    def sites(self) -> Sequence[SiteView]: ...
    def ports(self, element_id: ElementId) -> Sequence[PortView]: ...
    def links(self) -> Sequence[LinkView]: ...
    def single_lines(self) -> Collection[tuple[ElementId, str]]:
        """The ports (element, name) that end one subscriber's line: up or down as her device is."""
        ...

    def services_behind(self, element_id: ElementId, port: str | None = None) -> Sequence[ServiceId]:
        """Every service that reaches the network through this element (and port), over the topology:
        an uplink carries all the services of the access devices behind it."""
        ...

    def services_holding(self, value: str) -> Sequence[ServiceId]:
        """Who holds it now: an ONT's serial, a circuit id, an address or prefix as the pools write it."""
        ...

    def service_by_circuit(self, circuit_id: str) -> ServiceId | None: ...
    def pools(self) -> Sequence[PoolUsage]: ...
    def free_ports(self, site: str | None) -> int: ...
    def serviceable(self, address_id: AddressId) -> str | None:
        """The code of the site that would serve this address, None if none does."""
        ...


class Commands(Protocol):
    def load_network(self, unit: Unit, document: Mapping[str, object]) -> int:
        """Take over a network document (sites, elements, ports, links, pools); returns changes made."""
        ...

    def reserve(self, unit: Unit, request: ReserveRequest) -> Reservation:
        """Race-free and idempotent by service: a repeated call returns what is held and adds what is newly
        needed. Raises Exhausted naming the pool or the site."""
        ...

    def assign(self, unit: Unit, service_id: ServiceId) -> None:
        """Reserved becomes assigned: the network holds it now. Values that a change replaced go back."""
        ...

    def regain(self, unit: Unit, service_id: ServiceId, resources: Mapping[str, str]) -> Reservation:
        """Before a change is undone on the network: the service holds these (former) values again, besides
        the newer ones. A value that went to somebody else meanwhile is replaced by one of its pool."""
        ...

    def revert(self, unit: Unit, service_id: ServiceId, resources: Mapping[str, str]) -> None:
        """Undo a change: the service holds these (former) values again (see `regain`), newer ones go back."""
        ...

    def release(self, unit: Unit, service_id: ServiceId, kinds: Sequence[str] | None = None) -> None:
        """Give back all, or these kinds. Giving back twice changes nothing."""
        ...

    def set_ont_serial(self, unit: Unit, service_id: ServiceId, serial: str) -> None:
        """The equipment became known (it may arrive last)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EquipmentIdentified(Event):
    """The serial of the subscriber's ONT became known."""

    aggregate: ClassVar[str] = "service_id"
    service_id: ServiceId
    ont_serial: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChanged(Event):
    """The network document was (re)loaded; caches of elements and topology are stale."""

    aggregate: ClassVar[str] = "site_id"
    site_id: SiteId
