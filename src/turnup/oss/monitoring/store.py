"""The SQL of monitoring. Functions take the connection of the unit or snapshot they run in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, case, delete, func, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import distinct_on, insert

from turnup.contracts.monitoring import Observation
from turnup.kernel.ids import AlarmId, ElementId, ProblemId, ServiceId
from turnup.oss.monitoring import tables
from turnup.oss.monitoring.model import (
    SEVERITY,
    Alarm,
    AlarmKind,
    End,
    Faults,
    Health,
    Outage,
    PortState,
    Problem,
    Session,
    SessionKey,
)
from turnup.runtime.rows import Listing, Rows, Wanted


def _save(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert or replace whole rows by primary key."""
    if not rows:
        return
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    values = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values), list(rows))


# --- sessions --------------------------------------------------------------------------------------------


def cursor(connection: Connection, source: str, *, lock: bool = False) -> tuple[int, datetime | None]:
    """(last source id taken in, when this source was last read to its end)."""
    statement = select(tables.cursor.c.position, tables.cursor.c.heard_until).where(
        tables.cursor.c.source == source
    )
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return (0, None) if row is None else (row.position, row.heard_until)


def move_cursor(connection: Connection, source: str, position: int, heard_until: datetime) -> None:
    _save(connection, tables.cursor, [{"source": source, "position": position, "heard_until": heard_until}])


def heard_until(connection: Connection, sources: Collection[str]) -> datetime | None:
    """When all of these were last read to their ends; None where one never was: its silence says nothing."""
    row = tables.cursor.c
    found = list(
        connection.scalars(select(row.heard_until).where(row.source.in_(list(sources)))),
    )
    return min(found) if sources and len(found) == len(set(sources)) else None


def sessions_for(
    connection: Connection,
    keys: Collection[SessionKey],
    usernames: Collection[str],
    restarted: Collection[str],
) -> dict[SessionKey, Session]:
    """The sessions of these keys, the live ones of these users, and the live ones of these NASes."""
    row = tables.session.c
    live = row.ended_at.is_(None)
    statement = select(tables.session).where(
        or_(
            tuple_(row.nas, row.session_id).in_(list(keys)),
            live & row.username.in_(list(usernames)),
            live & row.nas.in_(list(restarted)),
        )
    )
    found = [_session(each) for each in connection.execute(statement)]
    return {session.key: session for session in found}


def nobodys(connection: Connection, usernames: Collection[str]) -> list[Session]:
    """Sessions of these users whose service was not known."""
    row = tables.session.c
    statement = select(tables.session).where(row.service_id.is_(None), row.username.in_(list(usernames)))
    return [_session(each) for each in connection.execute(statement)]


def nobodys_names(connection: Connection, limit: int) -> list[str]:
    row = tables.session.c
    statement = (
        select(row.username).where(row.service_id.is_(None), row.username != "").distinct().limit(limit)
    )
    return list(connection.scalars(statement))


def save_sessions(connection: Connection, sessions: Collection[Session]) -> None:
    _save(connection, tables.session, [asdict(session) for session in sessions])


def latest_sessions(connection: Connection, services: Collection[ServiceId]) -> dict[ServiceId, Session]:
    """Each service's live session, or its last one."""
    row = tables.session.c
    statement = (
        select(tables.session)
        .ext(distinct_on(row.service_id))
        .where(row.service_id.in_(list(services)))
        .order_by(row.service_id, row.ended_at.is_(None).desc(), row.started_at.desc())
    )
    return {ServiceId(each.service_id): _session(each) for each in connection.execute(statement)}


def sessions_at(connection: Connection, ipv4: str) -> list[Session]:
    """The live sessions with this address, the newest first."""
    row = tables.session.c
    here = select(tables.session).where(row.framed_ipv4 == ipv4, row.ended_at.is_(None))
    return [_session(each) for each in connection.execute(here.order_by(row.started_at.desc()))]


def sessions(connection: Connection, *, live_only: bool, limit: int) -> list[Session]:
    row = tables.session.c
    statement = select(tables.session).order_by(row.started_at.desc()).limit(limit)
    if live_only:
        statement = statement.where(row.ended_at.is_(None))
    return [_session(each) for each in connection.execute(statement)]


def _session(row: Any) -> Session:
    return Session(**row._mapping)


