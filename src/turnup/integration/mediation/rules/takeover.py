"""Verbs of mediation, pure: read a row into the canonical record, naming field and remedy of what is bad."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address, ip_network
from typing import TypeVar
from uuid import UUID

from turnup.integration.mediation.model import RunningCustomer
from turnup.kernel.errors import InvalidInput
from turnup.kernel.money import decimals

T = TypeVar("T")

REQUIRED_COLUMNS = ("external_id", "name", "offering", "access_port", "vlan", "login", "secret", "started_at")
OPTIONAL_COLUMNS = (
    "kind",
    "email",
    "phone",
    "language",
    "street",
    "postcode",
    "city",
    "country",
    "latitude",
    "longitude",
    "ont_serial",
    "ipv4",
    "ipv6_wan",
    "ipv6_pd",
    "element_key",
    "status",
    "balance",
    "billed_through",
    "bill_cycle_day",
)
CHARACTERISTIC_PREFIX = "char."


def check_header(header: list[str]) -> None:
    """Raises InvalidInput naming the missing or unknown column."""
    for column in REQUIRED_COLUMNS:
        if column not in header:
            raise InvalidInput(
                f"the file has no column {column}", field=column, remedy="add it to the header line"
            )
    for column in header:
        if column not in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS) and not column.startswith(
            CHARACTERISTIC_PREFIX
        ):
            raise InvalidInput(
                f"unknown column {column!r}",
                field=column,
                remedy=f"remove it; characteristics of the product are written {CHARACTERISTIC_PREFIX}NAME",
            )


def row_hash(row: Mapping[str, str]) -> str:
    """Tells whether a row changed since it was applied; the order of columns does not matter."""
    return hashlib.sha256(json.dumps(dict(row), sort_keys=True).encode()).hexdigest()


def running_customer(row: Mapping[str, str], currency: str, language: str = "en") -> RunningCustomer:
    """One row as the canonical record; `language` where the row names none. Raises InvalidInput with
    the column's name."""

    def text(column: str, default: str | None = None) -> str:
        value = (row.get(column) or "").strip()
        if value:
            return value
        if default is None:
            raise InvalidInput(f"{column} is empty", field=column, remedy="fill it in")
        return default

    def optional(column: str, read: Callable[[str], T], what: str) -> T | None:
        value = (row.get(column) or "").strip()
        return None if not value else _read(value, column, read, what)

    status = text("status", "active")
    if status not in ("active", "suspended"):
        raise InvalidInput(f"unknown status {status!r}", field="status", remedy="write active or suspended")
    day = optional("bill_cycle_day", int, "a day of the month") or 1
    if not 1 <= day <= 31:
        raise InvalidInput(f"{day} is no day of the month", field="bill_cycle_day", remedy="write 1 to 31")
    balance = optional("balance", Decimal, "an amount") or Decimal(0)
    scaled = balance.scaleb(decimals(currency))
    if scaled != scaled.to_integral_value():
        raise InvalidInput(
            f"{balance} has more decimals than {currency}", field="balance", remedy="round it first"
        )
    return RunningCustomer(
        external_id=text("external_id"),
        name=text("name"),
        kind=text("kind", "individual"),
        email=text("email", "") or None,
        phone=text("phone", "") or None,
        language=text("language", language),
        street=text("street", "-"),
        postcode=text("postcode", "-"),
        city=text("city", "-"),
        country=text("country", "DE"),
        latitude=optional("latitude", Decimal, "degrees"),
        longitude=optional("longitude", Decimal, "degrees"),
        offering=text("offering"),
        characteristics={
            column.removeprefix(CHARACTERISTIC_PREFIX): value.strip()
            for column, value in row.items()
            if column.startswith(CHARACTERISTIC_PREFIX) and value and value.strip()
        },
        access_port=text("access_port"),
        vlan=_read(text("vlan"), "vlan", int, "a VLAN id"),
        ont_serial=text("ont_serial", "") or None,
        login=text("login"),
        secret=text("secret"),
        ipv4=optional("ipv4", lambda value: str(ip_address(value)), "an address"),
        ipv6_wan=optional("ipv6_wan", lambda value: str(ip_network(value)), "a prefix"),
        ipv6_pd=optional("ipv6_pd", lambda value: str(ip_network(value)), "a prefix"),
        element_key=optional("element_key", lambda value: str(UUID(value)), "a UUID"),
        status=status,
        started_at=_read(text("started_at"), "started_at", _instant, "a date or an instant"),
        balance_minor=int(scaled),
        billed_through=optional("billed_through", date.fromisoformat, "a date"),
        bill_cycle_day=day,
    )


def _read(value: str, column: str, read: Callable[[str], T], what: str) -> T:
    try:
        return read(value)
    except (ValueError, InvalidOperation) as error:
        raise InvalidInput(f"{value!r} is not {what}", field=column, remedy=f"write {what}") from error


def _instant(value: str) -> datetime:
    instant = datetime.fromisoformat(value)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
