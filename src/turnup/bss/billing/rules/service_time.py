"""From what happened to a service to the time billing counts. Recomputed from the whole history, so that
facts may arrive late and in any order."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from turnup.bss.billing.model import BillableTime, FactKind, ServiceFact, ServiceTime
from turnup.kernel.errors import InvalidInput

_STARTS = {"acceptance": FactKind.ACCEPTED, "first_online": FactKind.FIRST_ONLINE}
_IMMEDIATE = (FactKind.ADOPTED, FactKind.BILLING_ON)


def starting_fact(billing_start: str) -> tuple[FactKind, timedelta]:
    """`acceptance`, `first_online` or `ready+N` as the fact waited for and the days after it."""
    if billing_start in _STARTS:
        return _STARTS[billing_start], timedelta(0)
    word, _, days = billing_start.partition("+")
    if word == "ready" and (not days or days.isdecimal()):
        return FactKind.READY, timedelta(days=int(days or 0))
    raise InvalidInput(
        f"{billing_start!r} is no way to start billing",
        field="billing_start",
        remedy="use acceptance, first_online or ready+N (N days after the service was ready)",
    )


def billable_times(facts: Iterable[ServiceFact], billing_start: str) -> tuple[BillableTime, ...]:
    """The stretches of active and suspended time, in order, without gaps other than those billing stopped.

    Facts at the same instant count in the order of their effect: start before suspension before cease.
    """
    waited, delay = starting_fact(billing_start)
    moments = [
        ServiceFact(fact.kind, fact.at + delay) if fact.kind is waited else fact
        for fact in facts
        if fact.kind is waited or fact.kind not in (FactKind.READY, FactKind.FIRST_ONLINE, FactKind.ACCEPTED)
    ]
    order = [waited, *_IMMEDIATE, FactKind.RESUMED, FactKind.SUSPENDED, FactKind.BILLING_OFF, FactKind.CEASED]
    moments.sort(key=lambda fact: (fact.at, order.index(fact.kind)))
    return _walk(moments, waited)


def _walk(moments: list[ServiceFact], waited: FactKind) -> tuple[BillableTime, ...]:
    times: list[BillableTime] = []
    started = suspended = ceased = False
    current: ServiceTime | None = None
    since: datetime | None = None
    cause = waited
    for fact in moments:
        match fact.kind:
            case FactKind.SUSPENDED:
                suspended = True
            case FactKind.RESUMED:
                suspended = False
            case FactKind.CEASED:
                ceased = True
            case FactKind.BILLING_OFF:
                started = False
            case FactKind.BILLING_ON:
                started, suspended, ceased = True, False, False
            case _:
                started = True
        status = None if ceased or not started else _status(suspended=suspended)
        if status == current:
            continue
        if current is not None and since is not None and since < fact.at:
            times.append(BillableTime(current, since, fact.at, cause))
        current, since, cause = status, fact.at, fact.kind
    if current is not None and since is not None:
        times.append(BillableTime(current, since, None, cause))
    return tuple(times)


def _status(*, suspended: bool) -> ServiceTime:
    return ServiceTime.SUSPENDED if suspended else ServiceTime.ACTIVE


def first_difference(old: tuple[BillableTime, ...], new: tuple[BillableTime, ...]) -> datetime | None:
    """The earliest instant from which two histories count differently, or None."""
    if old == new:
        return None
    for before, after in zip(old, new, strict=False):
        if before == after:
            continue
        if (before.status, before.start) != (after.status, after.start):
            return min(before.start, after.start)
        ends = [end for end in (before.end, after.end) if end is not None]
        return min(ends) if ends else after.start
    longer = old if len(old) > len(new) else new
    return longer[min(len(old), len(new))].start
