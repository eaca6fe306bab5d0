"""What goes out: facts in the order of the event log, files numbered without gaps, their bytes kept."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update

from turnup.contracts.mediation import MadeFile
from turnup.integration.mediation import tables
from turnup.integration.mediation.model import Fact, Mode, RecordKind

_fact, _made, _state = tables.fact, tables.made_file, tables.connector_state


NewFact = tuple[str, Mapping[str, str], datetime]
"""Its key, which makes it one however often it is told; what it says; when it was."""

# one statement, however many: every service that changes makes one
_ADD = text("""
    INSERT INTO mediation.fact (kind, key, facts, at)
    SELECT :kind, key, CAST(facts AS jsonb), at
    FROM unnest(CAST(:keys AS text[]), CAST(:facts AS text[]), CAST(:instants AS timestamptz[]))
         WITH ORDINALITY AS f (key, facts, at, n)
    ORDER BY n
    ON CONFLICT (kind, key) DO NOTHING
""")


def add_facts(connection: Connection, kind: RecordKind, facts: Sequence[NewFact]) -> None:
    """Once per key. One writer at a time until its transaction ends (a person may replay a parked event
    beside the consumer): a lower position never comes after a file was made past it."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("mediation.fact", 0))))
    connection.execute(
        _ADD,
        {
            "kind": kind.value,
            "keys": [key for key, _, _ in facts],
            "facts": [json.dumps(dict(said)) for _, said, _ in facts],
            "instants": [at for _, _, at in facts],
        },
    )


def cursor(connection: Connection, connector: str, *, lock: bool = False) -> tuple[int, int]:
    """(position of the last fact that went into a file, number of the last file)."""
    statement = select(_state.c.fact_position, _state.c.file_number).where(_state.c.name == connector)
    row = connection.execute(statement.with_for_update() if lock else statement).one()
    return row.fact_position, row.file_number


def cursors(connection: Connection) -> dict[str, tuple[int, int]]:
    """(number of the last file, position of the last fact in one), by connector that has made any."""
    rows = connection.execute(
        select(_state.c.name, _state.c.file_number, _state.c.fact_position).where(_state.c.file_number > 0)
    )
    return {row.name: (row.file_number, row.fact_position) for row in rows}


def skip(connection: Connection, connector: str, number: int, position: int) -> bool:
    """Move a cursor that is behind up to here; never back, and past no fact that these books do not have."""
    here = select(func.coalesce(func.max(_fact.c.position), 0)).scalar_subquery()
    done = connection.execute(
        update(_state)
        .where(_state.c.name == connector, _state.c.file_number < number)
        .values(
            file_number=number,
            fact_position=func.greatest(_state.c.fact_position, func.least(position, here)),
        )
    )
    return bool(done.rowcount)


def facts_after(connection: Connection, kind: RecordKind, position: int, limit: int) -> list[Fact]:
    rows = connection.execute(
        select(_fact)
        .where(_fact.c.kind == kind.value, _fact.c.position > position)
        .order_by(_fact.c.position)
        .limit(limit)
    )
    return [Fact(position=row.position, kind=kind, facts=row.facts, at=row.at) for row in rows]


def add_made(connection: Connection, values: Mapping[str, Any]) -> None:
    """A file and the cursor that says what is in it, together."""
    connection.execute(insert(_made).values(dict(values)))
    connection.execute(
        update(_state)
        .where(_state.c.name == values["connector"])
        .values(fact_position=values["last_position"], file_number=values["number"])
    )


def made(connection: Connection, connector: str | None, limit: int) -> list[MadeFile]:
    """The latest first."""
    statement = select(*_SHOWN).order_by(_made.c.made_at.desc(), _made.c.number.desc()).limit(limit)
    if connector is not None:
        statement = statement.where(_made.c.connector == connector)
    return [MadeFile(**row._mapping) for row in connection.execute(statement)]


def unsent(connection: Connection, connector: str) -> list[int]:
    """Numbers of the files that wait to be put there, in their order."""
    return list(
        connection.scalars(
            select(_made.c.number)
            .where(_made.c.connector == connector, _made.c.sent_at.is_(None), _made.c.mode == Mode.LIVE.value)
            .order_by(_made.c.number)
        )
    )


def content(connection: Connection, connector: str, number: int) -> tuple[MadeFile, bytes] | None:
    row = connection.execute(
        select(*_SHOWN, _made.c.content).where(_made.c.connector == connector, _made.c.number == number)
    ).first()
    if row is None:
        return None
    values = dict(row._mapping)
    return MadeFile(**{name: values[name] for name in values if name != "content"}), bytes(values["content"])


def set_sent(connection: Connection, connector: str, number: int, at: datetime | None) -> None:
    connection.execute(
        update(_made).where(_made.c.connector == connector, _made.c.number == number).values(sent_at=at)
    )


_SHOWN: Sequence[Any] = [_made.c[name] for name in MadeFile.__dataclass_fields__]
