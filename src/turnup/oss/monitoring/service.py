"""Use cases of monitoring: take accounting in, take a poll in, and answer what is known.

Peers and the outside are asked before a unit is opened; the unit then writes what follows, events included.
One worker at a time runs each tick, so nothing moves in between.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from turnup.contracts import inventory, provisioning
from turnup.contracts.inventory import ElementView
from turnup.contracts.monitoring import (
    AccountingRecord,
    AccountingSource,
    AccountingSources,
    AlarmView,
    ElementHealth,
    ElementProbe,
    Observation,
    ProblemView,
    ServiceOutageEnded,
    ServiceOutageStarted,
    SessionView,
)
from turnup.contracts.unit import Unit
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import AlarmId, ElementId, ProblemId, ServiceId, new_id
from turnup.oss.monitoring import store
from turnup.oss.monitoring.model import (
    Alarm,
    Cut,
    Faults,
    Health,
    Node,
    Outage,
    Policy,
    PortState,
    Problem,
    Session,
    Topology,
)
from turnup.oss.monitoring.rules import alarms, causes, outages, sessions
from turnup.runtime.component import Runtime
from turnup.runtime.rows import Rows, Wanted

log = structlog.get_logger(__name__)

_COMPONENT = "monitoring"
_BATCH = 500
_BATCHES_A_TICK = 20
_LOGIN_KEPT_S = 300.0
_LOGINS_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What one poll changes."""

    health: Sequence[Health]
    ports: Sequence[PortState]
    alarms: Sequence[Alarm]
    problems: Sequence[Problem]
    ended: Sequence[Outage]
    started: Sequence[Outage]
    gone: Collection[ElementId]


