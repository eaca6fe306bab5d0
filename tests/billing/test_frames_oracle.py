"""The frames against the scalar oracle, on made-up worlds: every line, net and tax, to the cent."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import zip_longest

import frame_facts
import oracle
import polars as pl
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from turnup.bss.billing.frames.invoices import bill

SLOW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SPRING = date(2026, 3, 1)
days = st.integers(0, 150).map(lambda n: SPRING + timedelta(days=n))
prices = st.one_of(
    st.integers(1, 10**11), st.integers(-(10**10), 10**11), st.sampled_from([2_990_000_000, 5_000_000, 1])
)


@st.composite
def agreements(draw: st.DrawFn, n: int) -> oracle.Agreement:
    kind = draw(st.sampled_from(["recurring", "recurring", "one_time", "usage"]))
    start, end = sorted([draw(days), draw(days) + timedelta(days=1)])
    return oracle.Agreement(
        id=f"g{n}",
        service=draw(st.sampled_from(["s0", "s1"])),
        kind=kind,
        price_micro=draw(prices) if kind != "usage" else draw(st.integers(0, 10**8)),
        category=draw(st.sampled_from(["standard", "reduced"])),
        in_advance=draw(st.booleans()),
        included_octets=draw(st.sampled_from([0, 10**9, 12_345_678_901])),
        start=start if draw(st.booleans()) else None,
        end=end if draw(st.booleans()) else None,
        credit=draw(st.sampled_from(["standard", "daily"])),
    )


@st.composite
def served(draw: st.DrawFn) -> list[tuple[date, date | None]]:
    """Disjoint stretches in order; the last may be open."""
    cuts = sorted(set(draw(st.lists(days, min_size=1, max_size=5))))
    stretches: list[tuple[date, date | None]] = [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    return [*stretches, (cuts[-1], None)] if len(cuts) % 2 else stretches


@st.composite
def outages(draw: st.DrawFn, n: int) -> oracle.Outage:
    first = draw(days)
    seconds = draw(st.sampled_from([0, 59 * 60, 3600, 3661, 86_399, 3 * 86_400, 40 * 3600]))
    last = first + timedelta(days=draw(st.integers(0, 1)) if seconds < 86_400 else seconds // 86_400)
    return oracle.Outage(f"p{n}", draw(st.sampled_from(["s0", "s1"])), first, last, seconds)


@st.composite
def accounts(draw: st.DrawFn) -> oracle.Account:
    cycle_day = draw(st.one_of(st.sampled_from([1, 15, 28, 29, 30, 31]), st.integers(1, 31)))
    billed_through = oracle.start_of_period(draw(days), cycle_day)
    usage_days = draw(st.lists(st.tuples(st.sampled_from(["s0", "s1"]), days), max_size=8, unique=True))
    return oracle.Account(
        cycle_day=cycle_day,
        billed_through=billed_through,
        reopened_from=draw(st.one_of(st.none(), days)),
        agreements=[draw(agreements(n)) for n in range(draw(st.integers(1, 4)))],
        served={service: draw(served()) for service in draw(st.sampled_from([["s0"], ["s0", "s1"]]))},
        usage=[(s, day, draw(st.integers(0, 10**10))) for s, day in usage_days],
        outages=sorted((draw(outages(n)) for n in range(draw(st.integers(0, 3)))), key=lambda o: o.id),
    )


def expected(world: list[oracle.Account], bill_date: date) -> dict[str, list[oracle.Line]]:
    found = {
        f"a{n}": sorted(
            oracle.lines(account, bill_date, frame_facts.RATES, frame_facts.exact_credits()),
            key=frame_facts.sort_key,
        )
        for n, account in enumerate(world)
    }
    return {own: lines for own, lines in found.items() if lines}


def posted(world: list[oracle.Account], bill_date: date) -> dict[str, list[oracle.Line]]:
    draft = bill(frame_facts.facts(world), frame_facts.policies(), bill_date)
    assert draft.parked.is_empty(), draft.parked
    totals = draft.lines.group_by("account_id").agg(pl.col("net_minor", "tax_minor").sum()).sort("account_id")
    assert totals.equals(draft.invoices.select("account_id", "net_minor", "tax_minor"))
    assert (draft.invoices["total_minor"] == draft.invoices["net_minor"] + draft.invoices["tax_minor"]).all()
    return frame_facts.as_oracle_lines(draft.lines)


@SLOW
@given(st.lists(accounts(), min_size=1, max_size=6), days)
def test_frames_equal_the_oracle(world: list[oracle.Account], bill_date: date) -> None:
    assert posted(world, bill_date) == expected(world, bill_date)


@SLOW
@given(st.lists(accounts(), min_size=1, max_size=4), days, st.data())
def test_what_was_billed_before_is_subtracted(
    world: list[oracle.Account], bill_date: date, data: st.DataObject
) -> None:
    """Bill once, learn something new, bill again: both engines say the same second invoice."""
    second = bill_date + timedelta(days=31)
    keeps = oracle.Agreement("", "", "recurring", 0)
    again = []
    for account, fresh in zip(world, data.draw(st.lists(accounts(), min_size=len(world))), strict=False):
        lines = oracle.lines(account, bill_date, frame_facts.RATES, frame_facts.exact_credits())
        billed = frame_facts.after(account, lines, bill_date)
        reopened = oracle.start_of_period(account.billed_through, account.cycle_day)
        billed_in_window = {
            key: net
            for key, net in billed.billed.items()
            if oracle.end_of_period(key[3], account.cycle_day) > reopened
        }
        again.append(
            replace(
                billed,
                reopened_from=reopened,
                billed=billed_in_window,
                served={**billed.served, **fresh.served},
                usage=fresh.usage,
                agreements=[
                    replace(a, end=f.end)
                    for a, f in zip_longest(account.agreements, fresh.agreements, fillvalue=keeps)
                    if a is not keeps
                ],
            )
        )
    for account in again:
        for a in account.agreements:
            assume(a.end is None or a.start is None or a.end > a.start)
    assert posted(again, second) == expected(again, second)


@SLOW
@given(accounts())
def test_billing_twice_in_a_row_says_nothing_new(account: oracle.Account) -> None:
    """A posted invoice, looked at again with nothing new, leaves no difference."""
    bill_date = oracle.end_of_period(account.billed_through, account.cycle_day)
    since = min(account.reopened_from or account.billed_through, account.billed_through)
    fresh = replace(account, reopened_from=since)
    first = posted([fresh], bill_date).get("a0", [])
    again = replace(
        frame_facts.after(fresh, first, bill_date),
        billed_through=account.billed_through,
        reopened_from=since,
    )
    assert posted([again], bill_date) == {}


@SLOW
@given(accounts())
def test_month_by_month_equals_all_at_once(account: oracle.Account) -> None:
    """Any history billed incrementally sums to the same history billed at once, charge by charge."""
    start = account.billed_through
    ends = [oracle.end_of_period(start, account.cycle_day)]
    for _ in range(3):
        ends.append(oracle.end_of_period(ends[-1], account.cycle_day))
    fresh = replace(account, reopened_from=start, billed={})
    at_once = dict.fromkeys(posted([fresh], ends[-1]).get("a0", []), 1)
    step, sums = fresh, dict[tuple[str, str, str | None, date], int]()
    for end in ends:
        for line in posted([step], end).get("a0", []):
            key = (line.agreement, line.kind, line.source, line.period_from)
            sums[key] = sums.get(key, 0) + line.net
        step = frame_facts.after(step, [], end)
    wanted = {(line.agreement, line.kind, line.source, line.period_from): line.net for line in at_once}
    assert {key: net for key, net in sums.items() if net} == wanted
