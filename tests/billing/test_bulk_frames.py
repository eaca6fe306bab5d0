"""Frames out of the database and back: every type, nulls, no rows, and a text that would shift columns."""

from datetime import date

import polars as pl
import pytest
from billing_house import House

from turnup.bss.billing.store.bulk import append_frame, array, read_frame, rows

SCHEMA: dict[str, type[pl.DataType]] = {
    "name": pl.String,
    "day": pl.Date,
    "amount": pl.Int64,
    "good": pl.Boolean,
}
ROWS = [
    ('a "b", {c}\\\n', date(2026, 2, 28), -(2**63), True),
    (None, None, None, None),
    ("ü", date(1970, 1, 1), 2**63 - 1, False),
]
_DAY = date(2026, 7, 1)


def _id(n: int) -> str:
    return f"01920000-0000-7000-8000-{n:012d}"


def _values(count: int) -> str:
    values = (
        "(0, E'a \"b\", {c}\\\\\\n', date '2026-02-28', -9223372036854775808, true)",
        "(1, NULL, NULL, NULL, NULL)",
        "(2, 'ü', '1970-01-01', 9223372036854775807, false)",
    )
    columns = "name, day, amount, good"
    return f"SELECT {columns} FROM (VALUES {', '.join(values)}) AS v (n, {columns}) WHERE n < {count}"


def test_a_frame_holds_the_rows_of_the_query(house: House) -> None:
    with house.unit() as unit:
        frame = read_frame(unit.connection, _values(3), {}, SCHEMA)
    assert dict(frame.schema) == SCHEMA
    assert frame.rows() == ROWS


def test_no_rows_are_a_frame_of_the_schema(house: House) -> None:
    with house.unit() as unit:
        frame = read_frame(unit.connection, _values(0), {}, SCHEMA)
    assert frame.is_empty()
    assert dict(frame.schema) == SCHEMA


def test_a_text_with_the_separator_is_refused(house: House) -> None:
    with house.unit() as unit, pytest.raises(ValueError, match="unit separator"):
        read_frame(unit.connection, "SELECT E'a\\x1fb', 1", {}, {"name": pl.String, "n": pl.Int64})


def test_columns_go_in_as_arrays_and_as_copied_rows(house: House) -> None:
    day = pl.Series([date(2026, 2, 28), None])
    with house.unit() as unit:
        found = rows(unit.connection, "SELECT unnest(%(days)s::date[])", {"days": array(day)})
        assert found == [(date(2026, 2, 28),), (None,)]
        assert rows(unit.connection, "SELECT unnest(%(none)s::int[])", {"none": array(pl.Series([]))}) == []
        run, account = "01920000-0000-7000-8000-000000000001", "01920000-0000-7000-8000-000000000002"
        reasons = pl.DataFrame({"run_id": [run], "account_id": [account], "reason": ['odd, "quoted"\n']})
        append_frame(unit.connection, "parked_account", reasons)
        assert rows(unit.connection, "SELECT reason FROM billing.parked_account", {}) == [
            ('odd, "quoted"\n',)
        ]


def _number(**other: object) -> pl.DataFrame:
    row = {"legal_entity_id": _id(1), "series": "INV", "number": 7, "invoice_id": _id(2), "issued_on": _DAY}
    return pl.DataFrame([row | other])


def test_every_type_goes_in_as_it_is(house: House) -> None:
    odd = _number(series='ü "a", \\N\n', number=-(2**63), issued_on=date(1600, 2, 29))
    fact = {"run_id": _id(3), "shard": 2**31 - 1, "key": -(2**31), "cycle_day": 2**15 - 1, "zone": ""}
    rest = {"months": -(2**15), "in_advance": True, "period_from": _DAY, "period_to": date(9999, 12, 31)}
    names = {"granularity": "day", "rounding": "up", "tax_point": "bill"}
    with house.unit() as unit:
        append_frame(unit.connection, "invoice_number", odd)
        append_frame(unit.connection, "run_fact", pl.DataFrame([fact | rest | names]))
        (number,) = rows(unit.connection, f"SELECT {', '.join(odd.columns)} FROM billing.invoice_number", {})
        assert [str(v) for v in number] == [str(v) for v in odd.rows()[0]]
        columns = ", ".join(fact | rest | names)
        (stored,) = rows(unit.connection, f"SELECT {columns} FROM billing.run_fact", {})
        assert [str(v) for v in stored] == [str(v) for v in (fact | rest | names).values()]


def test_nulls_go_in_as_nulls(house: House) -> None:
    block = {"run_id": _id(1), "legal_entity_id": _id(2), "invoices": 1}
    blocks = pl.DataFrame(
        [block | {"shard": 1, "first_number": None}, block | {"shard": 2, "first_number": 5}]
    )
    with house.unit() as unit:
        append_frame(unit.connection, "number_block", blocks)
        found = rows(unit.connection, "SELECT first_number FROM billing.number_block ORDER BY shard", {})
    assert found == [(None,), (5,)]


@pytest.mark.parametrize(
    ("table", "frame"),
    [
        ("invoice_number", _number(invoice_id="no id")),
        ("invoice_number", _number(number=2**63)),
        ("number_block", pl.DataFrame({"run_id": [_id(1)], "invoices": [2**31]})),
        ("run_fact", pl.DataFrame({"run_id": [_id(1)], "months": [2**15]})),
    ],
)
def test_what_does_not_fit_its_column_is_refused(house: House, table: str, frame: pl.DataFrame) -> None:
    with house.unit() as unit, pytest.raises(pl.exceptions.PolarsError):
        append_frame(unit.connection, table, frame)


@pytest.mark.parametrize(
    ("query", "kind"),
    [("SELECT 1.5", pl.Int64), ("SELECT 'yes'", pl.Boolean), ("SELECT '1 June'", pl.Date)],
)
def test_a_value_that_is_none_of_its_kind_is_refused(
    house: House, query: str, kind: type[pl.DataType]
) -> None:
    """Money that does not fit must never come as nothing."""
    with house.unit() as unit, pytest.raises(pl.exceptions.PolarsError):
        read_frame(unit.connection, query, {}, {"x": kind})