# --- faults ----------------------------------------------------------------------------------------------


def faults(connection: Connection) -> Faults:
    """Health and ports as last seen, and everything that is open."""
    ports = [PortState(**row._mapping) for row in connection.execute(select(tables.port_state))]
    return Faults(
        health={each.element_id: each for each in health(connection)},
        ports={(each.element_id, each.port): each for each in ports},
        alarms=tuple(alarms(connection, active_only=True)),
        problems=tuple(problems(connection, open_only=True)),
        outages=tuple(_outages(connection, tables.outage.c.ended_at.is_(None))),
    )


def health(connection: Connection) -> list[Health]:
    return [Health(**row._mapping) for row in connection.execute(select(tables.health))]


def save_health(connection: Connection, found: Collection[Health]) -> None:
    _save(connection, tables.health, [asdict(each) for each in found])


def save_ports(connection: Connection, ports: Collection[PortState]) -> None:
    _save(connection, tables.port_state, [asdict(each) for each in ports])


def forget_elements(connection: Connection, elements: Collection[ElementId]) -> None:
    for table in (tables.health, tables.port_state):
        connection.execute(delete(table).where(table.c.element_id.in_(list(elements))))


def save_alarms(connection: Connection, found: Collection[Alarm]) -> None:
    _save(connection, tables.alarm, [{**asdict(each), "kind": each.kind.value} for each in found])


def save_problems(connection: Connection, found: Collection[Problem]) -> None:
    _save(connection, tables.problem, [asdict(each) for each in found])


def save_outages(connection: Connection, found: Collection[Outage]) -> None:
    _save(connection, tables.outage, [asdict(each) for each in found])


def alarms(connection: Connection, *, active_only: bool, limit: int = 1000) -> list[Alarm]:
    row = tables.alarm.c
    statement = select(tables.alarm).order_by(row.raised_at.desc(), row.id)
    statement = statement.where(row.cleared_at.is_(None)) if active_only else statement.limit(limit)
    return [_alarm(each) for each in connection.execute(statement)]


_ALARMS = Listing(
    {
        "id": tables.alarm.c.id,
        "state": case((tables.alarm.c.cleared_at.is_(None), "raised"), else_="cleared"),
        "severity": case(SEVERITY, value=tables.alarm.c.kind, else_="indeterminate"),
        "kind": tables.alarm.c.kind,
        "element": tables.alarm.c.element_id,
        "raised_at": tables.alarm.c.raised_at,
        "cleared_at": tables.alarm.c.cleared_at,
        "cause": tables.alarm.c.cause_id,
    },
    identity="id",
    sortable=["raised_at", "severity", "kind"],
)


def alarm_rows(connection: Connection, wanted: Wanted) -> Rows[Alarm]:
    """A page of the alarms, for lists."""
    return _ALARMS.rows(
        connection, select(tables.alarm), wanted, lambda rows: [_alarm(each) for each in rows]
    )


def alarm(connection: Connection, alarm_id: AlarmId) -> Alarm | None:
    row = connection.execute(select(tables.alarm).where(tables.alarm.c.id == alarm_id)).one_or_none()
    return None if row is None else _alarm(row)


def explained(connection: Connection, causes: Collection[AlarmId]) -> dict[AlarmId, int]:
    """How many other alarms each of these is the cause of."""
    cause = tables.alarm.c.cause_id
    statement = select(cause, func.count()).where(cause.in_(list(causes))).group_by(cause)
    return {AlarmId(found): count for found, count in connection.execute(statement)}


def _alarm(row: Any) -> Alarm:
    own = {column.name: getattr(row, column.name) for column in tables.alarm.c}
    return Alarm(**{**own, "id": AlarmId(row.id), "kind": AlarmKind(row.kind)})


_PROBLEMS = Listing(
    {
        "id": tables.problem.c.id,
        "alarm": tables.problem.c.alarm_id,
        "status": case((tables.problem.c.cleared_at.is_(None), "inProgress"), else_="resolved"),
        "opened_at": tables.problem.c.opened_at,
        "cleared_at": tables.problem.c.cleared_at,
    },
    identity="id",
    sortable=["opened_at"],
)


