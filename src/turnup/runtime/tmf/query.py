"""What a list request asks for: filters, order, the fields wanted, the page.

TMF630: ``?state=completed,failed&orderDate.gte=2026-01-01T00:00:00Z&sort=-orderDate&fields=id,state``. What
may be asked is what the resource declares. A component takes the filters it can answer by SQL; the toolkit
applies the rest to what it yields.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from turnup.kernel.errors import InvalidInput
from turnup.runtime.rows import OPERATORS, Condition, Key, Order, Rows, Wanted
from turnup.runtime.tmf import cursor
from turnup.runtime.tmf.attributes import Attribute, Attributes, known

View = TypeVar("View")

DEFAULT_LIMIT = 100
MAXIMUM_LIMIT = 1000
MAXIMUM_OFFSET = 1_000_000
"""Further on, follow the cursors."""
_AT_ONCE = 500
"""Rows read at once while the toolkit looks for those that its own filters let through."""
_TEXT = Attribute()


@dataclass(frozen=True, slots=True)
class Filter:
    """`path` is dotted; any of `values` satisfies (`ne`: none may be found)."""

    path: str
    operator: str
    values: tuple[str, ...]
    attribute: Attribute = _TEXT

    def holds(self, document: Mapping[str, Any]) -> bool:
        if self.operator == "ne":
            return not replace(self, operator="eq").holds(document)
        compare = OPERATORS[self.operator]
        wanted = [self.attribute.read(self.path, text) for text in self.values]
        found = (self.attribute.of(value) for value in _values_at(document, self.path.split(".")))
        return any(compare(value, each) for value in found if value is not None for each in wanted)


@dataclass(frozen=True, slots=True)
class Within(Filter):
    """Holds for what lies within the caller's realm; no component can take it."""

    inside: Callable[[Mapping[str, Any]], bool] = field(kw_only=True)

    def holds(self, document: Mapping[str, Any]) -> bool:
        return self.inside(document)


@dataclass(frozen=True, slots=True)
class Page:
    """A page that the component cut itself; lawful only when it took every filter. `total` None: unknown.
    `more`: something follows it, at `cursor` where there is one."""

    items: Sequence[Mapping[str, Any]]
    total: int | None = None
    more: bool = False
    cursor: str | None = None


