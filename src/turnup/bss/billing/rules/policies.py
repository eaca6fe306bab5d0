"""Policy documents, as people write them, into policies. Errors name the path in the document."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from turnup.bss.billing.model import (
    SHARE_SCALE,
    Allowance,
    BillingPolicy,
    CreditPolicy,
    DunningPolicy,
    DunningStep,
    Granularity,
    Policies,
    TaxPoint,
    TaxRate,
)
from turnup.kernel.errors import InvalidInput
from turnup.kernel.money import Rounding

Document = Mapping[str, object]
Snapshot = Mapping[str, Mapping[str, Document]]
"""Documents by kind (billing, credit, dunning, tax) and code."""
_UNITS = {"minute": 1, "hour": 60, "day": 24 * 60}
_CHOICES: dict[str, type[StrEnum]] = {
    "granularity": Granularity,
    "rounding": Rounding,
    "tax_point": TaxPoint,
    "allowance": Allowance,
}


def frozen_policies(snapshot: Snapshot) -> Policies:
    """The policies of a snapshot; without a billing policy named `standard` the defaults hold."""
    return Policies(
        billing=billing_policy(snapshot.get("billing", {}).get("standard", {})),
        credit={
            code: credit_policy(doc, f"credit.{code}") for code, doc in snapshot.get("credit", {}).items()
        },
        dunning={
            code: dunning_policy(doc, f"dunning.{code}") for code, doc in snapshot.get("dunning", {}).items()
        },
        tax=tuple(
            rate for code, doc in snapshot.get("tax", {}).items() for rate in tax_rates(doc, f"tax.{code}")
        ),
    )


def billing_policy(document: Document, path: str = "billing") -> BillingPolicy:
    """`{granularity: day, rounding: half_away, charge_while_suspended: true, payment_terms_days: 14, …}`"""
    known = {field.name for field in fields(BillingPolicy)}
    _only(document, known, path)
    values: dict[str, object] = {}
    for name, value in document.items():
        if name in _CHOICES:
            kind = _CHOICES[name]
            values[name] = kind(_choice(value, [member.value for member in kind], f"{path}.{name}"))
        elif name == "payment_terms_days":
            values[name] = _whole(value, f"{path}.{name}")
        elif name == "charge_while_suspended":
            values[name] = _flag(value, f"{path}.{name}")
        else:
            values[name] = _series(value, f"{path}.{name}")
    return BillingPolicy(**values)  # type: ignore[arg-type]


def credit_policy(document: Document, path: str = "credit") -> CreditPolicy:
    """`{minimum_minutes: 60, per: hour, share_percent: "5", cap_percent: "100"}`: 5 % of the monthly charge
    per started hour, for outages of an hour or more, at most the whole charge in a bill period."""
    _only(document, {"minimum_minutes", "per", "share_percent", "cap_percent", "name"}, path)
    per = _choice(document.get("per", "hour"), list(_UNITS), f"{path}.per")
    return CreditPolicy(
        minimum_minutes=_whole(document.get("minimum_minutes", 60), f"{path}.minimum_minutes"),
        per_minutes=_UNITS[per],
        share_ppm=_percent(document.get("share_percent", 0), f"{path}.share_percent"),
        cap_ppm=_percent(document.get("cap_percent", 100), f"{path}.cap_percent"),
    )


def dunning_policy(document: Document, path: str = "dunning") -> DunningPolicy:
    """`{minimum_open_minor: 0, steps: [{days_overdue: 7, action: remind}, {days_overdue: 21, action: suspend,
    minimum_minor: 1000}]}`"""
    _only(document, {"steps", "minimum_open_minor", "name"}, path)
    steps = tuple(
        _dunning_step(step, f"{path}.steps[{n}]") for n, step in enumerate(_list(document, "steps", path))
    )
    if list(steps) != sorted(steps, key=lambda step: step.days_overdue):
        raise InvalidInput(
            "steps must come in the order of their days", field=f"{path}.steps", remedy="sort them"
        )
    return DunningPolicy(steps, _whole(document.get("minimum_open_minor", 0), f"{path}.minimum_open_minor"))


def _dunning_step(step: Document, path: str) -> DunningStep:
    _only(step, {"days_overdue", "action", "minimum_minor"}, path)
    return DunningStep(
        days_overdue=_whole(step.get("days_overdue"), f"{path}.days_overdue"),
        action=_choice(step.get("action"), ["remind", "suspend"], f"{path}.action"),
        minimum_minor=_whole(step.get("minimum_minor", 0), f"{path}.minimum_minor"),
    )


def tax_rates(document: Document, path: str = "tax") -> tuple[TaxRate, ...]:
    """`{rates: [{class: standard, category: standard, percent: "19", valid_from: 2020-01-01}]}`"""
    _only(document, {"rates", "name"}, path)
    return tuple(
        _tax_rate(rate, f"{path}.rates[{n}]") for n, rate in enumerate(_list(document, "rates", path))
    )


def _tax_rate(rate: Document, path: str) -> TaxRate:
    _only(rate, {"class", "category", "percent", "valid_from"}, path)
    since = rate.get("valid_from", date(1970, 1, 1))
    try:
        valid_from = since if isinstance(since, date) else date.fromisoformat(str(since))
    except ValueError as error:
        raise InvalidInput(
            f"{since!r} is no date", field=f"{path}.valid_from", remedy="write 2026-01-31"
        ) from error
    return TaxRate(
        tax_class=str(rate.get("class", "standard")),
        category=str(rate.get("category", "standard")),
        rate_ppm=_percent(rate.get("percent"), f"{path}.percent"),
        valid_from=valid_from,
    )


def _only(document: Document, known: set[str], path: str) -> None:
    if unknown := sorted(set(document) - known):
        raise InvalidInput(
            f"unknown entry {unknown[0]!r}",
            field=f"{path}.{unknown[0]}",
            remedy=f"known are {', '.join(sorted(known))}",
        )


def _list(document: Document, name: str, path: str) -> Sequence[Document]:
    value = document.get(name)
    if (
        not isinstance(value, Sequence)
        or isinstance(value, str)
        or not all(isinstance(v, Mapping) for v in value)
    ):
        raise InvalidInput(
            f"{name} must be a list of entries", field=f"{path}.{name}", remedy="write a YAML list"
        )
    return value


def _choice(value: object, allowed: list[str], path: str) -> str:
    if value not in allowed:
        raise InvalidInput(f"{value!r} is not known", field=path, remedy=f"use one of {', '.join(allowed)}")
    return str(value)


def _flag(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"{value!r} is neither true nor false", field=path, remedy="write true or false")
    return value


def _series(value: object, path: str) -> str:
    """Numbers are written ``SERIES-00000001``."""
    if not isinstance(value, str) or not value.isalnum():
        raise InvalidInput(
            f"{value!r} cannot begin an invoice number", field=path, remedy="write letters and digits: INV"
        )
    return value


def _whole(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(
            f"{value!r} is not a whole number", field=path, remedy="write 0 or more, without decimals"
        )
    return value


def _percent(value: object, path: str) -> int:
    """Percent with up to four decimals, as ppm."""
    try:
        ppm = Decimal(str(value)) * (SHARE_SCALE // 100)
    except InvalidOperation:
        ppm = Decimal("NaN")
    if not ppm.is_finite() or ppm != int(ppm) or ppm < 0:
        raise InvalidInput(
            f"{value!r} is not a percentage",
            field=path,
            remedy='write a number such as "7.5", at most four decimals',
        )
    return int(ppm)