def problem_rows(connection: Connection, wanted: Wanted) -> Rows[Problem]:
    """A page of the problems, for lists."""
    return _PROBLEMS.rows(
        connection, select(tables.problem), wanted, lambda rows: [_problem(each) for each in rows]
    )


def _problem(row: Any) -> Problem:
    return Problem(**{column.name: getattr(row, column.name) for column in tables.problem.c})


def problems(connection: Connection, *, open_only: bool, limit: int = 1000) -> list[Problem]:
    row = tables.problem.c
    statement = select(tables.problem).order_by(row.opened_at.desc(), row.id)
    statement = statement.where(row.cleared_at.is_(None)) if open_only else statement.limit(limit)
    return [Problem(**each._mapping) for each in connection.execute(statement)]


def problems_by_id(connection: Connection, ids: Collection[ProblemId]) -> list[Problem]:
    row = tables.problem.c
    statement = select(tables.problem).where(row.id.in_(list(ids))).order_by(row.opened_at.desc())
    return [Problem(**each._mapping) for each in connection.execute(statement)]


def outages_of_problems(connection: Connection, ids: Collection[ProblemId]) -> list[Outage]:
    return _outages(connection, tables.outage.c.problem_id.in_(list(ids)))


def outages_of_service(connection: Connection, service_id: ServiceId) -> list[Outage]:
    return _outages(connection, tables.outage.c.service_id == service_id)


def open_outages(connection: Connection, services: Collection[ServiceId]) -> list[Outage]:
    row = tables.outage.c
    return _outages(connection, row.service_id.in_(list(services)) & row.ended_at.is_(None))


def last_outage_ends(connection: Connection, services: Collection[ServiceId]) -> dict[ServiceId, datetime]:
    rows = connection.execute(
        text("""SELECT service_id, max(ended_at) AS at FROM monitoring.outage
                WHERE service_id = ANY(:services) AND ended_at IS NOT NULL GROUP BY service_id"""),
        {"services": list(services)},
    )
    return {ServiceId(row.service_id): row.at for row in rows}


def _outages(connection: Connection, where: Any) -> list[Outage]:
    statement = select(tables.outage).where(where).order_by(tables.outage.c.started_at)
    return [Outage(**each._mapping) for each in connection.execute(statement)]


# --- octets over time ------------------------------------------------------------------------------------


def add_samples(connection: Connection, observations: Sequence[Observation]) -> None:
    """Append to each port's row of the hour. A sample not later than the last one is left out, so that adding
    it again changes nothing."""
    rows = [
        {
            "element_id": seen.element_id,
            "port": port,
            "hour": hour,
            "offset_s": int((seen.at - hour).total_seconds()),
            "received": received,
            "sent": sent,
        }
        for seen in observations
        for hour in [seen.at.replace(minute=0, second=0, microsecond=0)]
        for port, (received, sent) in seen.octets.items()
    ]
    if rows:
        connection.execute(
            text("""
            INSERT INTO monitoring.octets AS o (element_id, port, hour, offsets_s, received, sent)
            VALUES (:element_id, :port, :hour, ARRAY[CAST(:offset_s AS smallint)],
                    ARRAY[CAST(:received AS bigint)], ARRAY[CAST(:sent AS bigint)])
            ON CONFLICT (element_id, port, hour) DO UPDATE SET
              offsets_s = o.offsets_s || excluded.offsets_s,
              received = o.received || excluded.received, sent = o.sent || excluded.sent
            WHERE o.offsets_s[array_upper(o.offsets_s, 1)] < excluded.offsets_s[1]"""),
            rows,
        )


def samples(
    connection: Connection, end: End, since: datetime, until: datetime
) -> list[tuple[datetime, int, int]]:
    """(instant, octets received, octets sent) counters of one port in a half-open interval, in order."""
    row = tables.octets.c
    statement = (
        select(row.hour, row.offsets_s, row.received, row.sent)
        .where(row.element_id == end[0], row.port == end[1], row.hour < until)
        .where(row.hour > since - timedelta(hours=1))
        .order_by(row.hour)
    )
    found = [
        (each.hour + timedelta(seconds=offset_s), received, sent)
        for each in connection.execute(statement)
        for offset_s, received, sent in zip(each.offsets_s, each.received, each.sent, strict=True)
    ]
    return [sample for sample in found if since <= sample[0] < until]
