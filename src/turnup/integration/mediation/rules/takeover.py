"""Verbs of mediation, pure: read a row into the canonical record, naming field and remedy of what is bad."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from ipaddress import ip_address, ip_network
from typing import TypeVar
from uuid import UUID

from turnup.contracts.crm import NewPaymentMethod
from turnup.contracts.orders import RunningPromotion
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
    "next_bill_date",
    "management",
    "promotion",
    "promotion_amount",
    "promotion_cycles_left",
    "mandate_reference",
    "mandate_iban",
    "mandate_signed_on",
    "payment_token",
    "payment_token_provider",
    "payment_token_reference",
    "monthly_amount",
)
CHARACTERISTIC_PREFIX = "char."
_AMOUNT_MAX = Decimal(10) ** 12
"""Main units; far below what a ledger column holds."""


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
    management = text("management", "adopted")
    if management not in ("observed", "adopted"):
        raise InvalidInput(
            f"unknown management {management!r}", field="management", remedy="write observed or adopted"
        )
    monthly = optional("monthly_amount", Decimal, "an amount")
    billed_through = optional("billed_through", date.fromisoformat, "a date")
    next_bill_date = optional("next_bill_date", date.fromisoformat, "a date")
    if next_bill_date is not None and billed_through is not None and next_bill_date < billed_through:
        raise InvalidInput(
            "the next bill lies before what is billed already",
            field="next_bill_date",
            remedy="billed_through or a later date",
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
        latitude=optional("latitude", partial(degrees, column="latitude"), "degrees"),
        longitude=optional("longitude", partial(degrees, column="longitude"), "degrees"),
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
        balance_minor=minor(optional("balance", Decimal, "an amount") or Decimal(0), "balance", currency),
        billed_through=billed_through,
        bill_cycle_day=day,
        next_bill_date=next_bill_date,
        management=management,
        promotion=_promotion(row, currency),
        payment_methods=_payment_methods(row),
        monthly_net_minor=None if monthly is None else minor(monthly, "monthly_amount", currency),
    )


def degrees(value: str, column: str) -> Decimal:
    """WGS 84, of `latitude` or `longitude`. Raises InvalidInput naming the column."""
    most = 90 if column == "latitude" else 180
    try:
        found = Decimal(value)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or abs(found) > most:
        raise InvalidInput("are no degrees", field=column, remedy=f"write -{most} to {most}, as in 52.5163")
    return found


def minor(amount: Decimal, column: str, currency: str) -> int:
    """In minor units. Raises InvalidInput where the currency has fewer decimals, or it is no number."""
    if not amount.is_finite() or abs(amount) > _AMOUNT_MAX:
        raise InvalidInput("is no amount of money", field=column, remedy="write it in the main unit: 12.50")
    scaled = amount.scaleb(decimals(currency))
    if scaled != scaled.to_integral_value():
        raise InvalidInput(
            f"{amount} has more decimals than {currency}", field=column, remedy="round it first"
        )
    return int(scaled)


def _promotion(row: Mapping[str, str], currency: str) -> RunningPromotion | None:
    """Its three columns are filled together, or none is."""
    columns = ("promotion", "promotion_amount", "promotion_cycles_left")
    given = [(row.get(column) or "").strip() for column in columns]
    if not any(given):
        return None
    for column, value in zip(columns, given, strict=True):
        if not value:
            raise InvalidInput(
                f"{column} is empty", field=column, remedy=f"fill in {', '.join(columns)}, or none"
            )
    amount = minor(_read(given[1], columns[1], Decimal, "an amount"), columns[1], currency)
    cycles = _read(given[2], columns[2], int, "a number of bill cycles")
    if amount <= 0:
        raise InvalidInput("is no discount", field=columns[1], remedy="an amount above 0, net, per month")
    if not 1 <= cycles <= 120:
        raise InvalidInput(f"{cycles} cycles", field=columns[2], remedy="1 to 120, or leave it out")
    return RunningPromotion(name=given[0], amount_minor=amount, cycles_left=cycles)


def _payment_methods(row: Mapping[str, str]) -> tuple[NewPaymentMethod, ...]:
    """A mandate needs its reference, IBAN and day; a token its provider. The secrets are never repeated."""

    def given(column: str, *, because: str) -> str:
        value = (row.get(column) or "").strip()
        if not value:
            raise InvalidInput(f"{column} is empty", field=column, remedy=f"{because} needs it")
        return value

    found = []
    if any((row.get(name) or "").strip() for name in ("mandate_reference", "mandate_iban")):
        found.append(
            NewPaymentMethod(
                kind="direct_debit",
                reference=given("mandate_reference", because="a mandate"),
                secret=given("mandate_iban", because="a mandate"),
                signed_on=_read(
                    given("mandate_signed_on", because="a mandate"),
                    "mandate_signed_on",
                    date.fromisoformat,
                    "a date",
                ),
            )
        )
    if (row.get("payment_token") or "").strip():
        provider = given("payment_token_provider", because="a token")
        found.append(
            NewPaymentMethod(
                kind="token",
                reference=(row.get("payment_token_reference") or "").strip() or provider,
                secret=given("payment_token", because="a token"),
                provider=provider,
            )
        )
    return tuple(found)


def _read(value: str, column: str, read: Callable[[str], T], what: str) -> T:
    try:
        return read(value)
    except (ValueError, InvalidOperation) as error:
        raise InvalidInput(f"{value!r} is not {what}", field=column, remedy=f"write {what}") from error


def _instant(value: str) -> datetime:
    instant = datetime.fromisoformat(value)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
