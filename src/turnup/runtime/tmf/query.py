"""What a list request asks for: filters, the fields wanted, the page.

TMF630: ``?state=completed,failed&orderDate.gte=2026-01-01T00:00:00Z&billingAccount.id=…&fields=id,state``.
A component takes the filters it can answer by SQL; the toolkit applies the rest to what it yields.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from turnup.kernel.errors import InvalidInput

DEFAULT_LIMIT = 100
MAXIMUM_LIMIT = 1000
_RESERVED = frozenset({"fields", "offset", "limit"})
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """`path` is dotted; any of `values` satisfies (`ne`: none may be found)."""

    path: str
    operator: str
    values: tuple[str, ...]

    def holds(self, document: Mapping[str, Any]) -> bool:
        if self.operator == "ne":
            return not Filter(self.path, "eq", self.values).holds(document)
        compare = _OPERATORS[self.operator]
        found = list(_values_at(document, self.path.split(".")))
        return any(_compares(compare, value, wanted) for value in found for wanted in self.values)


@dataclass(frozen=True, slots=True)
class Within(Filter):
    """Holds for what lies within the caller's realm; no component can take it."""

    inside: Callable[[Mapping[str, Any]], bool]

    def holds(self, document: Mapping[str, Any]) -> bool:
        return self.inside(document)


@dataclass(frozen=True, slots=True)
class Page:
    """A page that the component cut itself; lawful only when it took every filter. `total` None: unknown.
    `more`: something follows it."""

    items: Sequence[Mapping[str, Any]]
    total: int | None = None
    more: bool = False


@dataclass(slots=True)
class Query:
    """One list request. `take` hands a filter to the component and removes it from those still to apply."""

    filters: list[Filter] = field(default_factory=list)
    fields: frozenset[str] | None = None
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    wants_total: bool = False

    def take(self, path: str) -> tuple[str, ...] | None:
        """The values asked for by equality of this attribute, or None; the component answers for them."""
        for found in self.filters:
            if found.path == path and found.operator == "eq":
                self.filters.remove(found)
                return found.values
        return None

    def take_one(self, path: str) -> str | None:
        """The same where only one value makes sense. Raises InvalidInput when several came."""
        values = self.take(path)
        if values is not None and len(values) != 1:
            raise InvalidInput("takes one value here", field=path, remedy="ask once per value")
        return values[0] if values else None

    def page(self, found: Iterable[Mapping[str, Any]] | Page) -> Page:
        """The page asked for, of whatever the component yields."""
        if isinstance(found, Page):
            if self.filters:
                path = self.filters[0].path
                raise InvalidInput(
                    "this attribute cannot be filtered by here",
                    field=path,
                    remedy="filter the answer yourself",
                )
            if found.total is None or found.more:
                return found
            return replace(found, more=self.offset + len(found.items) < found.total)
        return self._cut(document for document in found if all(f.holds(document) for f in self.filters))

    def _cut(self, matching: Iterator[Mapping[str, Any]]) -> Page:
        items: list[Mapping[str, Any]] = []
        seen = 0
        for document in matching:
            if self.offset <= seen < self.offset + self.limit:
                items.append(document)
            seen += 1
            if seen > self.offset + self.limit and not self.wants_total:
                return Page(items, more=True)  # nobody asked how much more
        return Page(items, seen, more=seen > self.offset + self.limit)


def parse_query(parameters: Sequence[tuple[str, str]], *, total_asked: bool = False) -> Query:
    """Raises InvalidInput naming the parameter."""
    query = Query()
    names = {name for name, _ in parameters}
    query.wants_total = total_asked or bool(names & {"offset", "limit"})
    for name, text in parameters:
        if name == "fields":
            query.fields = frozenset(part.strip() for part in text.split(",") if part.strip())
        elif name == "offset":
            query.offset = _whole(name, text, None)
        elif name == "limit":
            query.limit = _whole(name, text, MAXIMUM_LIMIT)
        else:
            query.filters.append(_filter(name, text))
    return query


def _filter(name: str, text: str) -> Filter:
    path, _, suffix = name.rpartition(".")
    if not path or suffix not in _OPERATORS:
        path, suffix = name, "eq"
    return Filter(path, suffix, tuple(part for part in text.split(",") if part) or (text,))


def _whole(name: str, text: str, maximum: int | None) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput(f"{text!r} is not a whole number", field=name, remedy="write 0 or more")
    return int(text) if maximum is None else min(int(text), maximum)


def _values_at(node: Any, path: Sequence[str]) -> Iterator[Any]:
    """Every value at the dotted path; a list on the way means: of any of its elements."""
    if isinstance(node, list | tuple):
        for element in node:
            yield from _values_at(element, path)
    elif not path:
        yield node
    elif isinstance(node, Mapping) and path[0] in node:
        yield from _values_at(node[path[0]], path[1:])


def _compares(compare: Callable[[Any, Any], bool], value: Any, wanted: str) -> bool:
    try:
        return compare(value, _like(value, wanted))
    except (ValueError, TypeError, InvalidOperation):
        return False


def _like(value: Any, wanted: str) -> Any:
    """The text as the kind of thing the value is."""
    if isinstance(value, bool):
        return {"true": True, "false": False}.get(wanted.lower())
    if isinstance(value, int | float | Decimal):
        return Decimal(wanted)
    if isinstance(value, datetime):
        instant = datetime.fromisoformat(wanted)
        return instant if instant.tzinfo else instant.replace(tzinfo=value.tzinfo)
    if isinstance(value, str):
        return wanted
    return type(value)(wanted)
