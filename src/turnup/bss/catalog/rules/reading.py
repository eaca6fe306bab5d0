"""Reading documents: every complaint names the path in the document and what to write instead."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import cast

from turnup.kernel.errors import InvalidInput

Node = Mapping[str, object]
_CODE = re.compile(r"[a-z0-9][a-z0-9._-]*")


def known_entries(node: Node, known: Iterable[str], path: str) -> None:
    """Raises InvalidInput for an entry that means nothing here, with the one probably meant."""
    allowed = sorted(known)
    for name in node:
        if name not in allowed:
            near = difflib.get_close_matches(str(name), allowed, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(allowed)}"
            raise InvalidInput(f"unknown entry {name!r}", field=_join(path, str(name)), remedy=hint)


def mapping(value: object, path: str) -> Node:
    if not isinstance(value, Mapping):
        raise InvalidInput("must be a set of `name: value` entries", field=path, remedy="indent its entries")
    return cast(Node, value)


def entries(node: Node, name: str, path: str) -> list[tuple[str, Node]]:
    """The list under this name as (path, entry) pairs; none when it is missing."""
    value = node.get(name) or ()
    where = _join(path, name)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InvalidInput("must be a list", field=where, remedy="start each entry with `- `")
    return [(f"{where}[{n}]", mapping(entry, f"{where}[{n}]")) for n, entry in enumerate(value)]


def text(node: Node, name: str, path: str, default: str | None = None) -> str:
    value = node.get(name, default)
    if not isinstance(value, str) or (not value.strip() and default != ""):
        raise InvalidInput("is missing or no text", field=_join(path, name), remedy=f"write {name}: …")
    return value.strip()


def code(node: Node, path: str) -> str:
    value = text(node, "code", path)
    if not _CODE.fullmatch(value):
        raise InvalidInput(
            f"{value!r} is no code", field=_join(path, "code"), remedy="small letters, digits and - . _"
        )
    return value


def choice(node: Node, name: str, path: str, allowed: Sequence[str], default: str) -> str:
    value = node.get(name, default)
    if value not in allowed:
        raise InvalidInput(
            f"{value!r} is not known", field=_join(path, name), remedy=f"use one of {', '.join(allowed)}"
        )
    return str(value)


def decimal(node: Node, name: str, path: str, *, places: int) -> Decimal:
    """An exact amount, 0 or more; a YAML float counts as it is written."""
    value = node.get(name)
    try:
        amount = Decimal("NaN") if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or amount < 0 or -exponent > places:
        raise InvalidInput(
            f"{value!r} is no amount",
            field=_join(path, name),
            remedy=f"a number with up to {places} decimals",
        )
    return amount


def whole(node: Node, name: str, path: str) -> int:
    value = node.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(f"{value!r} is no whole number", field=_join(path, name), remedy="write 0 or more")
    return value


def instant(node: Node, name: str, path: str) -> datetime | None:
    """A date (its midnight UTC) or an instant with zone; None when missing."""
    value = node.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise InvalidInput("is no date", field=_join(path, name), remedy="write 2026-01-31")


def unique(codes: Iterable[tuple[str, str]]) -> None:
    """(path, code) pairs: raises InvalidInput at the second of the same code."""
    seen: dict[str, str] = {}
    for path, value in codes:
        if value in seen:
            raise InvalidInput(f"{value!r} is there twice", field=path, remedy=f"see {seen[value]}; keep one")
        seen[value] = path


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
