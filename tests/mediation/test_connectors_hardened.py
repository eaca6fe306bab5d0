"""What reviewers found in connectors: order after a replaced file, stale markers, memory, secrets, races."""

import threading
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from mediation.connector_house import CUSTOMER_COLUMNS, Bench
from mediation.test_connectors_in import CSV, SEMICOLON, customers
from turnup.contracts.billing import InvoiceHead
from turnup.gateways.sftp import files as sftp
from turnup.integration.mediation.component import SCHEMA
from turnup.integration.mediation.model import Fact, RecordKind, RowState
from turnup.integration.mediation.rules import rows
from turnup.integration.mediation.store import incoming
from turnup.integration.mediation.workflows import records
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import AccountId, InvoiceId, RunId, new_id
from turnup.runtime.personal import due, expire


def captured(bench: Bench, name: str, content: str) -> None:
    """As a run leaves it that died right after it had kept the rows."""
    connector = bench.house.connectors.connector("kunden")
    with bench.house.runtime.unit("mediation", "test") as unit:
        bench.house.files.capture(unit, connector, name, content.encode())


def test_a_file_that_was_replaced_after_we_died_is_applied_before_the_new_one(bench: Bench) -> None:
    customers(bench)
    captured(bench, "a.csv", CSV)
    bench.wait(seconds=5)
    bench.peer.write("kunden/a.csv", CSV.replace("Berlin", "Bremen"))
    report = bench.run("kunden")
    assert [bench.counts(file) for file in report.files] == [(2, 2, 0, 0), (2, 1, 1, 0)]
    jane = bench.house.crm.customer(bench.house.mediation.internal_id("legacy", "customer", "1"))
    assert bench.house.crm.address(jane.address_id).city == "Bremen"
    bench.run("kunden")  # and what was done stays done
    assert bench.house.files.unfinished("kunden") == []


def test_shadow_leaves_alone_what_was_taken_live(bench: Bench) -> None:
    customers(bench)
    captured(bench, "a.csv", CSV)
    customers(bench, mode="shadow")
    assert bench.run("kunden").files == ()
    assert bench.scalar("SELECT count(*) FROM crm.customer") == 0
    customers(bench)
    assert bench.counts(bench.one("kunden")) == (2, 2, 0, 0)


def test_a_marker_left_behind_calls_no_later_upload_complete(bench: Bench) -> None:
    customers(bench, ready={"by": "marker", "suffix": ".done"})
    captured(bench, "a.csv", CSV)  # and moved, then we died
    bench.peer.write("kunden/a.csv.done", "")
    bench.run("kunden")
    assert bench.peer.listing("kunden") == ["ack", "done"]
    bench.peer.write("kunden/a.csv", CSV[:40])  # the next one, still on its way
    assert bench.run("kunden").waiting == ("a.csv",)


