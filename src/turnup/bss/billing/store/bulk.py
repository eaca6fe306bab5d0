"""Frames in and out of PostgreSQL in bulk, on the transaction's own connection.

In by COPY. Out by one row with a text per column: psycopg hands over COPY's rows one by one, each with a wait
on the socket, which cost as much as the query.
"""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import polars as pl
import psycopg
from pgpq import ArrowToPostgresBinaryEncoder
from sqlalchemy import BigInteger, Integer, SmallInteger, Uuid
from sqlalchemy import Connection as Connection  # use cases know the type, never SQLAlchemy
from sqlalchemy.types import TypeEngine

from turnup.bss.billing.tables import SCHEMA, metadata

_UNIT = "\x1f"


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection under a SQLAlchemy one: same session, same transaction, same role."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError(f"billing copies frames with psycopg 3, not {type(raw)}: use postgresql+psycopg://")
    return raw


def read_frame(
    connection: Connection,
    query: str,
    parameters: Mapping[str, object],
    schema: Mapping[str, type[pl.DataType]],
) -> pl.DataFrame:
    """The rows of a query, its columns in the schema's order; for thousands of rows, not for millions. An
    empty text comes as null. Raises if a text holds the ASCII unit separator."""
    names = [f"c{n}" for n in range(len(schema))]
    columns = ", ".join(f"array_to_string(array_agg({name}), E'\\x1f', '')" for name in names)
    statement = f"SELECT count(*), {columns} FROM ({query}) AS r ({', '.join(names)})"
    height, *texts = rows(connection, statement, parameters)[0]
    if not height:
        return pl.DataFrame(schema=schema)
    series = [
        pl.Series(name, [text]).str.split(_UNIT).explode() for name, text in zip(schema, texts, strict=True)
    ]
    if any(len(each) != height for each in series):
        raise ValueError(f"a text among {list(schema)} holds the unit separator (0x1f)")
    frame = pl.DataFrame(series)
    return frame.select(_typed(name, kind) for name, kind in schema.items())


def _typed(name: str, kind: type[pl.DataType]) -> pl.Expr:
    """PostgreSQL's text of a value as the value; null where it is empty. What is no such value raises."""
    column = pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)
    if kind is pl.Boolean:
        return column.replace_strict({"t": True, "true": True, "f": False, "false": False, None: None})
    if kind is pl.Date:
        return column.str.to_date("%Y-%m-%d")
    return column if kind is pl.String else column.cast(kind)


def append_frame(connection: Connection, table: str, frame: pl.DataFrame) -> None:
    """Insert a frame whose columns are named as the table's. One statement, so triggers see it whole.

    Ids are text in the frame. Raises before anything is sent where a value is none of its column's.
    """
    if frame.is_empty():
        return
    target = metadata.tables[f"{SCHEMA}.{table}"]
    typed = frame.select(_wire(name, target.columns[name].type) for name in frame.columns)
    batches = typed.to_arrow(compat_level=pl.CompatLevel.oldest()).to_batches()
    encoder = ArrowToPostgresBinaryEncoder(batches[0].schema)
    pieces = [encoder.write_header(), *(encoder.write_batch(batch) for batch in batches), encoder.finish()]
    columns = ", ".join(f'"{name}"' for name in frame.columns)
    statement = f"COPY {SCHEMA}.{table} ({columns}) FROM STDIN (FORMAT binary)".encode()
    with driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for piece in pieces:
            copy.write(piece)


def _wire(name: str, kind: TypeEngine[Any]) -> pl.Expr:
    """A column in the width in which PostgreSQL takes its type in binary: an id is its 16 octets."""
    column = pl.col(name)
    match kind:
        case Uuid():
            return column.str.replace_all("-", "", literal=True).str.decode("hex")
        case SmallInteger():
            return column.cast(pl.Int16)
        case BigInteger():
            return column.cast(pl.Int64)
        case Integer():
            return column.cast(pl.Int32)
        case _:
            return column


def frozen(frame: pl.DataFrame) -> bytes:
    """A frame as Arrow IPC, for keeping."""
    buffer = BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


def thawed(data: bytes) -> pl.DataFrame:
    return pl.read_ipc(BytesIO(data))


def rows(
    connection: Connection, query: str, parameters: Mapping[str, object] | Sequence[object]
) -> list[Any]:
    """All rows of a short query, as tuples."""
    with driver(connection).cursor(binary=True) as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()


def array(column: pl.Series) -> str:
    """A column of ids, dates or numbers as PostgreSQL's text of an array."""
    return "{" + ",".join(column.cast(pl.String).fill_null("NULL")) + "}"


def execute(connection: Connection, statement: str, parameters: Mapping[str, object]) -> int:
    """Run a statement; returns the rows it touched."""
    with driver(connection).cursor() as cursor:
        return cursor.execute(statement.encode(), parameters).rowcount


def execute_many(connection: Connection, statement: str, batch: Iterable[Mapping[str, object]]) -> None:
    with driver(connection).cursor() as cursor:
        cursor.executemany(statement.encode(), list(batch))
