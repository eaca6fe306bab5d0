"""Verbs of crm, pure: what a customer must look like, and how a message reads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from string import Template
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from turnup.bss.crm.model import PartyDetails, PartyKind
from turnup.contracts.crm import NewAddress, NewCustomer, NewPaymentMethod
from turnup.kernel.errors import InvalidInput
from turnup.kernel.money import Money, decimals

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_COUNTRY = re.compile(r"[A-Z]{2}")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_PHONE = re.compile(r"\+?[0-9 ()/.-]{3,}")

Templates = Mapping[tuple[str, str], str]
"""(language, name) -> text; the first line is the subject."""


_WORD = re.compile(r"\w+")
_PHONE_DIGITS_MIN = 5


@dataclass(frozen=True, slots=True)
class Sought:
    """What a text typed into a search box may mean. `phone_end`: digits that a number must end with; None: it
    is no phone number. `words`: beginnings of words of a name, empty where the text has none."""

    words: tuple[str, ...]
    phone_end: str | None
    mail: str


def sought(text: str) -> Sought:
    """Trunk and country prefixes are left out: 0151…, +49151… and 0049151… are one number."""
    text = text.strip()
    digits = re.sub(r"[^0-9]", "", text).lstrip("0")
    dialled = _PHONE.fullmatch(text) is not None and len(digits) >= _PHONE_DIGITS_MIN
    return Sought(tuple(_WORD.findall(text.lower())), digits if dialled else None, text)


def check_customer(new: NewCustomer) -> PartyDetails:
    """The party in a new customer. Raises InvalidInput naming the field and the remedy."""
    if new.kind not in set(PartyKind):
        raise InvalidInput(f"{new.kind!r} is not known", field="kind", remedy="individual or organization")
    details = PartyDetails(
        kind=PartyKind(new.kind),
        name=new.name,
        given_name=new.given_name,
        family_name=new.family_name,
        email=new.email,
        phone=new.phone,
        language=new.language,
        address=new.address,
    )
    check_party(details)
    check_account(new.currency, new.time_zone, new.bill_cycle_day)
    return details


def check_party(details: PartyDetails) -> None:
    _filled(details.name, "name")
    if details.email is not None and not _EMAIL.fullmatch(details.email):
        raise InvalidInput("is no mail address", field="email", remedy="write name@example.net")
    if details.phone is not None and not _PHONE.fullmatch(details.phone):
        raise InvalidInput("is no telephone number", field="phone", remedy="write +49 30 123456")
    if not re.fullmatch(r"[a-z]{2,3}", details.language):
        raise InvalidInput("is no language", field="language", remedy="write two letters: en, de")
    if details.address is not None:
        check_address(details.address)


def check_payment_method(method: NewPaymentMethod) -> None:
    """Raises InvalidInput; never repeats the secret."""
    if method.kind not in ("direct_debit", "token"):
        raise InvalidInput(f"{method.kind!r} is no way to pay", field="kind", remedy="direct_debit or token")
    _filled(method.reference, "reference")
    _filled(method.secret, "iban" if method.kind == "direct_debit" else "token")
    if method.kind == "direct_debit":
        if not is_iban(method.secret):
            raise InvalidInput("is no IBAN", field="iban", remedy="compare it with the mandate")
        if len(method.reference) > 35:
            raise InvalidInput("is longer than 35 characters", field="reference", remedy="SEPA's own limit")


def is_iban(text: str) -> bool:
    """ISO 13616: two letters, two check digits, up to 30 more; 1 modulo 97 (ISO 7064)."""
    plain = "".join(text.split()).upper()
    if not _IBAN.fullmatch(plain):
        return False
    return int("".join(str(int(each, 36)) for each in plain[4:] + plain[:4])) % 97 == 1


def check_address(address: NewAddress) -> None:
    for name in ("street", "postcode", "city"):
        _filled(getattr(address, name), f"address.{name}")
    if not _COUNTRY.fullmatch(address.country):
        raise InvalidInput(
            f"{address.country!r} is no country",
            field="address.country",
            remedy="two capitals: DE (ISO 3166-1)",
        )
    if (address.latitude is None) != (address.longitude is None):
        raise InvalidInput(
            "half a position", field="address", remedy="give latitude and longitude, or neither"
        )
    for name, limit in (("latitude", 90), ("longitude", 180)):
        degrees: Decimal | None = getattr(address, name)
        if degrees is not None and not -limit <= degrees <= limit:
            raise InvalidInput(
                f"{degrees} is off the globe", field=f"address.{name}", remedy=f"degrees, -{limit} to {limit}"
            )


def check_account(currency: str, time_zone: str, bill_cycle_day: int) -> None:
    try:
        decimals(currency)
    except (ValueError, KeyError, InvalidInput) as error:
        raise InvalidInput(
            f"{currency!r} is no currency", field="currency", remedy="ISO 4217: EUR"
        ) from error
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"{time_zone!r} is no time zone", field="time_zone", remedy="IANA: Europe/Berlin"
        ) from error
    if not 1 <= bill_cycle_day <= 31:
        raise InvalidInput("is no day of a month", field="bill_cycle_day", remedy="1 to 31")


def render(templates: Templates, name: str, language: str, facts: Mapping[str, str]) -> tuple[str, str]:
    """(subject, body) in the language, English where a translation is missing. Raises InvalidInput for an
    unknown template or a fact it needs and did not get."""
    text = templates.get((language, name)) or templates.get(("en", name))
    if text is None:
        known = ", ".join(sorted({template for _, template in templates}))
        raise InvalidInput(f"there is no message {name!r}", field="template", remedy=f"known: {known}")
    subject, _, body = text.partition("\n")
    # a subject is one header line whatever a fact holds (RFC 5322, 2.2)
    single_line = {fact: " ".join(value.split()) for fact, value in facts.items()}
    try:
        return Template(subject).substitute(single_line), Template(body).substitute(facts)
    except KeyError as error:
        raise InvalidInput(
            f"the message {name!r} needs the fact {error.args[0]}", field="facts", remedy="pass it"
        ) from error


def local_time(instant: datetime, time_zone: str) -> str:
    """As a customer reads it: ``2026-03-02 13:00``, in the zone of the account."""
    return instant.astimezone(ZoneInfo(time_zone)).strftime("%Y-%m-%d %H:%M")


def amount(minor: int, currency: str) -> str:
    """``12.34 EUR``."""
    return str(Money(minor, currency))


def _filled(value: str, field: str) -> None:
    if not value.strip():
        raise InvalidInput("is empty", field=field, remedy="fill it in")
