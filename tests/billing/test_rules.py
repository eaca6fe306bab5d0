"""Billing's pure rules: service time, windows, credits, dunning, allocation, policy documents."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnup.bss.billing.model import (
    Arrears,
    BillableTime,
    CreditPolicy,
    CreditSource,
    DunningPolicy,
    DunningStep,
    FactKind,
    Granularity,
    OpenInvoice,
    ServiceFact,
    ServiceTime,
)
from turnup.bss.billing.rules import policies
from turnup.bss.billing.rules.allocation import oldest_first
from turnup.bss.billing.rules.credits import credit_share_ppm
from turnup.bss.billing.rules.cycles import Window, charge_periods, length
from turnup.bss.billing.rules.dunning import next_step
from turnup.bss.billing.rules.service_time import billable_times, first_difference
from turnup.bss.billing.rules.taxes import rate_ppm
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import AccountId, InvoiceId
from turnup.kernel.money import Rounding
from turnup.kernel.periods import Period

F = FactKind


def at(day: int) -> datetime:
    return datetime(2026, 6, day, 12, tzinfo=UTC)


def times(*facts: tuple[FactKind, int], start: str = "acceptance") -> list[tuple[str, int, int | None]]:
    found = billable_times([ServiceFact(kind, at(day)) for kind, day in facts], start)
    return [(t.status.value, t.start.day, t.end and t.end.day) for t in found]


@pytest.mark.parametrize(
    ("start", "first_day"), [("acceptance", 5), ("first_online", 3), ("ready", 1), ("ready+7", 8)]
)
def test_billing_starts_by_policy(start: str, first_day: int) -> None:
    facts = [(F.READY, 1), (F.FIRST_ONLINE, 3), (F.ACCEPTED, 5)]
    assert times(*facts, start=start) == [("active", first_day, None)]


def test_nothing_is_billed_before_the_awaited_fact() -> None:
    assert times((F.READY, 1), (F.FIRST_ONLINE, 3)) == []
    assert times((F.SUSPENDED, 2), (F.RESUMED, 4), (F.ACCEPTED, 5)) == [("active", 5, None)]


def test_suspension_resume_cease() -> None:
    assert times((F.ACCEPTED, 1), (F.SUSPENDED, 5), (F.RESUMED, 9), (F.CEASED, 20)) == [
        ("active", 1, 5),
        ("suspended", 5, 9),
        ("active", 9, 20),
    ]
    assert times((F.ACCEPTED, 1), (F.CEASED, 10), (F.RESUMED, 12), (F.ACCEPTED, 15)) == [("active", 1, 10)]


def test_reconciliation_may_start_and_stop_billing() -> None:
    assert times((F.BILLING_ON, 4)) == [("active", 4, None)]
    assert times((F.ACCEPTED, 1), (F.BILLING_OFF, 6), (F.BILLING_ON, 9)) == [
        ("active", 1, 6),
        ("active", 9, None),
    ]
    assert times((F.ADOPTED, 2)) == [("active", 2, None)]


@given(st.lists(st.tuples(st.sampled_from(list(F)), st.integers(1, 28)), max_size=8), st.randoms())
def test_the_order_of_arrival_does_not_matter(facts: list[tuple[FactKind, int]], shuffle: Any) -> None:
    shuffled = list(facts)
    shuffle.shuffle(shuffled)
    found = billable_times([ServiceFact(kind, at(day)) for kind, day in facts], "acceptance")
    assert found == billable_times([ServiceFact(kind, at(day)) for kind, day in shuffled], "acceptance")
    for earlier, later in pairwise(found):
        assert earlier.end is not None
        assert earlier.start < earlier.end <= later.start


def test_an_unknown_billing_start_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        billable_times([], "someday")
    assert caught.value.field == "billing_start"


def test_the_first_difference_of_two_histories() -> None:
    def active(start: int, end: int | None) -> BillableTime:
        return BillableTime(ServiceTime.ACTIVE, at(start), end and at(end), F.ACCEPTED)  # type: ignore[arg-type]

    assert first_difference((active(1, None),), (active(1, None),)) is None
    assert first_difference((active(1, None),), (active(1, 9),)) == at(9)
    assert first_difference((), (active(4, None),)) == at(4)
    assert first_difference((active(4, None),), ()) == at(4)
    assert first_difference((active(4, None),), (active(2, None),)) == at(2)
    assert first_difference((active(1, 5), active(8, None)), (active(1, 5),)) == at(8)


JUNE, JULY, AUGUST = date(2026, 6, 1), date(2026, 7, 1), date(2026, 8, 1)


def window(**changes: Any) -> Window:
    values: dict[str, Any] = {
        "cycle_day": 1,
        "months": 1,
        "anchor": JUNE,
        "in_advance": False,
        "since": JUNE,
        "billed_through": JUNE,
        "reopened": False,
        "close": JULY,
    }
    return Window(**{**values, **changes})


def test_in_arrears_what_ended_in_advance_what_begins() -> None:
    assert charge_periods(window()) == (Period(JUNE, JULY),)
    assert charge_periods(window(in_advance=True)) == (Period(JULY, AUGUST),)
    assert charge_periods(window(in_advance=True, reopened=True)) == (
        Period(JUNE, JULY),
        Period(JULY, AUGUST),
    )
    assert charge_periods(window(close=AUGUST)) == (Period(JUNE, JULY), Period(JULY, AUGUST))
    assert charge_periods(window(since=date(2026, 5, 20), reopened=True))[0] == Period(date(2026, 5, 1), JUNE)


def test_longer_cycles_keep_their_anchor() -> None:
    quarter = Period(JULY, date(2026, 10, 1))
    assert charge_periods(window(months=3, anchor=date(2026, 4, 12), in_advance=True)) == (quarter,)
    assert charge_periods(window(months=3, anchor=date(2026, 4, 12))) == (Period(date(2026, 4, 1), JULY),)
    assert charge_periods(window(months=3, anchor=date(2026, 5, 12))) == ()


def test_the_reference_period_in_days_or_seconds() -> None:
    march = Period(date(2026, 3, 1), date(2026, 4, 1))
    assert length(march, "Europe/Berlin", Granularity.DAY) == 31
    assert length(march, "Europe/Berlin", Granularity.SECOND) == 31 * 86400 - 3600


HOURLY = CreditPolicy(minimum_minutes=60, per_minutes=60, share_ppm=50_000, cap_ppm=500_000)


@pytest.mark.parametrize(
    ("minutes", "ppm"), [(0, 0), (59, 0), (60, 50_000), (61, 100_000), (10_000, 500_000)]
)
def test_credits_per_started_hour_from_the_minimum_to_the_cap(minutes: int, ppm: int) -> None:
    assert credit_share_ppm(HOURLY, minutes) == ppm


STEPS = DunningPolicy((DunningStep(7, "remind"), DunningStep(21, "suspend", 1000)), minimum_open_minor=100)


@pytest.mark.parametrize(
    ("days", "overdue", "step", "action"),
    [
        *((6, 5000, 0, None), (7, 5000, 0, "remind"), (90, 5000, 0, "remind"), (20, 5000, 1, None)),
        *((21, 5000, 1, "suspend"), (21, 999, 1, None), (90, 5000, 2, None), (90, 100, 0, None)),
    ],
)
def test_dunning_steps_by_days_and_amount(days: int, overdue: int, step: int, action: str | None) -> None:
    arrears = Arrears(AccountId(UUID(int=1)), "standard", "EUR", JUNE, overdue, step)
    decision = next_step(STEPS, arrears, JUNE + timedelta(days=days))
    assert (decision and decision.action) == action


def test_who_was_reminded_late_is_suspended_late() -> None:
    reminded_on = JUNE + timedelta(days=40)
    arrears = Arrears(AccountId(UUID(int=1)), "standard", "EUR", JUNE, 5000, 1, reminded_on)
    assert next_step(STEPS, arrears, reminded_on + timedelta(days=13)) is None
    decision = next_step(STEPS, arrears, reminded_on + timedelta(days=14))
    assert decision is not None
    assert decision.action == "suspend"


@given(
    st.lists(st.integers(1, 1000), max_size=5),
    st.lists(st.tuples(st.dates(), st.integers(1, 1000)), max_size=5),
)
def test_settling_spends_no_more_than_there_is(money: list[int], debts: list[tuple[date, int]]) -> None:
    sources = [CreditSource("payment", UUID(int=n), JUNE, left) for n, left in enumerate(money)]
    invoices = [OpenInvoice(InvoiceId(UUID(int=n)), due, left) for n, (due, left) in enumerate(debts)]
    settled = oldest_first(sources, invoices)
    assert sum(s.amount_minor for s in settled) == min(sum(money), sum(left for _, left in debts))
    for invoice in invoices:
        paid = sum(s.amount_minor for s in settled if s.invoice_id == invoice.id)
        assert paid <= invoice.open_minor
        if paid:  # everything due earlier is paid in full
            for earlier in (i for i in invoices if i.due_date < invoice.due_date):
                assert (
                    sum(s.amount_minor for s in settled if s.invoice_id == earlier.id) == earlier.open_minor
                )
    pairs = [(s.source.id, s.invoice_id) for s in settled]
    assert len(pairs) == len(set(pairs))


def test_policy_documents_become_policies() -> None:
    assert policies.billing_policy({}).rounding is Rounding.HALF_AWAY
    assert policies.billing_policy({"rounding": "half_even"}).rounding is Rounding.HALF_EVEN
    assert policies.credit_policy({"per": "day", "share_percent": "3.3333"}).share_ppm == 33_333
    rates = policies.tax_rates(
        {
            "rates": [
                {"percent": 19, "valid_from": "2007-01-01"},
                {"percent": "16", "valid_from": date(2020, 7, 1)},
            ]
        }
    )
    assert rate_ppm(rates, "standard", "standard", date(2020, 6, 30)) == 190_000
    assert rate_ppm(rates, "standard", "standard", date(2020, 7, 1)) == 160_000
    assert rate_ppm(rates, "standard", "standard", date(2006, 12, 31)) is None


@pytest.mark.parametrize(
    ("parse", "document", "field"),
    [
        (policies.billing_policy, {"rounding": "up and away"}, "billing.rounding"),
        (policies.billing_policy, {"roundign": "up"}, "billing.roundign"),
        (policies.billing_policy, {"payment_terms_days": -1}, "billing.payment_terms_days"),
        (policies.credit_policy, {"share_percent": "lots"}, "credit.share_percent"),
        (policies.credit_policy, {"share_percent": "0.00001"}, "credit.share_percent"),
        (policies.credit_policy, {"share_percent": "Infinity"}, "credit.share_percent"),
        (policies.dunning_policy, {"steps": "none"}, "dunning.steps"),
        (
            policies.dunning_policy,
            {"steps": [{"days_overdue": 1, "action": "shout"}]},
            "dunning.steps[0].action",
        ),
        (
            policies.dunning_policy,
            {"steps": [{"days_overdue": 9, "action": "remind"}, {"days_overdue": 1, "action": "remind"}]},
            "dunning.steps",
        ),
        (policies.tax_rates, {"rates": [{"percent": 19, "valid_from": "soon"}]}, "tax.rates[0].valid_from"),
    ],
)
def test_errors_name_the_path(parse: Any, document: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(document)
    assert caught.value.field == field
    assert caught.value.remedy
