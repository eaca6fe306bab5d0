"""From root causes to service problems, and to the outage of each service they hit.

Accounting is the witness: a session that still sends records after the failure is in service, whatever our
management network believes. Where only the way of asking failed (no link is seen down), an outage needs the
witness: the session ended with the failure, or accounting was read and stayed silent for the grace period.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from turnup.kernel.ids import AlarmId, ProblemId, ServiceId
from turnup.oss.monitoring.model import Alarm, AlarmKind, Cut, Outage, Policy, Problem, Session, Topology

_AROUND = timedelta(minutes=2)
"""A session that ended so shortly before the first failed poll ended with the failure."""
_ON_ITS_WAY = timedelta(seconds=5)
"""So long may a record take from the NAS to us."""


def problems_after(
    open_problems: Sequence[Problem],
    alarms: Sequence[Alarm],
    topology: Topology,
    now: datetime,
    new_id: Callable[[], ProblemId],
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """(open, cleared): one problem per root cause. A problem stays the same while any of its alarms is in the
    root's company, also when a better root is found; two that turn out to be one leave the older."""
    company: dict[AlarmId, list[Alarm]] = {}
    for alarm in alarms:
        company.setdefault(alarm.cause_id or alarm.id, []).append(alarm)
    left = sorted(open_problems, key=lambda problem: (problem.opened_at, problem.id))
    still: list[Problem] = []
    for root_id, members in company.items():
        ids = {alarm.id for alarm in members}
        root = next(alarm for alarm in members if alarm.id == root_id)
        known = next((problem for problem in left if problem.alarm_id in ids), None)
        if known is None:
            opened_at = min(alarm.raised_at for alarm in members)
            known = Problem(id=new_id(), alarm_id=root_id, cause="", opened_at=opened_at)
        else:
            left.remove(known)
        still.append(replace(known, alarm_id=root_id, cause=cause_text(root, topology)))
    return tuple(still), tuple(replace(problem, cleared_at=now) for problem in left)


def cause_text(alarm: Alarm, topology: Topology) -> str:
    """What failed, in the words of the trade."""
    code = topology.nodes[alarm.element_id].code
    if alarm.kind is AlarmKind.UNREACHABLE:
        return f"{code} is unreachable"
    far = topology.far_end((alarm.element_id, alarm.port or ""))
    if far is None or far[0] not in topology.nodes:
        return f"{code}/{alarm.port} is down"
    return f"the link {code}/{alarm.port} - {topology.nodes[far[0]].code}/{far[1]} is down"


def is_hit(cut: Cut, session: Session | None, heard_until: datetime | None, policy: Policy) -> bool:
    """Does the cut fail a service whose latest session is this? `heard_until`: accounting was read by
    then."""
    grace = timedelta(seconds=policy.accounting_grace_s)
    word = _last_word(cut, session)
    if cut.firm:
        return word is None or (heard_until is not None and heard_until >= word + grace)
    if session is not None and session.ended_at is not None and session.ended_at >= cut.since - _AROUND:
        return True
    return heard_until is not None and heard_until >= (word or cut.since) + grace


def _last_word(cut: Cut, session: Session | None) -> datetime | None:
    """When a live session was last heard of after the cut; by our clock, and not what was on its way then."""
    if session is None or not session.live or session.heard_at <= cut.since + _ON_ITS_WAY:
        return None
    return session.heard_at


def hit_since(cut: Cut, session: Session | None, last_end: datetime | None) -> datetime:
    """When the outage began: at the first failed observation, unless the service was heard of or back
    later."""
    since = _last_word(cut, session) or cut.since
    if last_end is None or last_end <= since:
        return since
    again = session.ended_at if session is not None else None
    return max(last_end, again or last_end)


def outages_after(
    open_outages: Sequence[Outage],
    hits: Mapping[ServiceId, tuple[ProblemId, datetime]],
    sessions: Mapping[ServiceId, Session],
    now: datetime,
) -> tuple[list[Outage], list[Outage]]:
    """(started, ended). An outage lasts from the first failed observation to the clear, or to the start of
    the session that shows the service is back. It goes over from problem to problem without a gap or an
    overlap."""
    started: list[Outage] = []
    ended: list[Outage] = []
    for outage in open_outages:
        hit = hits.get(outage.service_id)
        if hit is not None and hit[0] == outage.problem_id:
            continue
        session = sessions.get(outage.service_id)
        back = session is not None and session.live and session.started_at > outage.started_at
        at = session.started_at if session is not None and back and hit is None else now
        ended.append(replace(outage, ended_at=max(min(at, now), outage.started_at)))
    over = {outage.service_id: outage.ended_at for outage in ended}
    unhurt = {outage.service_id for outage in open_outages} - set(over)
    for service_id, (problem_id, since) in hits.items():
        if service_id in unhurt:
            continue
        start = max(since, over[service_id] or since) if service_id in over else since
        started.append(Outage(service_id=service_id, problem_id=problem_id, started_at=start))
    return started, ended
