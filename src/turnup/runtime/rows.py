"""Long lists out of the database: filtered, sorted and paged by declaration.

A store declares which of its columns (or expressions) a list may be narrowed and sorted by; a caller says
what is `Wanted`. Pages go on after a key (the values sorted by, the row's id last) and not after a count, so
that the hundredth page costs what the first does and nothing is skipped while rows are added.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, or_, select

Key = tuple[Any, ...]
View = TypeVar("View")

OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """`operator`: one of OPERATORS. Any of `values` satisfies; with `ne`, none may be equal."""

    name: str
    operator: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Order:
    name: str
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list asks for, in the store's own names. `after`: the key of the last row seen already;
    `counted`: how many there are on all pages together is asked, too."""

    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    after: Key | None = None
    offset: int = 0
    limit: int = 100
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Rows(Generic[View]):
    """A page: each thing with its key."""

    items: Sequence[tuple[Key, View]]
    total: int | None = None


class Listing:
    """What a list may be narrowed and sorted by. `identity` names the one that is unique: it breaks ties."""

    def __init__(
        self, columns: Mapping[str, ColumnElement[Any]], *, identity: str, sortable: Sequence[str] = ()
    ) -> None:
        """`sortable` must never be null: a key with a hole in it does not say where to go on."""
        unknown = [name for name in (identity, *sortable) if name not in columns]
        if unknown:
            raise ValueError(f"no such column: {', '.join(unknown)}")
        self._columns = columns
        self._identity = identity
        self._sortable = frozenset((identity, *sortable))

    def rows(
        self,
        connection: Connection,
        statement: Select[Any],
        wanted: Wanted,
        views: Callable[[Sequence[Any]], Sequence[View]],
    ) -> Rows[View]:
        """Those rows of `statement` that were asked for, as what `views` makes of them, all at once."""
        order = self._order(wanted)
        keys = [self._columns[each.name].label(f"key_{n}") for n, each in enumerate(order)]
        query = (
            statement.add_columns(*keys)
            .where(*self._where(wanted))
            .order_by(*(self._sorted(each) for each in order))
            .limit(wanted.limit)
        )
        if wanted.after is not None:
            query = query.where(self._beyond(order, wanted.after))
        if wanted.offset:
            query = query.offset(wanted.offset)
        found = connection.execute(query).all()
        items = zip((tuple(row)[-len(keys) :] for row in found), views(found), strict=True)
        return Rows(list(items), self._count(connection, statement, wanted) if wanted.counted else None)

    def _count(self, connection: Connection, statement: Select[Any], wanted: Wanted) -> int:
        matching = statement.where(*self._where(wanted)).subquery()
        return connection.scalar(select(func.count()).select_from(matching)) or 0

    def _order(self, wanted: Wanted) -> tuple[Order, ...]:
        for each in wanted.order:
            if each.name not in self._sortable:
                raise ValueError(f"{each.name} cannot be sorted by")
        named = {each.name for each in wanted.order}
        return wanted.order if self._identity in named else (*wanted.order, Order(self._identity))

    def _sorted(self, order: Order) -> ColumnElement[Any]:
        column = self._columns[order.name]
        return column.desc() if order.descending else column.asc()

    def _where(self, wanted: Wanted) -> list[ColumnElement[bool]]:
        return [_fulfils(self._columns[each.name], each) for each in wanted.conditions]

    def _beyond(self, order: Sequence[Order], key: Key) -> ColumnElement[bool]:
        """The rows after this key. Written as nested comparisons, because directions may differ."""
        beyond: ColumnElement[bool] = false()
        for each, value in reversed(list(zip(order, key, strict=True))):
            column = self._columns[each.name]
            further = column < value if each.descending else column > value
            beyond = or_(further, and_(column == value, beyond))
        first, value = order[0], key[0]
        column = self._columns[first.name]
        # says the same once more, in a form that an index can begin at
        start = column <= value if first.descending else column >= value
        return and_(start, beyond)


def _fulfils(column: ColumnElement[Any], condition: Condition) -> ColumnElement[bool]:
    if condition.operator == "eq":
        return column.in_(condition.values)
    if condition.operator == "ne":
        return or_(column.is_(None), column.not_in(condition.values))
    compare = OPERATORS[condition.operator]
    return or_(*(compare(column, value) for value in condition.values))