def test_a_failure_that_nobody_foresaw_is_shown_with_the_connector(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers(bench)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("Jane Roe")

    monkeypatch.setattr(bench.house.exchange, "_take", broken)
    with pytest.raises(ZeroDivisionError):
        bench.run("kunden")
    said = bench.house.connectors.view("kunden").last_error or ""
    assert "ZeroDivisionError" in said and "Jane" not in said


def test_who_may_write_documents_gets_no_password_sent_to_a_server_of_theirs(bench: Bench) -> None:
    customers(bench)
    document = dict(bench.house.connectors.view("kunden").document)
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILWy1tSTcFH0A2m2vV8sC0uBv2m5z6hXj6vH8uQ3C8kE"
    moved = {**document, "sftp": {**document["sftp"], "host": "localhost"}}
    with bench.house.runtime.unit("mediation", "cli:eve") as unit:
        bench.house.connectors.publish(unit, moved)  # the same key: the same server
    assert bench.house.connectors.view("kunden").credentials_set
    with bench.house.runtime.unit("mediation", "cli:eve") as unit:
        bench.house.connectors.publish(
            unit, {**document, "sftp": {**document["sftp"], "host": "evil.example", "host_key": other}}
        )
    assert not bench.house.connectors.view("kunden").credentials_set
    with pytest.raises(InvalidInput, match="no credentials"):
        bench.run("kunden")
    dropped = "SELECT actor FROM runtime.audit WHERE action = 'mediation.connector_credentials_dropped'"
    assert bench.scalar(dropped) == "cli:eve"


def test_counts_that_change_while_an_acknowledgement_travels_are_told_next_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers(bench)
    bench.peer.write("kunden/a.csv", CSV.replace("ACME;F", "ACME;X"))
    put = sftp.SftpFiles.put

    def slowly(self: sftp.SftpFiles, *given: Any, **more: Any) -> None:
        put(self, *given, **more)
        waiting = bench.house.files.quarantined("kunden")
        if waiting:
            with bench.house.runtime.unit("mediation", "cli:anna") as unit:
                bench.house.files.discard(unit, waiting[0].id, "a test record")

    monkeypatch.setattr(sftp.SftpFiles, "put", slowly)
    bench.run("kunden")
    assert bench.peer.read("kunden/ack/a.csv.ack.csv").splitlines()[-1] == "T;2;1;0;1;0"
    bench.run("kunden")
    assert bench.peer.read("kunden/ack/a.csv.ack.csv").splitlines()[-1] == "T;2;1;0;0;1"
    assert bench.house.files.unfinished("kunden") == []


def test_a_replay_and_the_news_of_it_are_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    customers(bench)
    bench.peer.write("kunden/a.csv", CSV.replace("ACME;F", "ACME;X"))
    file = bench.one("kunden")
    (row,) = bench.house.files.quarantined("kunden")

    def dies(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(incoming, "acknowledge_again", dies)
        bench.house.exchange.replay(row.id, "cli:anna", {"TYP": "F"})
    assert [each.id for each in bench.house.files.quarantined("kunden")] == [row.id]
    assert bench.house.exchange.replay(row.id, "cli:anna").state is RowState.APPLIED
    assert bench.house.files.file(file.id).acknowledged_at is None
    assert bench.scalar("SELECT count(*) FROM crm.customer") == 2


@pytest.mark.parametrize("column", ["latitude", "longitude"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "181", "north"])
def test_degrees_that_are_none_wait_in_quarantine(bench: Bench, column: str, value: str) -> None:
    other = {"latitude": "longitude", "longitude": "latitude"}[column]
    columns = [*CUSTOMER_COLUMNS, {"to": column, "from": "WO"}, {"to": other, "constant": "1.5"}]
    bench.publish("kunden", "customers", columns, format=SEMICOLON)
    bench.peer.write("kunden/a.csv", f"KDNR;NAME;WO\r\n1;Jane;{value}\r\n2;Joe;13.4\r\n")
    assert bench.counts(bench.one("kunden")) == (2, 1, 0, 1)
    assert bench.house.files.quarantined("kunden")[0].field == column


def test_a_file_of_endless_rows_or_columns_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "ROWS_MAX", 3)
    customers(bench)
    head = "KDNR;NAME;TYP;MAIL;ORT\r\n"
    bench.peer.write("kunden/a.csv", head + "".join(f"{n};Joe;P;;\r\n" for n in range(6)))
    bench.peer.write("kunden/b.csv", ";".join(f"c{n}" for n in range(200_000)) + "\r\n")
    reasons = {file.name: file.reason or "" for file in bench.run("kunden").files}
    assert "more than 3 rows" in reasons["a.csv"] and "200000 columns" in reasons["b.csv"]


def test_invoices_of_many_shards_go_into_several_files(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shards of three do not fit into a file of five; one shard of more still goes, alone."""
    day, shared = date(2026, 3, 1), {"kind": "bill", "currency": "EUR", "net_minor": 1, "tax_minor": 0}
    days = dict.fromkeys(("invoice_date", "due_date", "period_from", "period_to"), day)

    def posted_in(run: RunId, shard: int) -> list[InvoiceHead]:
        account = AccountId(new_id())
        return [
            InvoiceHead(
                id=InvoiceId(new_id()),
                account_id=account,
                number=f"{shard}-{n}",
                total_minor=1,
                **shared,
                **days,
            )
            for n in range(3)
        ]

    made = records.Records(
        bench.house.mediation,
        customers=SimpleNamespace(account=lambda _: SimpleNamespace(number="A1", customer_id=new_id())),
        bills=SimpleNamespace(posted_in=posted_in),
        services=SimpleNamespace(),
    )
    bench.publish("rechnungen", "invoices", [{"to": "number", "from": "number"}])
    connector, now = bench.house.connectors.connector("rechnungen"), bench.house.runtime.clock.now()
    facts = [
        Fact(position=n, kind=RecordKind.INVOICES, facts={"run": str(new_id()), "shard": str(n)}, at=now)
        for n in range(3)
    ]
    for most, expected in ((5, (1, 3)), (1, (1, 3)), (6, (2, 6)), (100, (3, 9))):
        monkeypatch.setattr(records, "RECORDS_MAX", most)
        used, lines = made.of(connector, facts)
        assert (len(used), len(lines)) == expected


def test_a_parked_event_replayed_beside_the_consumer_is_in_a_file(bench: Bench) -> None:
    """Its fact is written first and commits last: no file may be made past it in between."""
    runtime, written = bench.house.runtime, threading.Event()
    account = str(new_id())

    def note(key: str) -> None:
        with runtime.unit("mediation", "event:mediation") as unit:
            bench.house.files.note_facts(
                unit, RecordKind.PAYMENTS, [(key, {"account_id": account}, unit.now)]
            )
            written.set()

    with runtime.unit("mediation", "cli:anna") as unit:
        bench.house.files.note_facts(
            unit, RecordKind.PAYMENTS, [("parked", {"account_id": account}, unit.now)]
        )
        beside = threading.Thread(target=note, args=("next",))
        beside.start()
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not bench.scalar(waits) and not written.is_set():
            pass
        assert not written.is_set()
    beside.join()
    keys = "SELECT array_agg(key ORDER BY position) FROM mediation.fact"
    assert bench.scalar(keys) == ["parked", "next"]


def test_facts_that_every_file_has_taken_go_by_age(bench: Bench) -> None:
    customers(bench)  # takes files in: it holds up nothing
    bench.publish("zahlungen", "payments", [{"to": "id", "from": "payment"}])
    runtime = bench.house.runtime
    with runtime.unit("mediation", "test") as unit:
        for kind in (RecordKind.PAYMENTS, RecordKind.SERVICE_STATES):
            bench.house.files.note_facts(unit, kind, [("1", {}, unit.now)])
    before = runtime.clock.now() + timedelta(days=1)
    (expiry,) = [each for each in SCHEMA.privacy.expiries if each.table == "fact"]

    def over() -> int:
        with bench.house.database.engine.connect() as connection:
            return due(connection, "mediation", expiry, before, before)

    assert over() == 1  # nobody waits for states of services
    with bench.house.database.engine.begin() as connection:
        connection.execute(
            text("UPDATE mediation.connector_state SET fact_position = 1 WHERE name = 'zahlungen'")
        )
    assert over() == 2


def test_numbers_of_files_that_left_never_come_again_after_a_restore(bench: Bench) -> None:
    """As going_back does it: what the replaced books had given away, then the books of before."""
    bench.publish("zahlungen", "payments", [{"to": "id", "from": "payment"}])
    runtime, files = bench.house.runtime, bench.house.files

    def pays(*keys: str) -> None:
        with runtime.unit("mediation", "test") as unit:
            for key in keys:
                facts = {"payment": key, "account_id": account, "amount": "1.00"}
                files.note_facts(unit, RecordKind.PAYMENTS, [(key, facts, unit.now)])

    customers(bench)
    bench.peer.write("kunden/a.csv", CSV)
    bench.run("kunden")
    account = str(bench.house.crm.all_accounts()[0].id)
    pays("one")
    bench.run("zahlungen")
    pays("two")  # the books of then hold it, and no file yet
    before = files.given_away()
    pays("three")
    bench.run("zahlungen")
    pays("four")
    bench.run("zahlungen")
    former = files.given_away()
    assert (before["zahlungen"][0], former["zahlungen"][0], "kunden" in former) == (1, 3, False)
    with bench.house.database.engine.begin() as connection:  # the restore; sequences stay behind the former's
        connection.execute(text("DELETE FROM mediation.made_file WHERE number > 1"))
        connection.execute(text("DELETE FROM mediation.fact WHERE key IN ('three', 'four')"))
        back = "UPDATE mediation.connector_state SET file_number = 1, fact_position = :p WHERE name = :n"
        connection.execute(text(back), {"p": before["zahlungen"][1], "n": "zahlungen"})
    for _ in range(2):
        with runtime.unit("mediation", "cli:anna") as unit:
            files.skip_given_away(unit, "zahlungen", *former["zahlungen"])
    pays("five")
    (made,) = bench.run("zahlungen").made
    assert (made.number, made.rows) == (4, 1)  # `two` went in the lost file 2, `five` is new
    assert "five" in bench.peer.read("zahlungen/f-0004.csv")
    assert bench.scalar("SELECT count(*) FROM runtime.audit WHERE action LIKE '%numbers_skipped'") == 1


def test_a_stored_document_that_is_refused_today_stops_nobody_else(bench: Bench) -> None:
    customers(bench, schedule={"every_seconds": 300})
    with bench.house.runtime.unit("mediation", "test") as unit:
        unit.connection.execute(
            text("""INSERT INTO mediation.connector (name, version, document, imported_at, imported_by)
                    VALUES ('alt', 1, '{"name": "alt"}', :now, 'test')"""),
            {"now": unit.now},
        )
        unit.connection.execute(
            text("""INSERT INTO mediation.connector_state (name, next_at, fact_position, file_number)
                    VALUES ('alt', :now, 0, 0)"""),
            {"now": unit.now},
        )
    bench.wait(seconds=600)
    with bench.house.runtime.unit("mediation", "clock") as unit:
        assert bench.house.connectors.start_due(unit) == 1
    assert bench.scalar("SELECT last_error FROM mediation.connector_state WHERE name = 'alt'")
    bench.publish("alt", "customers", CUSTOMER_COLUMNS, format=SEMICOLON)  # another document takes its place
    assert bench.house.connectors.connector("alt").version == 2


def test_a_row_that_nobody_mends_is_emptied_by_age_and_its_file_still_adds_up(bench: Bench) -> None:
    customers(bench)
    bench.peer.write("kunden/a.csv", CSV + "3;;P;;\r\n")  # without a name
    file = bench.one("kunden")
    assert bench.counts(file) == (3, 2, 0, 1)
    (expiry,) = [each for each in SCHEMA.privacy.expiries if each.table == "raw_row"]
    now = bench.house.runtime.clock.now()
    tomorrow = now + timedelta(days=1)
    for before, gone in ((now - timedelta(days=1), 0), (tomorrow, 1), (tomorrow, 0)):
        with bench.house.database.engine.begin() as connection:
            assert due(connection, "mediation", expiry, before, now) == gone
            assert expire(connection, "mediation", expiry, before, now) == gone
    empty = "raw IS NULL AND broken IS NULL AND reason IS NULL AND remedy IS NULL AND key IS NULL"
    assert bench.scalar(f"SELECT count(*) FROM mediation.raw_row WHERE state = 'discarded' AND {empty}") == 1
    counts = bench.house.files.file(file.id).counts
    assert counts.quarantined == 0
    assert counts.read == counts.applied + counts.unchanged + counts.discarded == 3
