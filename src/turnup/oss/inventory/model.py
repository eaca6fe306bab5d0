"""Nouns of inventory: a network as a document describes it, pools, lines and what a service holds of them."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

LINE_ROLES = ("access", "bng")
"""Elements that subscribers' lines may end on: an access gateway is access element and BNG in one."""


class HoldingStatus(StrEnum):
    """Life of what one service holds."""

    RESERVED = "reserved"
    ASSIGNED = "assigned"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortDoc:
    name: str
    kind: str
    capacity: int
    first_vlan: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementDoc:
    code: str
    role: str
    driver: str
    site: str
    management: dict[str, str] = field(default_factory=dict)
    ports: tuple[PortDoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDoc:
    code: str
    name: str
    latitude: Decimal | None
    longitude: Decimal | None
    reach_km: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDoc:
    a_element: str
    a_port: str
    b_element: str
    b_port: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDoc:
    """An address pool: hands out prefixes of `prefix_length` from `prefixes`, in order."""

    code: str
    kind: str
    prefixes: tuple[IPv4Network | IPv6Network, ...]
    prefix_length: int
    reserved: frozenset[str]
    """Values never handed out: gateways, network and broadcast addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDoc:
    """One network document, checked."""

    sites: tuple[SiteDoc, ...]
    elements: tuple[ElementDoc, ...]
    links: tuple[LinkDoc, ...]
    pools: tuple[PoolDoc, ...]
