"""Files that go out: numbered without gaps, every record in one file once, the same bytes when sent again."""

import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from mediation.connector_house import Bench, sha256
from turnup.contracts.provisioning import ServiceConfigured, ServiceSuspended
from turnup.contracts.unit import Event
from turnup.kernel.errors import NotFound, Unavailable
from turnup.kernel.ids import AccountId, ProductId, ServiceId

PAYMENTS = [
    {"to": "=Zahlung", "from": "payment"},
    {"to": "Kunde", "from": "customer"},
    {"to": "Konto", "from": "account"},
    {"to": "Betrag", "from": "amount"},
    {"to": "Art", "constant": "+P"},
]
GERMAN = {"delimiter": ";", "decimal": ",", "date": "%d.%m.%Y"}


@pytest.fixture
def isp(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench.take_over(tmp_path_factory.mktemp("isp"), 3)
    bench.deliver()
    return bench


def accounts(bench: Bench) -> list[Any]:
    return list(bench.house.crm.all_accounts())


def pay(bench: Bench, n: int, amount: int) -> None:
    with bench.house.runtime.unit("billing", "cli:test") as unit:
        bench.house.billing.pay(unit, accounts(bench)[n % 3].id, amount, "EUR", f"bank {n}", date(2026, 3, 2))
    bench.deliver()


def emit(bench: Bench, *events: Event) -> None:
    with bench.house.runtime.unit("provisioning", "test") as unit:
        for event in events:
            unit.emit(event)
    bench.deliver()


def test_payments_go_out_once_in_numbered_files(isp: Bench) -> None:
    isp.publish("zahlungen", "payments", PAYMENTS, format=GERMAN)
    assert isp.run("zahlungen").made == ()
    pay(isp, 1, 1250)
    pay(isp, 2, 100)
    (first,) = isp.run("zahlungen").made
    assert (first.number, first.name, first.rows, first.control_sum) == (1, "f-0001.csv", 2, "13.50")
    pay(isp, 3, 7)
    assert isp.run("zahlungen").made[0].number == 2
    assert isp.run("zahlungen").made == ()
    lines = isp.peer.read("zahlungen/f-0001.csv").splitlines()
    assert lines[0].startswith("H;zahlungen;1;") and lines[-1] == "T;2;13,50"
    assert lines[1] == "'=Zahlung;Kunde;Konto;Betrag;Art"  # nothing that a spreadsheet would run
    cells = lines[2].split(";")
    assert cells[2:] == [accounts(isp)[1].number, "12,50", "'+P"] and cells[1]
    names = isp.house.mediation.external_ids("customer", accounts(isp)[1].customer_id)
    assert ("legacy", cells[1]) in names
    assert all(old.endswith(".part") and not new.endswith(".part") for old, new in isp.peer.log)
    assert isp.peer.listing("zahlungen") == ["f-0001.csv", "f-0002.csv"]


def test_a_file_sent_again_is_the_same_byte_for_byte(isp: Bench) -> None:
    isp.publish("zahlungen", "payments", PAYMENTS, format=GERMAN)
    pay(isp, 1, 1250)
    (made,) = isp.run("zahlungen").made
    before = (isp.peer.root / "zahlungen" / "f-0001.csv").read_bytes()
    (isp.peer.root / "zahlungen" / "f-0001.csv").unlink()
    isp.publish("zahlungen", "payments", PAYMENTS[:2])  # another document by now: no matter
    again = isp.house.exchange.send_again("zahlungen", 1, "cli:anna")
    assert (isp.peer.root / "zahlungen" / "f-0001.csv").read_bytes() == before
    assert again.sha256 == made.sha256 == sha256(before)
    with pytest.raises(NotFound):
        isp.house.exchange.send_again("zahlungen", 2, "cli:anna")
    assert (
        isp.scalar("SELECT actor FROM runtime.audit WHERE action = 'mediation.file_sent_again'") == "cli:anna"
    )


def test_what_could_not_be_sent_keeps_its_number_and_goes_later(isp: Bench) -> None:
    isp.publish("zahlungen", "payments", PAYMENTS)
    right, isp.peer.port = isp.peer.port, 1
    isp.publish("zahlungen", "payments", PAYMENTS)
    pay(isp, 1, 1250)
    with pytest.raises(Unavailable):
        isp.run("zahlungen")
    assert isp.house.files.made("zahlungen")[0].sent_at is None
    isp.peer.port = right
    isp.publish("zahlungen", "payments", PAYMENTS)
    pay(isp, 2, 100)
    report = isp.run("zahlungen")
    assert [(made.number, made.rows) for made in report.made] == [(1, 1), (2, 1)]
    assert isp.peer.listing("zahlungen") == ["f-0001.csv", "f-0002.csv"]


def test_states_of_services_as_they_happened(isp: Bench) -> None:
    columns = [{"to": name, "from": name} for name in ("service", "customer", "state", "at")]
    isp.publish("zustand", "service-states", columns)
    service = isp.house.provisioning.services()[0]
    common: dict[str, Any] = {
        "service_id": ServiceId(service.id),
        "product_id": ProductId(service.product_id),
        "account_id": AccountId(service.account_id),
        "at": datetime(2026, 3, 2, 12, tzinfo=UTC),
    }
    suspended = ServiceSuspended(**common, reason="dunning")
    again = ServiceConfigured(**common, generation=2, first=False, awaiting_equipment=False)
    emit(isp, suspended, again, suspended)
    (made,) = isp.run("zustand").made
    assert (made.rows, made.control_sum) == (1, "0")
    row = isp.peer.read("zustand/f-0001.csv").splitlines()[2].split(",")
    assert (row[0], row[2:]) == (service.number, ["suspended", "2026-03-02T12:00:00.000Z"])


def test_posted_invoices_go_out_by_run(isp: Bench) -> None:
    from turnup.contracts.billing import InvoicesPosted
    from turnup.kernel.ids import RunId, new_id

    columns = [{"to": name, "from": name} for name in ("number", "account", "invoice_date", "net", "total")]
    isp.publish("rechnungen", "invoices", columns)
    run, account = RunId(new_id()), accounts(isp)[0]
    insert = """
        INSERT INTO billing.invoice (id, number, account_id, kind, revision, legal_entity_id, brand_id,
            run_id, shard, period_from, period_to, invoice_date, due_date, currency, tax_class, net_minor,
            tax_minor, total_minor, open_minor, posted_month)
        VALUES (:id, :number, :account, 'bill', 1, :entity, :entity, :run, :shard, '2026-02-01', '2026-03-01',
            '2026-03-01', '2026-03-15', 'EUR', 'standard', :net, 0, :net, :net, '2026-03-01')"""
    shard = """INSERT INTO billing.bill_run_shard (run_id, n, first_account, last_account, state, accounts)
               VALUES (:run, :n, :account, :account, 'posted', 1)"""
    with isp.house.database.engine.begin() as connection:
        for n in range(2):
            connection.execute(text(shard), {"run": run, "n": n, "account": account.id})
        for n in range(3):
            values = {
                "id": new_id(),
                "number": f"INV-{n}",
                "account": account.id,
                "entity": account.legal_entity_id,
            }
            connection.execute(text(insert), {**values, "run": run, "shard": n // 2, "net": 1000 * n - 500})
    emit_billing = InvoicesPosted(run_id=run, shard=0, invoices=2)
    with isp.house.runtime.unit("billing", "test") as unit:
        unit.emit(emit_billing)
    isp.deliver()
    (made,) = isp.run("rechnungen").made
    assert (made.rows, made.control_sum) == (2, "0.00")
    rows = list(csv.reader(isp.peer.read("rechnungen/f-0001.csv").splitlines()))[2:-1]
    # a negative amount is a number, not a formula
    assert [row[3] for row in rows] == ["-5.00", "5.00"] and sum(Decimal(row[4]) for row in rows) == 0


def test_shadow_makes_no_file_and_compares_with_the_former_systems(isp: Bench) -> None:
    isp.publish("zahlungen", "payments", PAYMENTS[1:4], mode="shadow")
    pay(isp, 1, 1250)
    (would,) = isp.run("zahlungen").made
    assert (would.number, would.rows, would.mode) == (1, 1, "shadow")
    assert isp.peer.listing("zahlungen") == [] and isp.house.files.made("zahlungen") == []
    names = isp.house.mediation.external_ids("customer", accounts(isp)[1].customer_id)
    line = f"{names[0][1]},{accounts(isp)[1].number},12.50"
    same = f"H\nKunde,Konto,Betrag\n{line}\nT\n".encode()
    report = isp.house.exchange.test("zahlungen", "theirs.csv", same)
    assert (report.read, report.unchanged, report.differences) == (1, 1, ())
    other = isp.house.exchange.test("zahlungen", "theirs.csv", same.replace(b"12.50", b"12.51"))
    assert [what for _, what in other.differences] == ["only ours", "only theirs"]
    isp.publish("zahlungen", "payments", PAYMENTS[1:4], mode="live")
    assert isp.run("zahlungen").made[0].number == 1  # the first number they ever see


def test_a_new_connector_may_begin_now(isp: Bench) -> None:
    pay(isp, 1, 1250)
    isp.publish("alles", "payments", PAYMENTS)
    isp.publish("neu", "payments", PAYMENTS, since="now")
    pay(isp, 2, 100)
    assert (isp.run("alles").made[0].rows, isp.run("neu").made[0].rows) == (2, 1)
