"""Payments, dunning and the ledger's own guard, against a real database."""

from datetime import date

import psycopg
import pytest
from billing_house import Customer, House, charge
from sqlalchemy.exc import DBAPIError

from turnup.kernel.errors import Conflict, InvalidInput

ADA = Customer("ada")
JULY = date(2026, 7, 1)


@pytest.fixture
def billed(house: House) -> House:
    """Ada owes 35.70 (30.00 and 19 % tax), due on 15 July."""
    house.tell(ADA.opened(date(2026, 6, 1)), ADA.agreed(charge("plan", "30.00")), ADA.accepted("2026-06-01"))
    house.at("2026-07-01T02:00").bill(JULY)
    return house


def pay(house: House, minor: int, reference: str = "bank-1", currency: str = "EUR") -> None:
    with house.unit() as unit:
        house.billing.pay(unit, ADA.account, minor, currency, reference, date(2026, 7, 10))


def test_a_payment_counts_once_and_settles(billed: House) -> None:
    pay(billed, 3570)
    pay(billed, 3570)
    (invoice,) = billed.billing.invoices(ADA.account)
    assert (invoice.open_minor, billed.billing.balance_minor(ADA.account)) == (0, 0)
    assert len(billed.events("PaymentReceived")) == 1
    with pytest.raises(Conflict, match="different payment"):
        pay(billed, 3571)


def test_what_is_left_over_pays_the_next_invoice(billed: House) -> None:
    pay(billed, 5000)
    assert billed.billing.balance_minor(ADA.account) == -1430
    billed.at("2026-08-01T02:00").bill(date(2026, 8, 1))
    first, second = billed.billing.invoices(ADA.account)
    assert (first.open_minor, second.open_minor) == (0, 3570 - 1430)
    assert billed.rows(
        "SELECT ledger_account, sum(amount_minor) FROM billing.ledger_entry GROUP BY 1 ORDER BY 1"
    ) == [
        ("bank", 5000),
        ("receivable", 2 * 3570 - 5000),
        ("revenue", -6000),
        ("tax", -1140),
    ]


@pytest.mark.parametrize(("minor", "currency"), [(0, "EUR"), (-5, "EUR"), (100, "USD")])
def test_impossible_payments_are_refused(billed: House, minor: int, currency: str) -> None:
    with pytest.raises(InvalidInput):
        pay(billed, minor, currency=currency)
    assert billed.rows("SELECT count(*) FROM billing.payment") == [(0,)]


def test_a_payment_file_counts_once_and_keeps_what_nobody_can_place(billed: House) -> None:
    rows = ["date,reference,amount", "2026-07-09,INV-00000001,20.00", "2026-07-09,A-ada,5.70"]
    content = "\n".join([*rows, "2026-07-09,Rüdiger,1.00"]).encode()
    with billed.unit() as unit:
        result = billed.billing.import_payments(unit, "july.csv", content, "EUR")
    assert (result.rows, result.matched, result.unmatched, result.repeated) == (3, 2, 1, 0)
    assert result.reasons == ("row 3: no invoice or account has the number 'Rüdiger'",)
    with billed.unit() as unit:
        again = billed.billing.import_payments(unit, "july (copy).csv", content, "EUR")
    assert (again.matched, again.unmatched, again.repeated) == (0, 0, 3)
    assert billed.billing.balance_minor(ADA.account) == 1000
    ((unmatched,),) = billed.rows("SELECT id FROM billing.payment WHERE state = 'unmatched'")
    with billed.unit() as unit:
        billed.billing.assign_payment(unit, unmatched, ADA.account)
    assert billed.billing.balance_minor(ADA.account) == 900
    with billed.unit() as unit:
        billed.billing.assign_payment(unit, unmatched, ADA.account)  # again: nothing more
    assert billed.billing.balance_minor(ADA.account) == 900
    assert billed.rows("SELECT count(*) FROM billing.payment") == [(3,)]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"date,reference\n", "file"),
        (b"date,reference,amount\n2026-07-09,A-ada,1\n09.07.2026,A-ada,1\n", "row 2.date"),
        (b"date,reference,amount\n2026-07-09,A-ada,1.005\n", "row 1.amount"),
        (b"date,reference,amount\n2026-07-09,A-ada,-1\n", "row 1.amount"),
        (b"date,reference,amount\n2026-07-09,A-ada,\xff\n", "file"),
    ],
)
def test_a_broken_file_names_the_row_and_imports_nothing(billed: House, content: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as caught, billed.unit() as unit:
        billed.billing.import_payments(unit, "bad.csv", content, "EUR")
    assert caught.value.field == field
    assert billed.rows("SELECT count(*) FROM billing.payment") == [(0,)]


def tick(house: House, instant: str) -> int:
    house.at(instant)
    with house.unit() as unit:
        return house.billing.dunning_tick(unit, house.clock.now().date())


def test_dunning_reminds_suspends_and_restores(billed: House) -> None:
    taken = [
        tick(billed, f"2026-{day}T06:00") for day in ("07-15", "07-21", "07-22", "07-22", "08-04", "08-05")
    ]
    assert taken == [0, 0, 1, 0, 0, 1]
    assert tick(billed, "2026-08-30T06:00") == 0
    pay(billed, 3000)
    steps = billed.events("DunningStepReached")
    assert [step["action"] for step in steps] == ["remind", "suspend"]
    pay(billed, 500, "bank-2")
    pay(billed, 500, "bank-2")
    steps = billed.events("DunningStepReached")
    assert [step["action"] for step in steps] == ["remind", "suspend", "restore"]
    assert len({step["case"] for step in steps}) == 3
    assert steps[1]["overdue_minor"] == 3570
    assert tick(billed, "2026-08-31T06:00") == 0


def test_a_paid_invoice_is_not_dunned(billed: House) -> None:
    pay(billed, 3570)
    assert tick(billed, "2026-09-30T06:00") == 0
    assert billed.events("DunningStepReached") == []


UNBALANCED = """INSERT INTO billing.ledger_entry (source_id, n, posted_month, source_kind, posted_on,
    legal_entity_id, ledger_account, currency, amount_minor)
    VALUES (gen_random_uuid(), 1, '2026-07-01', 'x', '2026-07-02', gen_random_uuid(), 'bank', 'EUR', 1)"""


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (UNBALANCED, "out of balance"),
        (UNBALANCED.replace("EUR', 1", "EUR', 0"), "out of balance"),
        ("UPDATE billing.ledger_entry SET amount_minor = 0", "permission denied"),
        ("DELETE FROM billing.ledger_entry", "permission denied"),
        ("TRUNCATE billing.invoice_number", "permission denied"),
        ("UPDATE billing.invoice SET total_minor = 0", "permission denied"),
        ("INSERT INTO billing.ledger_entry_2026_07 SELECT * FROM billing.ledger_entry", "permission denied"),
        (
            "INSERT INTO billing.ledger_entry SELECT * FROM billing.ledger_entry",
            "duplicate key",
        ),
    ],
)
def test_the_database_guards_the_ledger(billed: House, statement: str, message: str) -> None:
    with pytest.raises(DBAPIError, match=message), billed.unit() as unit:
        unit.connection.exec_driver_sql(statement)


def test_even_the_owner_cannot_change_the_ledger(billed: House) -> None:
    url = billed.database.url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url) as connection, pytest.raises(psycopg.Error, match="insert-only"):
        connection.execute("UPDATE billing.ledger_entry SET amount_minor = 0")
