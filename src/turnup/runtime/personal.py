"""Export, erasure and retention over what components declare of their tables; the SQL of all three.

A component writes down, in its `privacy.py`, the class of each column, how each table leads to a person and
what becomes of it when she is erased, and after how long what is purged. Here that is carried out, always as
the component's own role.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, UUID

from turnup.contracts.privacy import Held, Kept, Person
from turnup.contracts.unit import Unit
from turnup.kernel.privacy import Classes, DataClass, class_of
from turnup.runtime.database import Database

DELETE: Mapping[str, str] = {}
"""As `erase`: the rows go."""

_ROWS_MAX = 5_000
"""Deleted at once: short locks, and a kill loses little."""

_IDS = ("customers", "accounts", "addresses", "services")
_TEXTS = ("externals", "messages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Rows of one table about a person: where `of` is true, an SQL condition over :party, :customers,
    :accounts, :addresses, :services (ids), :externals and :messages (texts).

    `erase`: column -> SQL expression, DELETE, or None where the rows stay as they are, and `why` says why.
    `only`: a further condition of what is erased.
    """

    table: Table
    of: str
    erase: Mapping[str, str] | None
    why: str = ""
    only: str = "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindrance:
    """A query that returns the names of what is in the way (:accounts and the like), and how to say it."""

    query: str
    said: str
    """With {} for the names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Rows that go after the retention of `kind` (kernel.privacy.RETENTION_DAYS): where `due` is true, an SQL
    condition over :before (and :now)."""

    table: str
    kind: str
    due: str
    condense: str | None = None
    """Instead of deleting: one statement over :before and :batch that returns a row per row it took away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """A component's declarations. `first`: statements of the erasure that come before all others (they may
    use :documents_until and :now)."""

    classes: Classes
    holdings: Sequence[Holding] = ()
    hindrances: Sequence[Hindrance] = ()
    expiries: Sequence[Expiry] = ()
    first: Sequence[str] = ()
    last_document: str | None = None
    """A query for the date of her last document, where this component makes any."""
    unlinked: Mapping[str, str] = field(default_factory=dict)
    """Tables with personal columns that no id leads into, and why that is right."""


class DeclaredData:
    """Implements contracts.privacy.PersonalData over the declarations of one component. `more_in_the_way`
    asks what SQL over its own tables cannot."""

    def __init__(
        self,
        database: Database,
        component: str,
        privacy: Privacy,
        more_in_the_way: Callable[[Person], Sequence[str]] = lambda _: (),
    ) -> None:
        self._database = database
        self._component = component
        self._privacy = privacy
        self._more_in_the_way = more_in_the_way

    def held(self, person: Person) -> Held:
        found: dict[str, list[dict[str, Any]]] = {}
        with self._database.snapshot(self._component) as connection:
            for holding in self._privacy.holdings:
                rows = _rows_of(connection, holding, person)
                shown = [self._shown(holding.table.name, row) for row in rows]
                if shown:
                    found.setdefault(holding.table.name, []).extend(shown)
        return found

    def in_the_way(self, person: Person) -> Sequence[str]:
        found = []
        with self._database.snapshot(self._component) as connection:
            for hindrance in self._privacy.hindrances:
                names = connection.execute(_bound(hindrance.query), _ids_of(person)).scalars().all()
                if names:
                    found.append(hindrance.said.format(", ".join(str(name) for name in names)))
        return [*found, *self._more_in_the_way(person)]

    def erase(self, unit: Unit, person: Person, documents_until: date | None) -> Mapping[str, int]:
        return erase(unit.connection, self._privacy, person, documents_until, unit.now)

    def last_document(self, person: Person) -> date | None:
        if self._privacy.last_document is None:
            return None
        with self._database.snapshot(self._component) as connection:
            found: date | None = connection.scalar(_bound(self._privacy.last_document), _ids_of(person))
        return found

    def kept(self, person: Person) -> Sequence[Kept]:
        with self._database.snapshot(self._component) as connection:
            return [
                Kept(where=f"{self._component}.{holding.table.name}", why=holding.why)
                for holding in self._privacy.holdings
                if holding.erase is None and _rows_of(connection, holding, person, limit=1)
            ]

    def _shown(self, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
        secret = (DataClass.SECRET,)
        return {k: v for k, v in row.items() if class_of(self._privacy.classes, table, k) not in secret}


def erase(
    connection: Connection, privacy: Privacy, person: Person, documents_until: date | None, now: datetime
) -> Mapping[str, int]:
    """Carry the declarations out in this transaction: rows that changed, by table."""
    done: dict[str, int] = {}
    ids = {**_ids_of(person), "documents_until": documents_until, "now": now}
    for statement in privacy.first:
        connection.execute(_bound(statement), ids)
    for holding in privacy.holdings:
        if holding.erase is None:
            continue
        name = holding.table.fullname
        where = f"({holding.of}) AND ({holding.only})"
        if holding.erase is DELETE:
            statement = f"DELETE FROM {name} WHERE {where}"
        else:
            values = ", ".join(f"{column} = {value}" for column, value in holding.erase.items())
            differs = " OR ".join(
                # as text: json knows no equality
                f"CAST({column} AS text) IS DISTINCT FROM CAST({value} AS text)"
                for column, value in holding.erase.items()
            )
            statement = f"UPDATE {name} SET {values} WHERE {where} AND ({differs})"
        changed = connection.execute(_bound(statement), ids).rowcount
        if changed:
            done[holding.table.name] = done.get(holding.table.name, 0) + changed
    return done


def due(connection: Connection, schema: str, expiry: Expiry, before: datetime, now: datetime) -> int:
    """How many rows a purge would take now."""
    query = f"SELECT count(*) FROM {schema}.{expiry.table} WHERE {expiry.due}"
    return connection.scalar(text(query), {"before": before, "now": now}) or 0


def expire(connection: Connection, schema: str, expiry: Expiry, before: datetime, now: datetime) -> int:
    """Take one batch away: the rows that went; 0 when none is left."""
    name = f"{schema}.{expiry.table}"
    statement = expiry.condense or (
        f"DELETE FROM {name} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {name} WHERE {expiry.due} LIMIT :batch))"
    )
    return connection.execute(text(statement), {"before": before, "now": now, "batch": _ROWS_MAX}).rowcount


def _rows_of(
    connection: Connection, holding: Holding, person: Person, *, limit: int | None = None
) -> list[dict[str, Any]]:
    """As JSON, made by PostgreSQL: one way to write instants, numbers and ids."""
    query = f"SELECT to_jsonb(t) FROM {holding.table.fullname} t WHERE {holding.of}"
    if limit is not None:
        query += f" LIMIT {limit}"
    return list(connection.execute(_bound(query), _ids_of(person)).scalars())


def _bound(statement: str) -> Any:
    clause = text(statement)
    present = set(clause._bindparams)
    kinds: dict[str, Any] = {
        "party": UUID(as_uuid=True),
        **dict.fromkeys(_IDS, ARRAY(UUID(as_uuid=True))),
        **dict.fromkeys(_TEXTS, ARRAY(TEXT)),
    }
    return clause.bindparams(*(bindparam(name, type_=kinds[name]) for name in kinds if name in present))


def _ids_of(person: Person) -> dict[str, Any]:
    lists = {name: list(getattr(person, name)) for name in (*_IDS, *_TEXTS)}
    return {"party": person.party, **lists}