class Monitoring:
    """Implements contracts.monitoring.Reads, and what the ticks run."""

    def __init__(
        self,
        runtime: Runtime,
        network: inventory.Reads,
        services: provisioning.Reads,
        accounting: AccountingSources,
        probe: ElementProbe,
        policy: Policy,
    ) -> None:
        self._runtime = runtime
        self._network = network
        self._services = services
        self._accounting = accounting
        self._probe = probe
        self._policy = policy
        self._logins: dict[str, tuple[float, ServiceId]] = {}
        self._sampled_at: datetime | None = None

    # --- accounting ---------------------------------------------------------------------------------------

    def take_accounting(self) -> int:
        """Read every AAA server's accounting to its end (or a good deal of it); returns the records taken in.
        A server whose database does not answer is tried again at the next tick, the others go on."""
        taken = 0
        for name, source in self._accounting.sources().items():
            try:
                taken += self._take_source(name, source)
            except Unavailable as error:
                log.warning("accounting_unavailable", source=name, reason=str(error))
        self._find_owners()
        return taken

    def _take_source(self, name: str, source: AccountingSource) -> int:
        taken = 0
        for _ in range(_BATCHES_A_TICK):
            batch, ended = self._take_batch(name, source)
            taken += batch
            if ended:
                break
        return taken

    def _take_batch(self, name: str, source: AccountingSource) -> tuple[int, bool]:
        """(records taken in, whether that was all there is). Cursor, sessions and events in one unit."""
        now = self._runtime.clock.now()
        with self._runtime.snapshot(_COMPONENT) as connection:
            position, heard_until = store.cursor(connection, name)
        records = source.read_after(position, _BATCH)
        at_end = len(records) < _BATCH
        if not records and heard_until is not None and now - heard_until < timedelta(seconds=1):
            return 0, True
        owners = self._owners({record.username for record in records})
        with self._runtime.unit(_COMPONENT, "tick:accounting") as unit:
            if store.cursor(unit.connection, name, lock=True)[0] != position:
                return 0, True  # another worker was faster
            self._absorb(unit, records, owners)
            last = records[-1].source_id if records else position
            store.move_cursor(unit.connection, name, last, now if at_end else heard_until or now)
        return len(records), at_end

    def _absorb(
        self, unit: Unit, records: Sequence[AccountingRecord], owners: Mapping[str, ServiceId]
    ) -> None:
        if not records:
            return
        known = store.sessions_for(
            unit.connection,
            keys={(record.nas, record.session_id) for record in records},
            usernames={record.username for record in records if record.username},
            restarted={record.nas for record in records if record.status.startswith("accounting_")},
        )
        batch = sessions.Sessions(known, unit.now)
        for record in records:
            batch.absorb(record, owners.get(record.username))
        self._tell(unit, list(batch.changed.values()))

    @staticmethod
    def _tell(unit: Unit, changed: Sequence[Session]) -> None:
        """Save sessions, and emit what others have not heard of them, oldest session first."""
        after: list[Session] = []
        for session in sorted(changed, key=lambda each: (each.started_at, each.key)):
            now_told, events = sessions.told(session)
            after.append(now_told)
            for event in events:
                unit.emit(event)
        store.save_sessions(unit.connection, after)

    def _find_owners(self) -> None:
        """Sessions that ran before their service was known: tell of them once it is."""
        with self._runtime.snapshot(_COMPONENT) as connection:
            names = store.nobodys_names(connection, _BATCH)
        owners = self._owners(names)
        if not owners:
            return
        with self._runtime.unit(_COMPONENT, "tick:accounting") as unit:
            found = store.nobodys(unit.connection, list(owners))
            self._tell(unit, [replace(each, service_id=owners[each.username]) for each in found])

    def _owners(self, usernames: Collection[str]) -> dict[str, ServiceId]:
        """User name -> service, where there is one. Known ones are believed for some minutes."""
        now_s = time.monotonic()
        if len(self._logins) > _LOGINS_KEPT:
            self._logins.clear()
        kept = {name: self._logins[name] for name in usernames if name in self._logins}
        found = {name: owner for name, (at_s, owner) in kept.items() if now_s - at_s < _LOGIN_KEPT_S}
        asked = [name for name in usernames if name and name not in found]
        fresh = self._services.services_by_login(asked) if asked else {}
        self._logins |= {name: (now_s, owner) for name, owner in fresh.items()}
        return found | dict(fresh)

    # --- polling ------------------------------------------------------------------------------------------

    def poll(self, *, deadline_s: float) -> int:
        """Ask every element in service and draw the conclusions; returns how many were asked."""
        elements = [each for each in self._network.elements() if each.status == "in_service"]
        seen = self._probe.poll(elements, deadline_s=deadline_s)
        self.take_observations(elements, seen)
        return len(seen)

    def take_observations(self, elements: Sequence[ElementView], seen: Sequence[Observation]) -> None:
        """Alarms, problems and outages after this poll, in one unit."""
        now = self._runtime.clock.now()
        judgement = self._judge(elements, seen, now)
        with self._runtime.unit(_COMPONENT, "tick:poll") as unit:
            store.save_health(unit.connection, judgement.health)
            store.save_ports(unit.connection, judgement.ports)
            store.forget_elements(unit.connection, judgement.gone)
            store.save_alarms(unit.connection, judgement.alarms)
            store.save_problems(unit.connection, judgement.problems)
            self._end_outages(unit, judgement.ended)
            self._start_outages(unit, judgement.started, judgement.problems)
            if self._sample_due(now):
                store.add_samples(unit.connection, seen)
                self._sampled_at = now

    def _sample_due(self, now: datetime) -> bool:
        every = timedelta(seconds=self._policy.sample_every_s)
        return self._sampled_at is None or now - self._sampled_at >= every

    def _judge(
        self, elements: Sequence[ElementView], seen: Sequence[Observation], now: datetime
    ) -> _Judgement:
        topology = self._topology(elements)
        with self._runtime.snapshot(_COMPONENT) as connection:
            before = store.faults(connection)
        health = {
            each.element_id: alarms.health_after(
                before.health.get(each.element_id), each, self._policy.failures_needed
            )
            for each in seen
        }
        ports = [port for each in seen for port in alarms.ports_after(before.ports, each)]
        wrong = alarms.conditions(
            (dict(before.health) | health).values(),
            (dict(before.ports) | {(port.element_id, port.port): port for port in ports}).values(),
            topology,
        )
        asked = {each.element_id for each in seen}
        active, cleared = alarms.alarms_after(before.alarms, wrong, asked, now, lambda: AlarmId(new_id()))
        active = causes.explained(active, topology)
        open_now, closed = outages.problems_after(
            before.problems, active, topology, now, lambda: ProblemId(new_id())
        )
        started, ended = self._outages(before, active, open_now, causes.cuts(active, topology), now)
        changed = [port for port in ports if before.ports.get((port.element_id, port.port)) != port]
        return _Judgement(
            health=list(health.values()),
            ports=changed,
            alarms=[*active, *cleared],
            problems=[*open_now, *closed],
            ended=ended,
            started=started,
            gone=set(before.health) - set(topology.nodes),
        )

    def _topology(self, elements: Sequence[ElementView]) -> Topology:
        nodes = {
            each.id: Node(
                id=each.id,
                code=each.code,
                role=each.role,
                in_band=each.management.get("in_band") == "yes",
            )
            for each in elements
        }
        return Topology(
            nodes=nodes,
            links=tuple(
                ((link.a_element, link.a_port), (link.b_element, link.b_port))
                for link in self._network.links()
                if link.a_element in nodes and link.b_element in nodes
            ),
            lines=frozenset(self._network.single_lines()),
        )

    def _outages(
        self,
        before: Faults,
        active: Sequence[Alarm],
        open_now: Sequence[Problem],
        found: Sequence[Cut],
        now: datetime,
    ) -> tuple[list[Outage], list[Outage]]:
        if not found and not before.outages:
            return [], []
        behind = {cut: self._network.services_behind(cut.element_id, cut.port) for cut in found}
        everyone = {service for each in behind.values() for service in each}
        everyone |= {outage.service_id for outage in before.outages}
        sources = self._accounting.sources().keys()
        with self._runtime.snapshot(_COMPONENT) as connection:
            latest = store.latest_sessions(connection, everyone)
            last_ends = store.last_outage_ends(connection, everyone)
            heard_until = store.heard_until(connection, sources)
        root_of = {alarm.id: alarm.cause_id or alarm.id for alarm in active}
        problem_of = {problem.alarm_id: problem.id for problem in open_now}
        hits: dict[ServiceId, tuple[ProblemId, datetime]] = {}
        for cut, services in behind.items():
            for service_id in services:
                session = latest.get(service_id)
                if service_id in hits or not outages.is_hit(cut, session, heard_until, self._policy):
                    continue
                since = outages.hit_since(cut, session, last_ends.get(service_id))
                hits[service_id] = (problem_of[root_of[cut.alarm_id]], since)
        return outages.outages_after(before.outages, hits, latest, now)

    @staticmethod
    def _end_outages(unit: Unit, ended: Sequence[Outage]) -> None:
        store.save_outages(unit.connection, ended)
        for outage in ended:
            unit.emit(
                ServiceOutageEnded(
                    service_id=outage.service_id,
                    problem_id=outage.problem_id,
                    started_at=outage.started_at,
                    at=outage.ended_at or outage.started_at,
                )
            )

    @staticmethod
    def _start_outages(unit: Unit, started: Sequence[Outage], problems: Sequence[Problem]) -> None:
        cause_of = {problem.id: problem.cause for problem in problems}
        store.save_outages(unit.connection, started)
        for outage in started:
            unit.emit(
                ServiceOutageStarted(
                    service_id=outage.service_id,
                    problem_id=outage.problem_id,
                    cause=cause_of[outage.problem_id],
                    at=outage.started_at,
                )
            )

    # --- reads --------------------------------------------------------------------------------------------

    def session(self, service_id: ServiceId) -> SessionView | None:
        with self._runtime.snapshot(_COMPONENT) as connection:
            found = store.latest_sessions(connection, [service_id]).get(service_id)
        return None if found is None else _session_view(found)

    def last_sessions(self, service_ids: Sequence[ServiceId]) -> Mapping[ServiceId, SessionView]:
        with self._runtime.snapshot(_COMPONENT) as connection:
            found = store.latest_sessions(connection, service_ids)
        return {service_id: _session_view(each) for service_id, each in found.items()}

    def sessions_at(self, ipv4: str) -> Sequence[SessionView]:
        with self._runtime.snapshot(_COMPONENT) as connection:
            return [_session_view(each) for each in store.sessions_at(connection, ipv4)]

    def sessions(self, *, live_only: bool = True, limit: int = 10_000) -> Sequence[SessionView]:
        """The newest first."""
        with self._runtime.snapshot(_COMPONENT) as connection:
            return [
                _session_view(each) for each in store.sessions(connection, live_only=live_only, limit=limit)
            ]

    def alarms(self, *, active_only: bool = True) -> Sequence[AlarmView]:
        with self._runtime.snapshot(_COMPONENT) as connection:
            found = store.alarms(connection, active_only=active_only)
        explained: dict[AlarmId, int] = {}
        for alarm in found:
            if alarm.cause_id is not None:
                explained[alarm.cause_id] = explained.get(alarm.cause_id, 0) + 1
        return [_alarm_view(alarm, explained.get(alarm.id, 0)) for alarm in found]

    def alarm(self, alarm_id: AlarmId) -> AlarmView | None:
        with self._runtime.snapshot(_COMPONENT) as connection:
            found = store.alarm(connection, alarm_id)
            explained = store.explained(connection, [alarm_id])
        return None if found is None else _alarm_view(found, explained.get(alarm_id, 0))

    def alarm_rows(self, wanted: Wanted) -> Rows[AlarmView]:
        """A page of them, for lists."""
        with self._runtime.snapshot(_COMPONENT) as connection:
            found = store.alarm_rows(connection, wanted)
            explained = store.explained(connection, [alarm.id for _, alarm in found.items])
        views = [(key, _alarm_view(alarm, explained.get(alarm.id, 0))) for key, alarm in found.items]
        return Rows(views, found.total)

    def problem(self, problem_id: ProblemId) -> ProblemView | None:
        with self._runtime.snapshot(_COMPONENT) as connection:
            found = store.problems_by_id(connection, [problem_id])
            hit = store.outages_of_problems(connection, [problem_id])
        return next(iter(_problem_views(found, hit)), None)

    def problem_rows(self, wanted: Wanted) -> Rows[ProblemView]:
        """A page of them, for lists."""
        with self._runtime.snapshot(_COMPONENT) as connection:
            found = store.problem_rows(connection, wanted)
            hit = store.outages_of_problems(connection, [problem.id for _, problem in found.items])
        views = _problem_views([problem for _, problem in found.items], hit)
        return Rows([(key, view) for (key, _), view in zip(found.items, views, strict=True)], found.total)

    def problems(self, *, open_only: bool = True) -> Sequence[ProblemView]:
        with self._runtime.snapshot(_COMPONENT) as connection:
            found = store.problems(connection, open_only=open_only)
            hit = store.outages_of_problems(connection, [problem.id for problem in found])
        return _problem_views(found, hit)

    def open_problems_of(self, service_ids: Sequence[ServiceId]) -> Mapping[ServiceId, ProblemView]:
        with self._runtime.snapshot(_COMPONENT) as connection:
            outages_now = store.open_outages(connection, service_ids)
            found = store.problems_by_id(connection, {outage.problem_id for outage in outages_now})
        views = {view.id: view for view in _problem_views(found, outages_now)}
        return {ServiceId(outage.service_id): views[ProblemId(outage.problem_id)] for outage in outages_now}

    def problems_of(self, service_id: ServiceId) -> Sequence[ProblemView]:
        """Every problem that hit the service, the newest first."""
        with self._runtime.snapshot(_COMPONENT) as connection:
            own = {outage.problem_id for outage in store.outages_of_service(connection, service_id)}
            found = store.problems_by_id(connection, own)
            hit = store.outages_of_problems(connection, own)
        return _problem_views(found, hit)

    def health(self) -> Sequence[ElementHealth]:
        with self._runtime.snapshot(_COMPONENT) as connection:
            found = store.health(connection)
        codes = {element.id: element.code for element in self._network.elements()}
        return [
            ElementHealth(
                element_id=each.element_id,
                code=codes[each.element_id],
                reachable=each.reachable,
                checked_at=each.checked_at,
                since=each.since,
                round_trip_ms=each.round_trip_ms,
            )
            for each in found
            if each.element_id in codes
        ]

    def octets(
        self, element_id: ElementId, port: str, since: datetime, until: datetime
    ) -> Sequence[tuple[datetime, int, int]]:
        """(instant, octets received, octets sent): counters as the element had them, in order."""
        with self._runtime.snapshot(_COMPONENT) as connection:
            return store.samples(connection, (element_id, port), since, until)


