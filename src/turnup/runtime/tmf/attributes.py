"""What a list of a resource may be filtered and sorted by: declared, so that a caller's slip is an error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any
from uuid import UUID

from turnup.kernel.errors import InvalidInput
from turnup.runtime.tmf.identity import uuid_or_none


class Kind(Enum):
    """What the values of an attribute are; the text says it to callers."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "true or false"
    INSTANT = "instant"
    DAY = "day"
    ID = "id"


@dataclass(frozen=True, slots=True)
class Attribute:
    """`column`: what the store's Listing calls it; None: the toolkit looks into the documents. `means`: the
    values the column has for each word of the specification, where they are not the same."""

    kind: Kind = Kind.TEXT
    column: str | None = None
    sortable: bool = False
    means: Mapping[str, Sequence[str]] | None = None

    def read(self, path: str, text: str) -> Any:
        """The value that the text in a URL means. Raises InvalidInput naming the attribute."""
        value = _READERS[self.kind](text)
        if self.means is not None and text not in self.means:
            words = ", ".join(sorted(self.means))
            raise InvalidInput(f"{text!r} is none of its values", field=path, remedy=f"one of {words}")
        if value is None:
            raise InvalidInput(
                f"{text!r} is no {self.kind.value}", field=path, remedy=f"such as {_EXAMPLES[self.kind]}"
            )
        return value

    def stored(self, path: str, texts: Sequence[str]) -> tuple[Any, ...]:
        """What the column has where the attribute has one of these values."""
        values = [self.read(path, text) for text in texts]
        if self.means is None:
            return tuple(values)
        return tuple(each for word in values for each in self.means[word])

    def of(self, found: Any) -> Any:
        """What stands in a document, as such a value; None for what is none."""
        if isinstance(found, str):
            return _READERS[self.kind](found)
        if self.kind is Kind.NUMBER and isinstance(found, int | float):
            return Decimal(str(found))  # as it is written, not as binary has it
        if self.kind is Kind.DAY and isinstance(found, datetime):
            return found.date()
        return str(found) if self.kind is Kind.TEXT and found is not None else found


Attributes = Mapping[str, Attribute]
"""By dotted path: ``billingAccount.id``."""


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _instant(text: str) -> datetime | None:
    try:
        # a plus sign that was not encoded arrives as a space
        value = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        return None
    return value if value.tzinfo else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if "T" not in text else datetime.fromisoformat(text).date()
    except ValueError:
        return None


def _text(text: str) -> str | None:
    return None if "\0" in text else text


def _truth(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _identity(text: str) -> UUID | None:
    return uuid_or_none(text)


_READERS = {
    Kind.TEXT: _text,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _truth,
    Kind.INSTANT: _instant,
    Kind.DAY: _day,
    Kind.ID: _identity,
}
_EXAMPLES = {
    Kind.TEXT: "active",
    Kind.NUMBER: "29.90",
    Kind.BOOLEAN: "true",
    Kind.INSTANT: "2026-01-31T08:00:00Z",
    Kind.DAY: "2026-01-31",
    Kind.ID: "0197a0c2-7d1e-7c3a-9b1f-0a4f5e6d7c8b, the id from an answer",
}


def known(attributes: Attributes, path: str, *, sorting: bool = False) -> Attribute:
    """The declaration. Raises InvalidInput naming the attribute and what there is instead."""
    found = attributes.get(path)
    if found is None or (sorting and not found.sortable):
        possible = sorted(name for name, each in attributes.items() if each.sortable or not sorting)
        raise InvalidInput(
            f"lists cannot be {'sorted' if sorting else 'filtered'} by this here",
            field=f"sort: {path}" if sorting else path,
            remedy=f"one of {', '.join(possible)}" if possible else "leave it out",
        )
    return found
