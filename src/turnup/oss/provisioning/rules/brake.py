"""The brake: how many services may be suspended, ceased or reconfigured by themselves in an hour.

A change that somebody asked for one by one does not count. What does, counts against a share of the
services; what is over it waits, in its order, and everything automatic behind it waits as well, until a named
person has decided. Giving a subscriber back what she pays for is never held.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from turnup.contracts.provisioning import Admission, ServiceState
from turnup.kernel.errors import InvalidInput

_FIELDS = frozenset({"services_min", "share_percent"})
WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class BrakePolicy:
    """At most the larger of `services_min` services and `share_percent` of all services in any hour."""

    services_min: int = 25
    share_percent: Decimal = Decimal(1)


class Known(StrEnum):
    """What was decided of this very request before."""

    NEW = "new"
    PASSED = "passed"
    HELD = "held"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeFacts:
    """`asked`: services the request would change; `used`: changes that went through by themselves in the hour
    before; `waiting`: requests that are held; `services`: all there are."""

    known: Known
    asked: int
    used: int
    waiting: int
    services: int


class Decision(StrEnum):
    PASS = "pass"
    HOLD = "hold"
    REFUSE = "refuse"


def decide(facts: BrakeFacts, policy: BrakePolicy) -> Decision:
    """Whether an automatic change goes through now. A request that came before gets its former answer."""
    if facts.known is Known.REFUSED:
        return Decision.REFUSE
    if facts.known is Known.PASSED or not facts.asked:
        return Decision.PASS
    if facts.known is Known.HELD or facts.waiting:
        return Decision.HOLD
    fits = facts.used + facts.asked <= limit(policy, facts.services)
    return Decision.PASS if fits else Decision.HOLD


def limit(policy: BrakePolicy, services: int) -> int:
    """Services per hour; a share is rounded down."""
    return max(policy.services_min, int(services * policy.share_percent / 100))


def window_start(now: datetime) -> datetime:
    """Changes after this instant count."""
    return now - WINDOW


def stamp(now: datetime, latest: datetime | None) -> datetime:
    """When a change counts as done: instants only rise, or two clocks could hide a change from the hour."""
    return now if latest is None else max(now, latest)


def counts(
    state: ServiceState, present: Admission, wanted: Admission | None, *, redesigned: bool = False
) -> bool:
    """Whether this change suspends, ceases or reconfigures somebody. `wanted` None: admission stays."""
    if state in (ServiceState.CEASED, ServiceState.RESERVED):
        return False
    if redesigned:
        return True
    return wanted is not None and wanted is not present and wanted is not Admission.FULL


def repairable(admission: Admission) -> bool:
    """An automatic repair gives, it never takes: it touches only who is meant to be let in."""
    return admission is Admission.FULL


def brake_policy(document: Mapping[str, object], path: str = "brake") -> BrakePolicy:
    """Read a policy document. Raises InvalidInput naming the path."""
    unknown = sorted(set(document) - _FIELDS)
    if unknown:
        raise InvalidInput(
            f"{unknown[0]!r} means nothing here",
            field=f"{path}.{unknown[0]}",
            remedy=f"known: {', '.join(sorted(_FIELDS))}",
        )
    least = document.get("services_min", BrakePolicy().services_min)
    if isinstance(least, bool) or not isinstance(least, int) or least < 0:
        raise InvalidInput(
            f"{least!r} is not a number of services", field=f"{path}.services_min", remedy="write 25"
        )
    return BrakePolicy(least, _percent(document.get("share_percent", "1"), f"{path}.share_percent"))


def _percent(value: object, path: str) -> Decimal:
    try:
        share = Decimal(str(value))
    except InvalidOperation:
        share = Decimal(-1)
    if not (share.is_finite() and 0 <= share <= 100):
        raise InvalidInput(f"{value!r} is not a percentage", field=path, remedy="write 0 to 100, as in '1'")
    return share
