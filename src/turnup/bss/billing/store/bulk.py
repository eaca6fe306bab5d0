"""Frames in and out of PostgreSQL by COPY, on the transaction's own connection."""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import polars as pl
import psycopg
from sqlalchemy import Connection as Connection  # use cases know the type, never SQLAlchemy


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
    """The rows of a query, its columns in the schema's order. Booleans must come as text."""
    buffer = BytesIO()
    statement = f"COPY ({query}) TO STDOUT (FORMAT csv)".encode()
    with driver(connection).cursor() as cursor, cursor.copy(statement, parameters) as copy:
        for chunk in copy:
            buffer.write(chunk)
    if not buffer.tell():
        return pl.DataFrame(schema=schema)
    buffer.seek(0)
    return pl.read_csv(buffer, has_header=False, schema=schema)


def append_frame(connection: Connection, table: str, frame: pl.DataFrame) -> None:
    """Insert a frame whose columns are named as the table's. One statement, so triggers see it whole."""
    if frame.is_empty():
        return
    columns = ", ".join(f'"{name}"' for name in frame.columns)
    buffer = BytesIO()
    frame.write_csv(buffer, include_header=False)
    statement = f"COPY billing.{table} ({columns}) FROM STDIN (FORMAT csv)".encode()
    with driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(buffer.getvalue())


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
    with driver(connection).cursor() as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()


def execute(connection: Connection, statement: str, parameters: Mapping[str, object]) -> int:
    """Run a statement; returns the rows it touched."""
    with driver(connection).cursor() as cursor:
        return cursor.execute(statement.encode(), parameters).rowcount


def execute_many(connection: Connection, statement: str, batch: Iterable[Mapping[str, object]]) -> None:
    with driver(connection).cursor() as cursor:
        cursor.executemany(statement.encode(), list(batch))