@dataclass(slots=True)
class Query:
    """One list request. `take` hands a filter to the component and removes it from those still to apply."""

    filters: list[Filter] = field(default_factory=list)
    fields: frozenset[str] | None = None
    order: tuple[Order, ...] = ()
    """By attributes; of a list that the component sorts itself, its own order where none was asked for."""
    sorted_by_caller: bool = False
    cursor: str | None = None
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    wants_total: bool = False
    attributes: Attributes = field(default_factory=dict)

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

    def read(
        self, fetch: Callable[[Wanted], Rows[View]], document: Callable[[View], Mapping[str, Any]]
    ) -> Page:
        """The page asked for, out of a store's Listing: filters and order of attributes that have a column
        are the database's work, other filters are applied here to what it yields."""
        conditions = tuple(self._conditions())
        order, keys = self._columns()
        signature = ",".join(f"{'-' if each.descending else ''}{each.name}" for each in order)
        given, self.cursor = self.cursor, None
        after = cursor.read(given, signature, keys) if given else None
        wanted = Wanted(conditions=conditions, order=order, after=after)
        if self.filters:
            return self._searched(fetch, document, wanted, signature)
        found = fetch(replace(wanted, offset=self.offset, limit=self.limit + 1, counted=self.wants_total))
        shown = found.items[: self.limit]
        more = len(found.items) > self.limit
        return Page(
            [document(view) for _, view in shown],
            found.total,
            more=more,
            cursor=cursor.written(signature, shown[-1][0]) if more and shown else None,
        )

    def page(self, found: Iterable[Mapping[str, Any]] | Page) -> Page:
        """The page asked for, of whatever the component yields."""
        if self.cursor is not None:
            raise InvalidInput(
                "this list has no cursors", field="cursor", remedy="follow the answer's Link: …; rel=next"
            )
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
            return replace(found, more=self.offset + len(found.items) < found.total and bool(found.items))
        matching = (document for document in found if all(f.holds(document) for f in self.filters))
        return self._cut(self._in_order(matching) if self.sorted_by_caller else matching)

    def _conditions(self) -> Iterator[Condition]:
        """Those filters that are about columns, taken."""
        for each in list(self.filters):
            attribute = self.attributes.get(each.path)
            if attribute is not None and attribute.column is not None:
                self.filters.remove(each)
                yield Condition(attribute.column, each.operator, attribute.stored(each.path, each.values))

    def _columns(self) -> tuple[tuple[Order, ...], list[Attribute]]:
        """The order by columns, which the id ends so that no two rows have the same key."""
        named = list(self.order)
        if all(each.name != "id" for each in named):
            named.append(Order("id"))
        keys = [self.attributes[each.name] for each in named]
        order = [replace(each, name=key.column or each.name) for each, key in zip(named, keys, strict=True)]
        return tuple(order), keys

    def _searched(
        self,
        fetch: Callable[[Wanted], Rows[View]],
        document: Callable[[View], Mapping[str, Any]],
        wanted: Wanted,
        signature: str,
    ) -> Page:
        """Row by row as far as the page goes, or to the end where the total is asked for."""
        items: list[Mapping[str, Any]] = []
        last: Key | None = None
        seen = 0
        for key, view in self._rows(fetch, wanted):
            shown = document(view)
            if not all(each.holds(shown) for each in self.filters):
                continue
            seen += 1
            if self.offset < seen <= self.offset + self.limit:
                items.append(shown)
                last = key
            elif seen > self.offset + self.limit and not self.wants_total:
                break
        self.filters = []
        more = seen > self.offset + self.limit
        total = seen if self.wants_total and wanted.after is None else None
        return Page(
            items, total, more=more, cursor=cursor.written(signature, last) if more and last else None
        )

    def _rows(self, fetch: Callable[[Wanted], Rows[View]], wanted: Wanted) -> Iterator[tuple[Key, View]]:
        wanted = replace(wanted, limit=_AT_ONCE)
        while True:
            found = fetch(wanted).items
            yield from found
            if len(found) < _AT_ONCE:
                return
            wanted = replace(wanted, after=found[-1][0])

    def _in_order(self, matching: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Sorted by one attribute after the other; what lacks it comes last."""
        documents = list(matching)
        for order in reversed(self.order):
            path = order.name.split(".")
            attribute = self.attributes[order.name]
            found = [(attribute.of(next(_values_at(each, path), None)), each) for each in documents]
            there = [pair for pair in found if pair[0] is not None]
            there.sort(key=lambda pair: pair[0], reverse=order.descending)
            documents = [document for _, document in there]
            documents += [document for value, document in found if value is None]
        return iter(documents)

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


def parse_query(
    parameters: Sequence[tuple[str, str]],
    attributes: Attributes,
    *,
    order: str = "",
    total_asked: bool = False,
) -> Query:
    """`order`: how the list is sorted where the caller does not say. Raises InvalidInput naming the
    parameter."""
    query = Query(attributes=attributes, order=_order("order", order, attributes))
    query.wants_total = total_asked
    for name, text in parameters:
        if name == "fields":
            query.fields = read_fields(text)
        elif name == "sort":
            query.order, query.sorted_by_caller = _order("sort", text, attributes), True
        elif name == "cursor":
            query.cursor = text
        elif name == "offset":
            query.offset, query.wants_total = _offset(text), True
        elif name == "limit":
            query.limit = _whole(name, text, MAXIMUM_LIMIT)
        else:
            query.filters.append(_filter(name, text, attributes))
    if query.cursor is not None and query.offset:
        raise InvalidInput("goes on from a count, the cursor from a key", field="offset", remedy="give one")
    return query


def read_fields(text: str) -> frozenset[str]:
    """``fields=id,state``."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def _filter(name: str, text: str, attributes: Attributes) -> Filter:
    path, _, suffix = name.rpartition(".")
    if not path or suffix not in OPERATORS:
        path, suffix = name, "eq"
    attribute = known(attributes, path)
    values = tuple(part for part in text.split(",") if part) or (text,)
    for value in values:
        attribute.read(path, value)
    return Filter(path, suffix, values, attribute)


def _order(name: str, text: str, attributes: Attributes) -> tuple[Order, ...]:
    """``-orderDate,id``: descending by the one, then ascending by the other."""
    found = []
    for part in text.split(","):
        path = part.strip().lstrip("+-").strip()
        if path:
            known(attributes, path, sorting=True)
            found.append(Order(path, descending=part.strip().startswith("-")))
    if text and len({each.name for each in found}) != len(found):
        raise InvalidInput("names an attribute twice", field=name, remedy="name each once")
    return tuple(found)


def _whole(name: str, text: str, maximum: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput(f"{text!r} is not a whole number", field=name, remedy="write 0 or more")
    return min(int(text[:18]), maximum)


def _offset(text: str) -> int:
    offset = _whole("offset", text, MAXIMUM_OFFSET + 1)
    if offset > MAXIMUM_OFFSET:
        raise InvalidInput(
            f"is at most {MAXIMUM_OFFSET}", field="offset", remedy="follow the answer's Link: …; rel=next"
        )
    return offset


def _values_at(node: Any, path: Sequence[str]) -> Iterator[Any]:
    """Every value at the dotted path; a list on the way means: of any of its elements."""
    if isinstance(node, list | tuple):
        for element in node:
            yield from _values_at(element, path)
    elif not path:
        yield node
    elif isinstance(node, Mapping) and path[0] in node:
        yield from _values_at(node[path[0]], path[1:])
