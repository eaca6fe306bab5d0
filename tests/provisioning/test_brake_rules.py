"""The brake's rule, pure: over any run of requests, no hour sees more than the limit go through by itself."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnup.contracts.provisioning import Admission, Cause, CauseKind, ServiceState
from turnup.kernel.actors import require_person
from turnup.kernel.errors import InvalidInput, NotAllowed
from turnup.oss.provisioning.rules import brake
from turnup.oss.provisioning.rules.brake import BrakeFacts, BrakePolicy, Decision, Known

START = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass
class Road:
    """What the store keeps, in memory: every answer given, and when changes went through."""

    policy: BrakePolicy
    services: int
    answers: dict[int, Known] = field(default_factory=dict)
    passed: list[datetime] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)

    def ask(self, key: int, asked: int, now: datetime) -> Decision:
        latest = max(self.passed, default=None)
        facts = BrakeFacts(
            known=self.answers.get(key, Known.NEW),
            asked=asked,
            used=sum(at > brake.window_start(now) for at in self.passed),
            waiting=len(self.waiting),
            services=self.services,
        )
        decision = brake.decide(facts, self.policy)
        if facts.known is Known.NEW and decision is Decision.PASS:
            self.passed += [brake.stamp(now, latest)] * asked
            self.answers[key] = Known.PASSED
        elif facts.known is Known.NEW:
            self.waiting.append(key)
            self.answers[key] = Known.HELD
        return decision

    def release(self, key: int) -> None:
        """By a person: it does not count."""
        self.waiting.remove(key)
        self.answers[key] = Known.PASSED


requests = st.lists(
    st.tuples(
        st.integers(0, 60),  # who asks; a repeated number is a repeated request
        st.integers(1, 6),  # services
        st.integers(-90, 1500),  # seconds since the one before; clocks of two workers differ
        st.booleans(),  # a person releases whatever waits
    ),
    max_size=120,
)
policies = st.builds(
    BrakePolicy, st.integers(0, 12), st.decimals(0, 100, places=1, allow_nan=False, allow_infinity=False)
)


@given(requests, policies, st.integers(0, 400))
def test_no_hour_sees_more_than_the_limit(
    asked: list[tuple[int, int, int, bool]], policy: BrakePolicy, services: int
) -> None:
    road, now = Road(policy, services), START
    for key, how_many, later, released in asked:
        now += timedelta(seconds=later)
        road.ask(key, how_many, now)
        while released and road.waiting:
            road.release(road.waiting[0])
    most = brake.limit(policy, services)
    for end in road.passed:
        assert sum(end - brake.WINDOW < at <= end for at in road.passed) <= most


@given(requests, policies)
def test_a_request_has_one_answer_and_counts_once(
    asked: list[tuple[int, int, int, bool]], policy: BrakePolicy
) -> None:
    road, now = Road(policy, 100), START
    first: dict[int, Decision] = {}
    for key, how_many, later, _ in asked:
        now += timedelta(seconds=later)
        before = len(road.passed)
        decision = road.ask(key, how_many, now)
        if key in first:
            assert (decision, len(road.passed)) == (first[key], before)
        first.setdefault(key, decision)


@given(requests, policies)
def test_nothing_automatic_overtakes_what_waits(
    asked: list[tuple[int, int, int, bool]], policy: BrakePolicy
) -> None:
    road, now = Road(policy, 100), START
    for key, how_many, later, _ in asked:
        now += timedelta(seconds=later)
        waited, new = bool(road.waiting), key not in road.answers
        decision = road.ask(key, how_many, now)
        assert not (waited and new and decision is Decision.PASS)


@pytest.mark.parametrize(
    ("services", "expected"), [(0, 25), (100, 25), (2_500, 25), (2_600, 26), (100_000, 1_000)]
)
def test_the_default_is_the_larger_of_25_and_one_percent(services: int, expected: int) -> None:
    assert brake.limit(BrakePolicy(), services) == expected


@pytest.mark.parametrize("state", list(ServiceState))
@pytest.mark.parametrize("present", list(Admission))
@pytest.mark.parametrize("wanted", list(Admission))
def test_giving_back_is_never_counted_taking_away_always(
    state: ServiceState, present: Admission, wanted: Admission
) -> None:
    dead = state in (ServiceState.CEASED, ServiceState.RESERVED)
    takes = wanted in (Admission.WALLED, Admission.NONE) and wanted is not present
    assert brake.counts(state, present, wanted) is (takes and not dead)
    assert brake.counts(state, present, None, redesigned=True) is (not dead)


@pytest.mark.parametrize("kind", list(CauseKind))
def test_only_what_somebody_asked_for_and_its_undo_are_not_automatic(kind: CauseKind) -> None:
    assert Cause(kind, "k").automatic is (kind not in (CauseKind.ASKED, CauseKind.UNDO))


@pytest.mark.parametrize(
    "actor", ["workflow:x", "event:billing", "clock", "tick:dunning", "user:", "", "cli"]
)
def test_only_somebody_with_a_name_decides(actor: str) -> None:
    with pytest.raises(NotAllowed):
        require_person(actor, "release")
    require_person("cli:anna", "release")


def test_a_policy_document() -> None:
    assert brake.brake_policy({}) == BrakePolicy(25, Decimal(1))
    assert brake.brake_policy({"services_min": 5, "share_percent": "0.5"}) == BrakePolicy(5, Decimal("0.5"))


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"services": 5}, "brake.services"),
        ({"services_min": -1}, "brake.services_min"),
        ({"services_min": True}, "brake.services_min"),
        ({"share_percent": "a lot"}, "brake.share_percent"),
        ({"share_percent": 101}, "brake.share_percent"),
        ({"share_percent": "NaN"}, "brake.share_percent"),
    ],
)
def test_a_policy_that_makes_no_sense_names_its_entry(document: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        brake.brake_policy(document)
    assert raised.value.field == field
