"""Pages of a table by declaration: together they are the whole list, once and in order."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, create_engine, insert, select

from turnup.runtime.rows import Condition, Listing, Order, Rows, Wanted

metadata = MetaData()
thing = Table(
    "thing",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("colour", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("note", Text),
)
THINGS = Listing(
    {"id": thing.c.id, "colour": thing.c.colour, "size": thing.c.size, "note": thing.c.note},
    identity="id",
    sortable=["colour", "size"],
)
COLOURS = ["blue", "green", "red"]


@pytest.fixture(scope="module")
def connection(module_database_url: str) -> Iterator[Connection]:
    engine = create_engine(module_database_url)
    with engine.connect() as made:
        metadata.create_all(made)
        yield made
        made.rollback()
    engine.dispose()


@pytest.fixture
def full(connection: Connection) -> list[dict[str, Any]]:
    connection.execute(thing.delete())
    rows = [
        {"id": n, "colour": COLOURS[n * 7 % 3], "size": n * n % 5, "note": None if n % 2 else "x"}
        for n in range(23)
    ]
    connection.execute(insert(thing), rows)
    return rows


def read(connection: Connection, wanted: Wanted) -> Rows[int]:
    return THINGS.rows(connection, select(thing), wanted, lambda rows: [row.id for row in rows])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_pages_are_the_list_cut(connection: Connection, data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(st.tuples(st.sampled_from(COLOURS), st.integers(-3, 3)), max_size=12), label="rows"
    )
    names = data.draw(st.permutations(["colour", "size", "id"]).map(lambda all_: all_[:2]), label="order")
    order = tuple(Order(name, data.draw(st.booleans(), label=name)) for name in names)
    limit = data.draw(st.integers(1, 5), label="limit")
    connection.execute(thing.delete())
    documents = [{"id": n, "colour": colour, "size": size} for n, (colour, size) in enumerate(rows)]
    if documents:
        connection.execute(insert(thing), documents)
    expected = list(documents)
    for each in reversed(order):
        expected.sort(key=lambda row, name=each.name: row[name], reverse=each.descending)
    found: list[int] = []
    wanted = Wanted(order=order, limit=limit, counted=True)
    while page := read(connection, wanted):
        assert page.total == len(rows)
        if not page.items:
            break
        found += [view for _, view in page.items]
        wanted = replace(wanted, after=page.items[-1][0])
    assert found == [row["id"] for row in expected]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition("colour", "eq", ("red", "blue")), lambda row: row["colour"] in ("red", "blue")),
        (Condition("colour", "ne", ("red", "blue")), lambda row: row["colour"] == "green"),
        (Condition("note", "ne", ("x",)), lambda row: row["note"] != "x"),
        (Condition("size", "gte", (3,)), lambda row: row["size"] >= 3),
        (Condition("size", "lt", (1, 3)), lambda row: row["size"] < 3),
    ],
)
def test_conditions(
    connection: Connection, full: list[dict[str, Any]], condition: Condition, holds: Any
) -> None:
    found = read(connection, Wanted(conditions=(condition,), counted=True))
    expected = [row["id"] for row in full if holds(row)]
    assert ([view for _, view in found.items], found.total) == (expected, len(expected))


def test_what_was_not_declared_is_a_mistake_of_the_programme(connection: Connection) -> None:
    with pytest.raises(ValueError, match="note cannot be sorted by"):
        read(connection, Wanted(order=(Order("note"),)))
    with pytest.raises(ValueError, match="no such column: weight"):
        Listing({"id": thing.c.id}, identity="id", sortable=["weight"])
