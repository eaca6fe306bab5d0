"""From polls to alarms: debounced, deduplicated, cleared when the condition is over."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from turnup.contracts.monitoring import Observation
from turnup.kernel.ids import AlarmId, ElementId
from turnup.oss.monitoring.model import (
    Alarm,
    AlarmKind,
    ConditionKey,
    End,
    Health,
    PortState,
    Topology,
)


def health_after(health: Health | None, seen: Observation, failures_needed: int) -> Health:
    """One failed poll proves nothing; `failures_needed` in a row make the element unreachable, since the
    first of them. One answer makes it reachable."""
    before = health or Health(element_id=seen.element_id, reachable=None, since=seen.at, checked_at=seen.at)
    if seen.reachable:
        return replace(
            before,
            reachable=True,
            since=before.since if before.reachable else seen.at,
            checked_at=seen.at,
            failures=0,
            failed_since=None,
            round_trip_ms=seen.round_trip_ms,
            uptime_s=seen.uptime_s,
        )
    failures = before.failures + 1
    failed_since = before.failed_since or seen.at
    lost = failures >= failures_needed
    return replace(
        before,
        reachable=False if lost else before.reachable,
        since=failed_since if lost else before.since,
        checked_at=seen.at,
        failures=failures,
        failed_since=failed_since,
        round_trip_ms=None,
    )


def ports_after(ports: Mapping[End, PortState], seen: Observation) -> list[PortState]:
    """The element's ports as it tells them; an element that is silent leaves them as they were."""
    found = []
    for name, up in seen.ports.items():
        before = ports.get((seen.element_id, name))
        since = before.since if before is not None and before.up == up else seen.at
        was_up = up or (before is not None and before.was_up)
        found.append(PortState(element_id=seen.element_id, port=name, up=up, since=since, was_up=was_up))
    return found


def conditions(
    health: Collection[Health], ports: Collection[PortState], topology: Topology
) -> dict[ConditionKey, datetime]:
    """Everything that is wrong now, and since when. A port that never was up and belongs to no link is
    unused, not broken; one that ends a single subscriber's line is as silent as she is; what is not in the
    topology any more is nobody's concern."""
    found: dict[ConditionKey, datetime] = {}
    for each in health:
        if each.reachable is False and each.element_id in topology.nodes:
            found[(each.element_id, None, AlarmKind.UNREACHABLE)] = each.since
    for port in ports:
        end = (port.element_id, port.port)
        linked = topology.far_end(end) is not None
        if end in topology.lines and not linked:
            continue
        if not port.up and (port.was_up or linked) and port.element_id in topology.nodes:
            found[(port.element_id, port.port, AlarmKind.LINK_DOWN)] = port.since
    return found


def alarms_after(
    active: Sequence[Alarm],
    wrong: Mapping[ConditionKey, datetime],
    asked: Collection[ElementId],
    now: datetime,
    new_id: Callable[[], AlarmId],
) -> tuple[tuple[Alarm, ...], tuple[Alarm, ...]]:
    """(active, cleared). A condition reported again by an element that was asked counts as an occurrence."""
    still: list[Alarm] = []
    cleared: list[Alarm] = []
    for alarm in active:
        if alarm.condition not in wrong:
            cleared.append(replace(alarm, cleared_at=now))
        else:
            repeated = alarm.element_id in asked
            still.append(replace(alarm, occurrences=alarm.occurrences + repeated))
    known = {alarm.condition for alarm in active}
    for condition, since in wrong.items():
        if condition not in known:
            element_id, port, kind = condition
            still.append(Alarm(id=new_id(), element_id=element_id, port=port, kind=kind, raised_at=since))
    return tuple(still), tuple(cleared)
