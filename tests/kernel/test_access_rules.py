"""Scopes, roles, lock-out and four eyes, as rules; and that scopes are those which routes ask for."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnup.kernel import access
from turnup.kernel.access import ADDRESS_LOCK, AREAS, NAME_LOCK, ROLES, ApprovalState, LockPolicy
from turnup.kernel.errors import Conflict, InvalidInput, NotAllowed

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ACTS = ("read", "write", "*")
scopes = st.one_of(st.just("*"), st.builds("{}:{}".format, st.sampled_from(AREAS[:4]), st.sampled_from(ACTS)))
held = st.frozensets(scopes, max_size=5)
concrete = st.builds("{}:{}".format, st.sampled_from(AREAS[:4]), st.sampled_from(ACTS[:2]))
policies = st.builds(
    LockPolicy,
    free=st.integers(0, 30),
    first=st.timedeltas(timedelta(seconds=1), timedelta(minutes=1)),
    longest=st.timedeltas(timedelta(minutes=1), timedelta(hours=2)),
)


@given(held, held, concrete)
def test_more_scopes_never_open_less(some: frozenset[str], more: frozenset[str], wanted: str) -> None:
    assert not access.opens(some, wanted) or access.opens(some | more, wanted)


@given(held, st.lists(scopes, min_size=1, max_size=4), concrete)
def test_nobody_gives_what_she_does_not_hold(giver: frozenset[str], given_: list[str], wanted: str) -> None:
    """Whatever a grant that was let through opens, its giver could open herself."""
    try:
        access.check_grant(giver, given_)
    except NotAllowed:
        assert any(not access.opens(giver, scope) for scope in given_)
    else:
        assert not access.opens(given_, wanted) or access.opens(giver, wanted)


@given(held, concrete)
def test_only_the_own_area_or_everything_opens(some: frozenset[str], wanted: str) -> None:
    area = wanted.partition(":")[0]
    if access.opens(some, wanted):
        assert any(scope == "*" or scope.startswith(f"{area}:") for scope in some)


def test_an_auditor_reads_all_and_writes_nothing() -> None:
    auditor = ROLES["auditor"]
    assert all(access.opens(auditor, f"{area}:read") for area in AREAS)
    assert not any(access.opens(auditor, f"{area}:write") for area in AREAS)
    assert not any(access.opens(ROLES[role], "access:write") for role in set(ROLES) - {"administrator"})


def test_the_areas_are_those_that_routes_ask_for() -> None:
    source = Path(__file__).parents[2] / "src" / "turnup"
    asked = set()
    for file in source.rglob("*.py"):
        if "lab" in file.relative_to(source).parts or file.name == "access.py":
            continue
        text = file.read_text()
        asked |= set(re.findall(r'"([a-z]+):(?:read|write)"', text))
        if "Resource(" in text:
            asked |= set(re.findall(r'\bscope="([a-z]+)"', text))
    assert asked == set(AREAS)


def test_own_roles_add_and_never_change_ours() -> None:
    made = access.own_roles({"night": ["freezes:write"]})
    assert access.scopes_of(["night", "gone"], made) == {"freezes:write"}
    with pytest.raises(InvalidInput, match="built in"):
        access.own_roles({"administrator": ["orders:read"]})
    with pytest.raises(InvalidInput, match="no scope"):
        access.own_roles({"night": ["everything"]})
    with pytest.raises(InvalidInput, match="no role"):
        access.check_roles(["night"])
    with pytest.raises(InvalidInput, match="missing"):
        access.check_roles([])


@given(policies, st.integers(0, 200))
def test_lock_outs_grow_up_to_the_longest(policy: LockPolicy, failures: int) -> None:
    lock = access.lock_after(failures, policy)
    assert timedelta(0) <= lock <= policy.longest
    assert lock <= access.lock_after(failures + 1, policy)
    assert (lock > timedelta(0)) == (failures > policy.free)


@given(policies, st.integers(1, 30))
def test_a_day_of_guessing_gets_few_guesses(policy: LockPolicy, hours: int) -> None:
    """Who tries whenever she may is held to the free tries, the growing ones and one per longest lock."""
    at, end, failures, tries = NOON, NOON + timedelta(hours=hours), 0, 0
    while at < end:
        tries += 1
        failures = access.failures_still(failures, at, at, policy) + 1
        at += access.lock_after(failures, policy)
    growing = 1 + int(policy.longest / policy.first).bit_length()
    assert tries <= policy.free + growing + timedelta(hours=hours) / policy.longest + 1


def test_the_lock_outs_that_are_documented() -> None:
    locks = [access.lock_after(n, NAME_LOCK).total_seconds() for n in (5, 6, 7, 8, 20)]
    assert locks == [0, 15, 30, 60, 900]
    assert access.lock_after(21, ADDRESS_LOCK) == timedelta(seconds=15)
    assert access.failures_still(9, NOON, NOON + timedelta(hours=24), NAME_LOCK) == 0
    assert access.failures_still(9, NOON, NOON + timedelta(hours=23), NAME_LOCK) == 9


@pytest.mark.parametrize(
    "password", ["short", "anna-is-great", "turnup-secret-1", "aaaaaaaaaaaaaaaa", "x" * 300]
)
def test_bad_passwords_are_refused_and_not_repeated(password: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        access.check_password("anna", password)
    assert password not in str(caught.value)


def test_good_passwords() -> None:
    access.check_password("anna", "correct horse battery staple")


names = st.sampled_from(["anna", "ben", None])


@given(st.sampled_from(ApprovalState), names, st.booleans(), st.booleans())
def test_only_another_person_logged_in_approves_what_waits(
    state: ApprovalState, person: str | None, in_person: bool, approves: bool
) -> None:
    try:
        access.check_decision(state, asked_by="anna", person=person, in_person=in_person, approves=approves)
    except (Conflict, NotAllowed):
        assert state is not ApprovalState.WAITING or not in_person or person != "ben"
    else:
        assert (state, in_person) == (ApprovalState.WAITING, True)
        assert person == "ben" or (person == "anna" and not approves)


@given(st.sampled_from(ApprovalState), st.timedeltas(timedelta(-3), timedelta(3)))
def test_only_what_waits_expires(state: ApprovalState, left: timedelta) -> None:
    now = access.standing(state, NOON + left, NOON)
    if state is ApprovalState.WAITING:
        assert now is (ApprovalState.WAITING if left > timedelta(0) else ApprovalState.EXPIRED)
    else:
        assert now is state


def test_somebody_must_ask() -> None:
    assert access.check_asker("anna") == "anna"
    with pytest.raises(access.ApprovalNeeded, match="staff name"):
        access.check_asker(None)
