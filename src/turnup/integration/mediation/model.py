"""Nouns of mediation: a running customer as a former system's export describes it."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCustomer:
    """The canonical record of one customer with one running service (a row of customers.csv)."""

    external_id: str
    name: str
    kind: str
    email: str | None
    phone: str | None
    language: str
    street: str
    postcode: str
    city: str
    country: str
    latitude: Decimal | None
    longitude: Decimal | None
    offering: str
    characteristics: dict[str, str]
    access_port: str
    vlan: int
    ont_serial: str | None
    login: str
    secret: str
    ipv4: str | None
    ipv6_wan: str | None
    ipv6_pd: str | None
    element_key: str | None
    """The key (a UUID) under which the network elements know the service; None: derived."""
    status: str
    """active | suspended"""
    started_at: datetime
    balance_minor: int
    """Debt (+) or credit (-) on the day of the takeover."""
    billed_through: date | None
    bill_cycle_day: int
