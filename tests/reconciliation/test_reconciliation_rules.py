"""The comparison itself, pure: agreement is silent, every planted mismatch is found once, by its name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnup.integration.reconciliation import rules
from turnup.integration.reconciliation.frames import compare
from turnup.integration.reconciliation.model import (
    Billed,
    Comparison,
    Desired,
    Facts,
    Held,
    Repair,
    Seen,
    Sold,
)

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=90)
JUST_NOW = NOW - timedelta(seconds=5)
ELEMENTS = ("olt1", "bng1", "aaa1")


@dataclass(frozen=True)
class Line:
    """One service as every side has it."""

    sold: Sold | None
    desired: Desired | None
    billed: Billed | None
    intended: tuple[str, ...] = ()
    seen: tuple[Seen, ...] = ()

    @property
    def id(self) -> UUID:
        known = self.sold or self.desired or self.billed
        assert known is not None
        return known.service_id


def served(n: int, *, suspended: bool = False, start: str = "acceptance", monthly: int = 4000) -> Line:
    """Sold, desired, on the network, billed: all agree."""
    service = UUID(int=n + 1)
    return Line(
        Sold(service, "suspended" if suspended else "active", None, False),
        Desired(
            service_id=service,
            number=f"S-{n}",
            admission="walled" if suspended else "full",
            observed=False,
            proved=True,
            online=True,
            configured_at=LONG_AGO,
            first_online_at=LONG_AGO,
            accepted_at=LONG_AGO,
            elements=ELEMENTS,
        ),
        Billed(service, monthly > 0, monthly, "EUR", start),
        intended=ELEMENTS,
    )


def ceased(n: int) -> Line:
    """Ended, taken off the network, billed no more: gone, as it should be."""
    line = served(n)
    assert line.sold and line.desired and line.billed
    return Line(
        replace(line.sold, status="terminated", end=LONG_AGO),
        replace(line.desired, admission="none", online=False, elements=()),
        replace(line.billed, active=False, monthly_minor=0),
    )


def not_due_yet(n: int) -> Line:
    """Configured and verified, nobody was online yet, billing waits."""
    line = served(n)
    assert line.sold and line.desired and line.billed
    desired = replace(line.desired, online=None, first_online_at=None, accepted_at=None)
    return replace(line, desired=desired, billed=replace(line.billed, active=False))


def compared(*lines: Line, unreachable: frozenset[str] = frozenset()) -> Comparison:
    return compare(
        Facts(
            sold=tuple(line.sold for line in lines if line.sold),
            desired=tuple(line.desired for line in lines if line.desired),
            billed=tuple(line.billed for line in lines if line.billed),
            intended=tuple((line.id, element) for line in lines for element in line.intended),
            seen=tuple(seen for line in lines for seen in line.seen if seen.element not in unreachable),
            unreachable=unreachable,
        ),
        NOW,
        "EUR",
    )


healthy = st.builds(
    lambda n, make: (n, make),
    st.integers(0, 30),
    st.sampled_from(
        [
            served,
            ceased,
            not_due_yet,
            lambda n: served(n, suspended=True),
            lambda n: served(n, start="first_online"),
            lambda n: served(n, start="ready+14"),
            lambda n: served(n, monthly=0),
        ]
    ),
)


def population(drawn: list[tuple[int, Callable[[int], Line]]]) -> list[Line]:
    return [make(n) for n, make in dict(drawn).items()]


@given(st.lists(healthy, max_size=12))
def test_agreement_is_silent(drawn: list[tuple[int, Callable[[int], Line]]]) -> None:
    found = compared(*population(drawn))
    assert found.mismatches == ()
    assert found.in_flight == frozenset()
    assert found.unknown == 0


def _change(line: Line, **parts: object) -> Line:
    """Change fields of sold, desired or billed: `desired_online=False`."""
    for name, value in parts.items():
        side, _, attribute = name.partition("_")
        line = replace(line, **{side: replace(getattr(line, side), **{attribute: value})})
    return line


def _seen(line: Line, element: str, held: Held) -> Line:
    return replace(line, seen=(*line.seen, Seen(line.id, element, held, "")))


@dataclass(frozen=True)
class Planted:
    kind: str
    safe: bool
    repair: Repair
    minor: int
    element: str
    plant: Callable[[int], Line]


PLANTED = [
    Planted(
        "sold_not_configured",
        True,
        Repair.APPLY,
        -4000,
        "bng1",
        lambda n: replace(served(n), intended=("olt1", "aaa1")),
    ),
    Planted(
        "not_intended",
        True,
        Repair.APPLY,
        0,
        "bng1",
        lambda n: _seen(replace(served(n), intended=("olt1", "aaa1")), "bng1", Held.STRAY),
    ),
    Planted(
        "missing_on_element",
        True,
        Repair.APPLY,
        -4000,
        "olt1",
        lambda n: _seen(served(n), "olt1", Held.MISSING),
    ),
    Planted("drift", True, Repair.APPLY, -4000, "bng1", lambda n: _seen(served(n), "bng1", Held.DRIFT)),
    Planted(
        "suspended_but_open",
        False,
        Repair.PERSON,
        4000,
        "aaa1",
        lambda n: _seen(served(n, suspended=True), "aaa1", Held.OPENED),
    ),
    Planted(
        "open_but_suspended",
        True,
        Repair.APPLY,
        -4000,
        "bng1",
        lambda n: _seen(served(n), "bng1", Held.WALLED),
    ),
    Planted(
        "suspended_but_open",
        False,
        Repair.PERSON,
        4000,
        "",
        lambda n: _change(served(n), sold_status="suspended"),
    ),
    Planted(
        "open_but_suspended",
        False,
        Repair.PERSON,
        -4000,
        "",
        lambda n: _change(served(n), desired_admission="walled"),
    ),
    Planted(
        "sold_not_desired",
        False,
        Repair.PERSON,
        -4000,
        "",
        lambda n: replace(served(n), desired=None, intended=()),
    ),
    Planted(
        "configured_not_sold",
        False,
        Repair.PERSON,
        4000,
        "",
        lambda n: _change(replace(served(n), sold=None), billed_active=False),
    ),
    Planted(
        "configured_not_sold",
        False,
        Repair.PERSON,
        0,
        "",
        lambda n: _seen(ceased(n), "olt1", Held.STRAY),
    ),
    Planted(
        "configured_not_sold",
        False,
        Repair.PERSON,
        0,
        "",
        lambda n: _seen(_seen(ceased(n), "olt1", Held.STRAY), "bng1", Held.STRAY),
    ),
    Planted(
        "online_not_sold", False, Repair.PERSON, 0, "", lambda n: _change(ceased(n), desired_online=True)
    ),
    Planted(
        "stray_fragment",
        False,
        Repair.PERSON,
        0,
        "",
        lambda n: _seen(served(n), "olt2", Held.STRAY),
    ),
    Planted(
        "live_not_billed",
        True,
        Repair.START_BILLING,
        4000,
        "",
        lambda n: _change(served(n), billed_active=False),
    ),
    Planted("live_without_price", False, Repair.PERSON, 0, "", lambda n: replace(served(n), billed=None)),
    Planted(
        "billed_not_live",
        True,
        Repair.STOP_BILLING,
        -4000,
        "",
        lambda n: _change(ceased(n), billed_active=True, billed_monthly_minor=4000),
    ),
]


@given(st.lists(healthy, max_size=8), st.sampled_from(PLANTED), st.integers(100, 120))
def test_a_planted_mismatch_is_found_once(
    drawn: list[tuple[int, Callable[[int], Line]]], planted: Planted, n: int
) -> None:
    line = planted.plant(n)
    (found,) = compared(*population(drawn), line).mismatches
    assert found.kind == planted.kind
    assert found.service_id == line.id
    assert found.element == planted.element
    assert (found.safe, found.repair) == (planted.safe, planted.repair)
    assert (found.monthly_minor, found.currency) == (planted.minor, "EUR")
    assert bool(found.remedy) == (not planted.safe), "a person is told what to do"


@given(st.lists(st.sampled_from(PLANTED), min_size=1, max_size=10))
def test_many_mismatches_are_each_found_once(planted: list[Planted]) -> None:
    lines = [each.plant(n) for n, each in enumerate(planted)]
    found = compared(*lines).mismatches
    assert sorted((m.service_id, m.kind, m.element) for m in found) == sorted(
        (line.id, each.kind, each.element) for line, each in zip(lines, planted, strict=True)
    )
    assert len({m.key for m in found}) == len(found)


@pytest.mark.parametrize(
    "under_way",
    [
        lambda line: _change(line, sold_in_flight=True),
        lambda line: _change(line, desired_proved=False),
        lambda line: _change(line, sold_status="pendingActive"),
    ],
)
@given(st.sampled_from([p for p in PLANTED if p.kind not in ("sold_not_desired", "configured_not_sold")]))
def test_changes_in_flight_are_counted_not_found(under_way: Callable[[Line], Line], planted: Planted) -> None:
    line = under_way(planted.plant(1))
    found = compared(line)
    assert found.mismatches == ()
    assert found.in_flight == {line.id}


def test_books_that_follow_within_seconds_are_in_flight() -> None:
    accepted_now = _change(not_due_yet(1), desired_accepted_at=JUST_NOW)
    ended_now = _change(ceased(2), sold_end=JUST_NOW, billed_active=True, billed_monthly_minor=4000)
    found = compared(accepted_now, ended_now)
    assert found.mismatches == ()
    assert found.in_flight == {accepted_now.id, ended_now.id}


def test_billing_that_waits_for_n_days_is_not_late() -> None:
    line = _change(served(1, start="ready+14"), billed_active=False)
    assert [m.kind for m in compared(line).mismatches] == ["live_not_billed"]
    assert [m.since for m in compared(line).mismatches] == [LONG_AGO + timedelta(days=14)]
    recent = _change(line, desired_configured_at=NOW - timedelta(days=13))
    assert compared(recent).mismatches == ()


@given(st.sampled_from([p for p in PLANTED if p.element]))
def test_an_element_that_does_not_answer_is_unknown_never_a_finding(planted: Planted) -> None:
    found = compared(planted.plant(1), served(2), unreachable=frozenset({planted.element}))
    assert found.mismatches == ()
    assert found.unknown == 2
    assert found.unreachable == {planted.element}


def test_what_is_only_observed_is_never_applied_to() -> None:
    line = _seen(_change(served(1), desired_observed=True), "bng1", Held.DRIFT)
    (found,) = compared(line).mismatches
    assert not found.safe
    assert "only observed" in found.remedy


def test_a_fragment_is_not_applied_where_nobody_knows_whether_it_is_suspended() -> None:
    line = _seen(_change(served(1), sold_status="suspended"), "bng1", Held.DRIFT)
    found = compared(line).mismatches
    assert {m.kind for m in found} == {"drift", "suspended_but_open"}
    assert not any(m.safe for m in found)


def test_billing_of_the_dead_is_stopped_from_the_day_they_ended() -> None:
    line = _change(ceased(1), billed_active=True, billed_monthly_minor=4000)
    (found,) = compared(line).mismatches
    assert found.since == LONG_AGO


def test_what_is_billed_served_and_not_sold_needs_a_person_for_both() -> None:
    found = compared(replace(served(1), sold=None)).mismatches
    assert [(m.kind, m.safe) for m in found] == [("billed_not_live", False), ("configured_not_sold", False)]


@pytest.mark.parametrize(
    ("attributes", "held"),
    [
        ({"down_kbps": ("300000", "1")}, Held.DRIFT),
        ({"walled": ("yes", "no")}, Held.OPENED),
        ({"walled": ("no", "yes"), "down_kbps": ("1", "2")}, Held.WALLED),
        ({"state": ("walled", "active")}, Held.OPENED),
        ({"state": ("active", "disabled")}, Held.WALLED),
        ({"state": ("walled", "disabled")}, Held.DRIFT),
        ({}, Held.EQUAL),
    ],
)
def test_a_difference_is_named_by_what_it_means(
    attributes: dict[str, tuple[str | None, str | None]], held: Held
) -> None:
    assert rules.held_as(missing=False, unexpected=False, attributes=attributes) is held


def test_the_frame_bears_many_services() -> None:
    lines = [served(n) for n in range(20_000)]
    lines[17] = _seen(lines[17], "bng1", Held.DRIFT)
    found = compared(*lines)
    assert found.checked == 20_000
    assert [m.number for m in found.mismatches] == ["S-17"]
