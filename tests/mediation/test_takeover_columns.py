"""What a row of customers.csv carries of promotions, ways to pay, next bill dates and management."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediation.test_mediation_import import GOOD
from turnup.bss.billing.rules.charges import ends_on
from turnup.bss.crm.rules import check_payment_method, is_iban
from turnup.bss.orders.rules import promotion_charge
from turnup.contracts.crm import NewPaymentMethod
from turnup.contracts.mediation import TakeoverLine
from turnup.contracts.orders import Charge, RunningPromotion
from turnup.integration.mediation.rules import takeover as rules
from turnup.integration.mediation.rules.writing import takeover_csv
from turnup.kernel.errors import InvalidInput
from turnup.kernel.periods import BillCycle

IBAN = "DE89 3704 0044 0532 0130 00"
FULL = {
    **GOOD,
    "management": "observed",
    "billed_through": "2027-04-01",
    "next_bill_date": "2027-04-01",
    "promotion": "Welcome",
    "promotion_amount": "10.00",
    "promotion_cycles_left": "3",
    "mandate_reference": "M-1",
    "mandate_iban": IBAN,
    "mandate_signed_on": "2024-01-01",
    "payment_token": "tok_abc",
    "payment_token_provider": "acme",
    "monthly_amount": "24.90",
}


def test_a_full_row() -> None:
    record = rules.running_customer(FULL, "EUR")
    assert record.promotion == RunningPromotion(name="Welcome", amount_minor=1000, cycles_left=3)
    assert [(m.kind, m.reference, m.provider) for m in record.payment_methods] == [
        ("direct_debit", "M-1", None),
        ("token", "acme", "acme"),
    ]
    assert (record.management, record.monthly_net_minor, record.next_bill_date) == (
        "observed",
        2490,
        date(2027, 4, 1),
    )
    assert "0532" not in repr(record) and "tok_abc" not in repr(record)
    plain = rules.running_customer(GOOD, "EUR")
    assert (plain.promotion, plain.payment_methods, plain.management) == (None, (), "adopted")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("management", "managed"),
        ("next_bill_date", "2027-03-31"),
        ("promotion", ""),
        ("promotion_amount", "-1"),
        ("promotion_amount", "1.005"),
        ("promotion_amount", "NaN"),
        ("promotion_cycles_left", "0"),
        ("promotion_cycles_left", "many"),
        ("mandate_reference", ""),
        ("mandate_iban", ""),
        ("mandate_signed_on", ""),
        ("payment_token_provider", ""),
        ("monthly_amount", "x"),
        ("balance", "Infinity"),
    ],
)
def test_a_bad_value_is_named_by_its_column(column: str, value: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        rules.running_customer({**FULL, column: value}, "EUR")
    assert raised.value.field == column
    assert raised.value.remedy and "0532" not in str(raised.value) and "tok_abc" not in str(raised.value)


def test_a_mandate_needs_a_true_iban() -> None:
    """ISO 13616's own examples; one digit off is none."""
    for iban in (IBAN, "GB82WEST12345698765432", "NO9386011117947"):
        assert is_iban(iban) and not is_iban(iban[:-1] + ("0" if iban[-1] != "0" else "1"))
    wrong = NewPaymentMethod(kind="direct_debit", reference="M", secret="DE00 1234")
    with pytest.raises(InvalidInput) as raised:
        check_payment_method(wrong)
    assert raised.value.field == "iban" and "1234" not in str(raised.value)


def charge(amount_micro: int, **more: object) -> Charge:
    given: dict[str, object] = {
        "code": "monthly",
        "name": "Fibre",
        "kind": "recurring",
        "amount_micro": amount_micro,
        "currency": "EUR",
        "tax_category": "standard",
        "period_months": 1,
        "in_advance": True,
        "unit": None,
        "included_micro": 0,
        **more,
    }
    return Charge(**given)  # type: ignore[arg-type]


def test_a_promotion_is_a_charge_below_zero_beside_the_dearest() -> None:
    prices = [charge(5 * 10**8, code="ip"), charge(25 * 10**8), charge(50 * 10**8, kind="one_time")]
    off = promotion_charge(prices, RunningPromotion(name="Welcome", amount_minor=1000, cycles_left=3))
    assert (off.amount_micro, off.cycles, off.in_advance, off.kind) == (-(10**9), 3, True, "recurring")
    with pytest.raises(InvalidInput):
        promotion_charge(prices, RunningPromotion(name="Too much", amount_minor=2501, cycles_left=3))
    with pytest.raises(InvalidInput):
        promotion_charge(prices[2:], RunningPromotion(name="x", amount_minor=1, cycles_left=3))


@settings(deadline=None)
@given(st.dates(date(2026, 1, 1), date(2030, 1, 1)), st.integers(1, 36), st.integers(1, 31))
def test_so_many_cycles_are_left_and_not_one_more(start: date, cycles: int, day: int) -> None:
    cycle = BillCycle(day)
    end = ends_on(start, cycles, day)
    assert len(list(cycle.periods(start, end))) == cycles
    assert cycle.boundary_on_or_before(end) == end
    assert ends_on(ends_on(start, 1, day), cycles - 1, day) == end


def test_the_report_as_csv_runs_nothing() -> None:
    line = TakeoverLine(
        external_id="=1",
        service="S-1",
        account_id="a",
        offering="o",
        management="observed",
        sold_kbps="1/1",
        device_kbps=None,
        device="",
        first_period_minor=-5,
        former_monthly_minor=None,
        next_bill_date=None,
        next_bill_net_minor=None,
        next_bill_total_minor=None,
        currency="EUR",
        differs="",
    )
    head, row = takeover_csv([line]).decode().splitlines()
    assert head.startswith("external_id,service,") and row.startswith("'=1,S-1,a,o,observed,1/1,,,-5,,")