def _session_view(session: Session) -> SessionView:
    return SessionView(
        service_id=session.service_id,
        username=session.username,
        nas=session.nas,
        session_id=session.session_id,
        started_at=session.started_at,
        last_seen_at=session.last_seen_at,
        ended_at=session.ended_at,
        cause=session.cause,
        upload_octets=session.upload,
        download_octets=session.download,
        framed_ipv4=session.framed_ipv4,
    )


def _alarm_view(alarm: Alarm, root_cause_of: int) -> AlarmView:
    return AlarmView(
        id=alarm.id,
        element_id=alarm.element_id,
        port=alarm.port,
        kind=alarm.kind.value,
        severity=alarm.severity,
        raised_at=alarm.raised_at,
        cleared_at=alarm.cleared_at,
        occurrences=alarm.occurrences,
        root_cause_of=root_cause_of,
        explained_by=alarm.cause_id,
    )


def _problem_views(problems: Sequence[Problem], hit: Sequence[Outage]) -> list[ProblemView]:
    services: dict[ProblemId, set[ServiceId]] = {}
    for outage in hit:
        services.setdefault(outage.problem_id, set()).add(outage.service_id)
    return [
        ProblemView(
            id=problem.id,
            alarm_id=problem.alarm_id,
            cause=problem.cause,
            service_ids=tuple(sorted(services.get(problem.id, ()))),
            opened_at=problem.opened_at,
            cleared_at=problem.cleared_at,
        )
        for problem in problems
    ]
