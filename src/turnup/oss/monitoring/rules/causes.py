"""Which alarm explains which, and what is cut off: root cause over the topology.

Deterministic for now; a choice by maximum likelihood over many causes can take its place. The order of
belief: a dead element explains the far ends of its links and everything that is reached only through it; a
cut link explains its other end, and an element that is managed over that link.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from turnup.kernel.ids import AlarmId, ElementId
from turnup.oss.monitoring.model import Alarm, AlarmKind, Cut, End, Topology

CORE = "bng"


def explained(alarms: Sequence[Alarm], topology: Topology) -> tuple[Alarm, ...]:
    """The alarms, each with the root that explains it as `cause_id` (None: it is a root itself)."""
    by_condition = {alarm.condition: alarm for alarm in alarms}
    dominated = _dominated(alarms, topology)
    causes: dict[AlarmId, AlarmId] = {}
    for alarm in alarms:
        if alarm.kind is AlarmKind.LINK_DOWN:
            cause = _cause_of_link(alarm, by_condition, topology)
        else:
            cause = dominated.get(alarm.element_id) or _cause_in_band(alarm, alarms, topology)
        if cause is not None:
            causes[alarm.id] = cause.id
    return tuple(replace(alarm, cause_id=_root(alarm.id, causes)) for alarm in alarms)


def _dominated(alarms: Sequence[Alarm], topology: Topology) -> dict[ElementId, Alarm]:
    """Element -> the unreachable element that all its ways out lead through."""
    never = without_path(topology, (), ())
    found: dict[ElementId, Alarm] = {}
    dead = [alarm for alarm in alarms if alarm.kind is AlarmKind.UNREACHABLE]
    for alarm in sorted(dead, key=lambda each: (each.raised_at, each.id)):
        for element_id in without_path(topology, {alarm.element_id}, ()) - never - {alarm.element_id}:
            found.setdefault(element_id, alarm)
    return found


def _root(alarm_id: AlarmId, causes: Mapping[AlarmId, AlarmId]) -> AlarmId | None:
    seen = {alarm_id}
    at = alarm_id
    while at in causes and causes[at] not in seen:
        at = causes[at]
        seen.add(at)
    return None if at == alarm_id else at


def _cause_in_band(alarm: Alarm, alarms: Sequence[Alarm], topology: Topology) -> Alarm | None:
    """The cut link over which the unreachable element is managed."""
    node = topology.nodes.get(alarm.element_id)
    if node is None or not node.in_band:
        return None
    links = [each for each in alarms if each.kind is AlarmKind.LINK_DOWN]
    ends = {(each.element_id, each.port or "") for each in links}
    if alarm.element_id not in without_path(topology, (), ends) - without_path(topology, (), ()):
        return None
    near = [
        each
        for each in links
        if (far := topology.far_end((each.element_id, each.port or ""))) and far[0] == alarm.element_id
    ]
    return min(near, key=lambda each: (each.raised_at, each.id), default=None)


def _cause_of_link(
    alarm: Alarm, by_condition: Mapping[tuple[ElementId, str | None, AlarmKind], Alarm], topology: Topology
) -> Alarm | None:
    far = topology.far_end((alarm.element_id, alarm.port or ""))
    if far is None:
        return None
    dead = by_condition.get((far[0], None, AlarmKind.UNREACHABLE))
    node = topology.nodes.get(far[0])
    if dead is not None and node is not None and not node.in_band:
        return dead
    other = by_condition.get((far[0], far[1], AlarmKind.LINK_DOWN))
    return other if other is not None and _upstream(topology, other) < _upstream(topology, alarm) else None


def _upstream(topology: Topology, alarm: Alarm) -> tuple[bool, ElementId]:
    """Sorts the BNG's end of a link first."""
    node = topology.nodes.get(alarm.element_id)
    return node is None or node.role != CORE, alarm.element_id


def without_path(
    topology: Topology, dead: Collection[ElementId], dead_ends: Collection[End]
) -> set[ElementId]:
    """Elements that reach no living BNG when these elements and links (by either end) are gone. Elements that
    no link mentions are alone, not cut off, unless dead themselves."""
    near: dict[ElementId, set[ElementId]] = {}
    linked: set[ElementId] = set()
    for a, b in topology.links:
        linked |= {a[0], b[0]}
        if a in dead_ends or b in dead_ends or a[0] in dead or b[0] in dead:
            continue
        near.setdefault(a[0], set()).add(b[0])
        near.setdefault(b[0], set()).add(a[0])
    reached = {node.id for node in topology.nodes.values() if node.role == CORE and node.id not in dead}
    front = list(reached)
    while front:
        fresh = near.get(front.pop(), set()) - reached
        reached |= fresh
        front += fresh
    return {
        node.id
        for node in topology.nodes.values()
        if node.role != CORE and node.id not in reached and (node.id in linked or node.id in dead)
    }


def cuts(alarms: Sequence[Alarm], topology: Topology) -> list[Cut]:
    """The parts of the network without a way out, each put down to the alarm whose coming cut it off."""
    links = [alarm for alarm in alarms if alarm.kind is AlarmKind.LINK_DOWN]
    firm = _cut_elements(links, topology, firm=True)
    soft = [cut for cut in _cut_elements(alarms, topology, firm=False) if cut.element_id not in _ids(firm)]
    ports = [
        Cut(element_id=alarm.element_id, port=alarm.port, alarm_id=alarm.id, since=alarm.raised_at, firm=True)
        for alarm in links
        if topology.far_end((alarm.element_id, alarm.port or "")) is None
        and topology.nodes[alarm.element_id].role == "access"
    ]
    return [*firm, *soft, *ports]


def _ids(found: Sequence[Cut]) -> set[ElementId]:
    return {cut.element_id for cut in found}


def _cut_elements(alarms: Sequence[Alarm], topology: Topology, *, firm: bool) -> list[Cut]:
    found: dict[ElementId, Cut] = {}
    dead: set[ElementId] = set()
    ends: set[End] = set()
    never = without_path(topology, (), ())  # the document knows no way for them: no failure of ours
    for alarm in sorted(alarms, key=lambda each: (each.raised_at, each.cause_id is not None, each.id)):
        if alarm.kind is AlarmKind.UNREACHABLE:
            dead.add(alarm.element_id)
        else:
            ends.add((alarm.element_id, alarm.port or ""))
        for element_id in without_path(topology, dead, ends) - set(found) - (never - dead):
            if topology.nodes[element_id].role == "access":
                found[element_id] = Cut(
                    element_id=element_id, port=None, alarm_id=alarm.id, since=alarm.raised_at, firm=firm
                )
    return list(found.values())
