"""Rules of connectors: documents, rows, names, schedules. Counts add up for any file."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnup.contracts.mediation import FileCounts, RemoteFile
from turnup.integration.mediation.model import Connector, Mode, Outcome, RawRow, Ready, RowState, Schedule
from turnup.integration.mediation.rules import documents, names, rows, writing
from turnup.kernel.errors import InvalidInput

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILWy1tSTcFH0A2m2vV8sC0uBv2m5z6hXj6vH8uQ3C8kE"
DOCUMENT = {
    "name": "kunden",
    "kind": "customers",
    "mode": "live",
    "sftp": {"host": "files.example", "host_key": KEY, "username": "turnup"},
    "folder": "/in/",
    "pattern": "*.csv",
    "schedule": {"every_seconds": 300},
    "columns": [{"to": "external_id", "from": "id"}, {"to": "name", "from": "name"}],
}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def connector(**more: object) -> Connector:
    return documents.connector({**DOCUMENT, **more}, 1)


def test_a_document_becomes_a_connector_with_its_defaults() -> None:
    made = connector()
    assert (made.folder, made.port, made.ready, made.ack) == ("/in", 22, Ready(), None)
    assert (made.mode, made.key, made.key_within, made.schedule.every_s) == (
        Mode.LIVE, ("external_id",), "connector", 300,
    )  # fmt: skip


WRONG = [
    ({"name": "Kunden"}, "name"),
    ({"name": "quarantine"}, "name"),
    ({"kind": "phones"}, "kind"),
    ({"mode": "test"}, "mode"),
    ({"direction": "out"}, "direction"),
    ({"colour": 1}, "colour"),
    ({"sftp": {"host": "x", "username": "y", "host_key": "off"}}, "sftp.host_key"),
    ({"sftp": {"host": "x", "username": "y"}}, "sftp.host_key"),
    ({"sftp": {"host": "x", "username": "y", "host_key": KEY, "password": "no"}}, "sftp.password"),
    ({"folder": "/in/../etc"}, "folder"),
    ({"done": "../x"}, "done"),
    ({"done": "."}, "done"),
    ({"folder": "/in", "failed": "/in/"}, "failed"),
    ({"folder": "/in", "ack": "/in"}, "ack"),  # acknowledgements would come in, and be acknowledged
    ({"pattern": "a/*.csv"}, "pattern"),
    ({"sftp": {"host": "x y", "username": "y", "host_key": KEY}}, "sftp.host"),
    ({"ready": {"by": "marker", "suffix": "/../x"}}, "ready.suffix"),
    ({"schedule": {}}, "schedule"),
    ({"schedule": {"daily_at": "25:00"}}, "schedule.daily_at"),
    ({"schedule": {"daily_at": "02:00", "time_zone": "Mars"}}, "schedule.time_zone"),
    ({"ready": {"by": "luck"}}, "ready.by"),
    ({"format": {"delimiter": ";;"}}, "format.delimiter"),
    ({"format": {"encoding": "utf-9"}}, "format.encoding"),
    ({"format": {"date": "today"}}, "format.date"),
    ({"columns": []}, "columns"),
    ({"columns": [{"to": "external_id", "from": "id"}]}, "columns"),
    ({"columns": [*DOCUMENT["columns"], {"to": "colour", "from": "x"}]}, "columns[2].to"),
    ({"columns": [*DOCUMENT["columns"], {"to": "name", "from": "x"}]}, "columns"),
    ({"columns": [*DOCUMENT["columns"], {"to": "city", "from": "x", "constant": "y"}]}, "columns[2]"),
    ({"columns": [*DOCUMENT["columns"], {"to": "city", "from": "x", "apply": ["eval"]}]}, "columns[2].apply"),
    ({"columns": [*DOCUMENT["columns"], {"to": "city", "from": "x", "type": "code"}]}, "columns[2].type"),
    ({"key": ["city"]}, "key"),
    ({"kind": "payments", "file_name": "same.csv", "columns": [{"to": "a", "from": "amount"}]}, "file_name"),
    (
        {"kind": "payments", "file_name": "../{number}", "columns": [{"to": "a", "from": "amount"}]},
        "file_name",
    ),
    (
        {"kind": "payments", "file_name": "{number:999999999}", "columns": [{"to": "a", "from": "amount"}]},
        "file_name",
    ),
    (
        {"kind": "payments", "file_name": "{number.real}{x}", "columns": [{"to": "a", "from": "amount"}]},
        "file_name",
    ),
]


@pytest.mark.parametrize(("more", "field"), WRONG, ids=[f"{n}-{field}" for n, (_, field) in enumerate(WRONG)])
def test_a_wrong_document_is_refused_by_its_field(more: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        connector(**more)
    assert raised.value.field == field
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("column", "given", "expected"),
    [
        ({"type": "decimal"}, "1.234,50", "1234.50"),
        ({"type": "decimal"}, "-5", "-5"),
        ({"type": "decimal"}, "12 345 678,9", "12345678.9"),
        ({"type": "date"}, "31.01.2027", "2027-01-31"),
        ({"type": "integer"}, "007", "7"),
        ({"type": "boolean"}, "Yes", "true"),
        ({"type": "country"}, "de", "DE"),
        ({"type": "phone"}, "004930123456", "+4930123456"),
        ({"apply": ["upper"]}, " x ", "X"),
        ({"apply": ["digits"]}, "KD-00 17", "0017"),
        ({"apply": ["collapse"]}, "a \t  b", "a b"),
        ({"values": {"P": "individual"}}, "P", "individual"),
        ({"default": "Berlin"}, "  ", "Berlin"),
    ],
)
def test_transformations(column: dict[str, object], given: str, expected: str) -> None:
    made = connector(
        columns=[*DOCUMENT["columns"], {"to": "city", "from": "x", **column}],
        format={"decimal": ",", "date": "%d.%m.%Y"},
    )
    record = rows.record_of(RawRow(2, {"id": "1", "name": "J", "x": given}), made)
    assert record.values["city"] == expected


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("decimal", "1,2,3"),
        ("decimal", "1,23.5"),
        ("decimal", "１２"),
        ("decimal", "x"),
        ("date", "2027-13-01"),
        ("integer", "1.5"),
        ("boolean", "maybe"),
    ],
)
def test_a_bad_value_names_its_column(kind: str, bad: str) -> None:
    made = connector(columns=[*DOCUMENT["columns"], {"to": "city", "from": "x", "type": kind}])
    with pytest.raises(InvalidInput) as raised:
        rows.record_of(RawRow(2, {"id": "1", "name": "J", "x": bad}), made)
    assert raised.value.field == "x"


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(deadline=None)
@given(st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=20), st.sampled_from(",;\t|"), st.booleans())
def test_every_row_of_any_file_is_counted_once(data: list[list[str]], delimiter: str, trailer: bool) -> None:
    form = {"delimiter": delimiter, **({"trailer": "T"} if trailer else {})}
    made = connector(format=form)
    solid = [line for line in data if any(cell.strip() for cell in line)]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "name"], *data, *([["T", str(len(solid))]] if trailer else [])])
    found = rows.read_rows(out.getvalue().encode(), made.columns, made.format)
    assert len(found) == len(solid)
    states = dict.fromkeys(RowState, 0)
    seen: dict[str, str] = {}
    for row in found:
        try:
            record = rows.record_of(row, made)
        except InvalidInput as error:
            assert error.field and error.remedy
            states[RowState.QUARANTINED] += 1
            continue
        same = seen.get(record.key) == record.digest
        seen[record.key] = record.digest
        states[RowState.UNCHANGED if same else RowState.APPLIED] += 1
    counts = FileCounts.of(len(found), states)
    assert counts.add_up
    assert counts.quarantined == sum(
        len(line) != 2 or not line[0].strip() or not line[1].strip() for line in solid
    )


@settings(deadline=None)
@given(st.lists(st.tuples(CELL, st.decimals("-9999", "9999", places=2)), max_size=10))
def test_no_cell_of_text_begins_like_a_formula_and_the_trailer_adds_up(
    data: list[tuple[str, Decimal]],
) -> None:
    columns = [{"to": "who", "from": "customer"}, {"to": "amount", "from": "amount"}]
    made = connector(kind="payments", file_name="f-{number}.csv", columns=columns)
    records = [{"customer": text, "amount": str(amount)} for text, amount in data]
    content, total = writing.outgoing(made, 7, records, NOON)
    assert (content, total) == writing.outgoing(made, 7, records, NOON)
    lines = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert [lines[0][0], lines[-1][0], lines[-1][1]] == ["H", "T", str(len(data))]
    assert Decimal(lines[-1][2]) == Decimal(total) == sum((amount for _, amount in data), Decimal(0))
    for line, (text, amount) in zip(lines[2:-1], data, strict=True):
        assert not line[0].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert line[0].removeprefix("'") == text.removeprefix("'") and Decimal(line[1]) == amount


def test_an_acknowledgement_shows_what_was_rejected_and_runs_nothing() -> None:
    bad = (
        RawRow(3, {"id": "-1", "name": "@x"}),
        Outcome(state=RowState.QUARANTINED, reason="=no", field="name"),
    )
    counts = FileCounts.of(2, {RowState.APPLIED: 1, RowState.QUARANTINED: 1})
    lines = writing.acknowledgement(connector(), "a.csv", "ff", counts, [bad], None).decode().splitlines()
    assert lines == [
        "H,a.csv,ff,taken,",
        "row,key,result,field,reason,remedy,id,name",
        "3,,quarantined,name,'=no,,'-1,'@x",
        "T,2,1,0,1,0",
    ]


@settings(deadline=None)
@given(st.text(max_size=12))
def test_a_safe_name_stays_in_its_folder(name: str) -> None:
    if names.is_safe_name(name):
        assert (
            "/" not in name and "\\" not in name and name not in ("", ".", "..") and name.isprintable()
        ) or (not any(ord(each) < 32 for each in name))
        assert not name.startswith(".")


def test_a_file_is_complete_when_it_stood_still() -> None:
    file = RemoteFile("a.csv", 10, 100)
    stable, since = Ready(seconds=60), NOON - timedelta(seconds=60)
    assert names.is_complete(file, {"a.csv"}, {"a.csv": (10, 100, since)}, stable, NOON)
    for seen in ({}, {"a.csv": (9, 100, since)}, {"a.csv": (10, 99, since)}, {"a.csv": (10, 100, NOON)}):
        assert not names.is_complete(file, {"a.csv"}, seen, stable, NOON)
    marker = Ready(by="marker")
    assert names.is_complete(file, {"a.csv", "a.csv.done"}, {}, marker, NOON)
    assert not names.is_complete(file, {"a.csv"}, {}, marker, NOON)


@settings(deadline=None)
@given(st.timedeltas(timedelta(), timedelta(days=366)).map(lambda later: NOON + later))
def test_the_next_run_lies_ahead_and_daily_is_at_its_hour(now: datetime) -> None:
    assert names.next_run(Schedule(every_s=300), now) == now + timedelta(seconds=300)
    from datetime import time
    from zoneinfo import ZoneInfo

    daily = Schedule(daily_at=time(2, 30), time_zone="Europe/Berlin")
    at = names.next_run(daily, now)
    assert now < at <= now + timedelta(hours=26)
    local = at.astimezone(ZoneInfo("Europe/Berlin"))
    assert (local.hour, local.minute) in ((2, 30), (3, 30))  # the hour that spring leaves out
