"""The SQL of provisioning."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Connection, TextClause, case, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from turnup.contracts.catalog import ServiceSpec
from turnup.contracts.provisioning import (
    Admission,
    Cause,
    CauseKind,
    HoldState,
    Management,
    ServiceFacts,
    ServiceState,
)
from turnup.kernel.ids import AccountId, AddressId, CustomerId, ElementId, HoldId, ProductId, ServiceId
from turnup.oss.provisioning import tables
from turnup.oss.provisioning.model import Hold, Service
from turnup.runtime.rows import Listing, Rows, Wanted

HOLDS_SHOWN = 10_000
"""So far back the decided requests of the brake are listed."""
_spec = TypeAdapter(ServiceSpec)
_elements = TypeAdapter(dict[str, ElementId])


def next_number(connection: Connection) -> str:
    return f"S-{connection.scalar(select(func.nextval('provisioning.service_number')))}"


def load(connection: Connection, service_id: ServiceId, *, lock: bool = False) -> Service | None:
    return _one(connection, tables.service.c.service_id == service_id, lock=lock)


def load_by(connection: Connection, **where: object) -> Service | None:
    (name, value) = next(iter(where.items()))
    return _one(connection, tables.service.c[name] == value, lock=False)


def _one(connection: Connection, condition: Any, *, lock: bool) -> Service | None:
    statement = select(tables.service).where(condition)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else _service(row)


def lock_many(connection: Connection, service_ids: Collection[ServiceId]) -> dict[ServiceId, Service]:
    """Those of them that exist, locked in the order of their ids."""
    wanted = tables.service.c.service_id.in_(service_ids)
    statement = select(tables.service).where(wanted).order_by(tables.service.c.service_id).with_for_update()
    return {ServiceId(row.service_id): _service(row) for row in connection.execute(statement)}


# What sessions tell is written alone, for many services at once: who dials in again with everybody else must
# not cost a whole row each. Locked in the order of ids.
_SEEN = """
    UPDATE provisioning.service s SET {changes}
    FROM (SELECT l.service_id, seen.at FROM provisioning.service l
          JOIN unnest(CAST(:ids AS uuid[]), CAST(:instants AS timestamptz[])) AS seen (id, at)
            ON seen.id = l.service_id
          ORDER BY l.service_id FOR UPDATE OF l) news
    WHERE s.service_id = news.service_id"""
_ONLINE = text(_SEEN.format(changes="online = true, online_changed_at = news.at"))
_OFFLINE = text(
    _SEEN.format(
        changes="online = false, online_changed_at = news.at, speed_down_kbps = NULL, speed_up_kbps = NULL"
    )
)
_TRAFFIC = text(_SEEN.format(changes="traffic_seen_at = news.at"))

Instants = Mapping[ServiceId, datetime]


def note_online(connection: Connection, since: Instants) -> None:
    _note(connection, _ONLINE, since)


def note_offline(connection: Connection, since: Instants) -> None:
    _note(connection, _OFFLINE, since)


def note_traffic(connection: Connection, at: Instants) -> None:
    _note(connection, _TRAFFIC, at)


def _note(connection: Connection, statement: TextClause, instants: Instants) -> None:
    if instants:
        connection.execute(statement, {"ids": list(instants), "instants": list(instants.values())})


def ids_by_login(connection: Connection, logins: Sequence[str]) -> dict[str, ServiceId]:
    row = tables.service.c
    found = connection.execute(select(row.login, row.service_id).where(row.login.in_(logins)))
    return {login: ServiceId(service_id) for login, service_id in found}


def ids_of_accounts(connection: Connection, accounts: Sequence[UUID]) -> list[ServiceId]:
    """Every service these accounts have or had."""
    row = tables.service.c
    found = connection.scalars(
        select(row.service_id).where(row.account_id.in_(accounts)).order_by(row.service_id)
    )
    return [ServiceId(service_id) for service_id in found]


def load_of_accounts(connection: Connection, accounts: Sequence[UUID]) -> list[Service]:
    """Every service these accounts have or had, by number."""
    row = tables.service.c
    statement = select(tables.service).where(row.account_id.in_(accounts)).order_by(row.number)
    return [_service(found) for found in connection.execute(statement)]


def load_many(connection: Connection, service_ids: Sequence[ServiceId] | None) -> list[Service]:
    statement = select(tables.service).order_by(tables.service.c.service_id)
    if service_ids is not None:
        statement = statement.where(tables.service.c.service_id.in_(service_ids))
    return [_service(row) for row in connection.execute(statement)]


_SERVICES = Listing(
    {
        "id": tables.service.c.service_id,
        "number": tables.service.c.number,
        "state": tables.service.c.state,
        "management": tables.service.c.management,
        "login": tables.service.c.login,
        "product": tables.service.c.product_id,
        "online": tables.service.c.online,
    },
    identity="id",
    sortable=["number", "state"],
)


def service_rows(connection: Connection, wanted: Wanted) -> Rows[Service]:
    """A page of the services, for lists."""
    statement = select(tables.service)
    return _SERVICES.rows(connection, statement, wanted, lambda rows: [_service(row) for row in rows])


def add(connection: Connection, service: Service, now: datetime) -> None:
    connection.execute(insert(tables.service).values(created_at=now, **_row(service)))


def save(connection: Connection, service: Service) -> None:
    connection.execute(
        update(tables.service).where(tables.service.c.service_id == service.id).values(**_row(service))
    )


def raise_generations(connection: Connection, floor: int) -> int:
    """Every generation below the floor becomes it; what was proved stays so. Returns how many rose."""
    service = tables.service
    proved = case(
        (service.c.verified_generation == service.c.generation, floor), else_=service.c.verified_generation
    )
    below = update(service).where(service.c.generation < floor)
    return connection.execute(below.values(generation=floor, verified_generation=proved)).rowcount


def highest_generation(connection: Connection) -> int:
    return connection.scalar(select(func.max(tables.service.c.generation))) or 0


def only_observe(connection: Connection, service_ids: Sequence[ServiceId]) -> int:
    service = tables.service
    chosen = service.c.service_id.in_(service_ids)
    changed = update(service).where(chosen).values(management=Management.OBSERVED.value)
    return connection.execute(changed).rowcount


def _service(row: Any) -> Service:
    speeds = None if row.speed_down_kbps is None else (row.speed_down_kbps, row.speed_up_kbps)
    return Service(
        id=ServiceId(row.service_id),
        number=row.number,
        product_id=ProductId(row.product_id),
        customer_id=CustomerId(row.customer_id),
        account_id=AccountId(row.account_id),
        address_id=None if row.address_id is None else AddressId(row.address_id),
        spec=_spec.validate_python(row.spec),
        state=ServiceState(row.state),
        management=Management(row.management),
        admission=Admission(row.admission),
        generation=row.generation,
        verified_generation=row.verified_generation,
        characteristics=row.characteristics,
        resources=row.resources,
        elements=_elements.validate_python(row.elements),
        login=row.login,
        secret_sealed=row.secret_sealed,
        facts=ServiceFacts(
            configuration_present=row.configuration_present,
            configuration_read_at=row.configuration_read_at,
            online=row.online,
            online_changed_at=row.online_changed_at,
            traffic_seen_at=row.traffic_seen_at,
            speeds_kbps=speeds,
        ),
        configured_at=row.configured_at,
        first_online_at=row.first_online_at,
        accepted_at=row.accepted_at,
        reason=row.reason,
    )


def _row(service: Service) -> Mapping[str, Any]:
    facts = service.facts
    return {
        "service_id": service.id,
        "number": service.number,
        "product_id": service.product_id,
        "customer_id": service.customer_id,
        "account_id": service.account_id,
        "address_id": service.address_id,
        "spec": _spec.dump_python(service.spec, mode="json"),
        "state": service.state.value,
        "management": service.management.value,
        "admission": service.admission.value,
        "generation": service.generation,
        "verified_generation": service.verified_generation,
        "characteristics": dict(service.characteristics),
        "resources": dict(service.resources),
        "elements": {role: str(element) for role, element in service.elements.items()},
        "login": service.login,
        "secret_sealed": service.secret_sealed,
        "reason": service.reason,
        "configured_at": service.configured_at,
        "first_online_at": service.first_online_at,
        "accepted_at": service.accepted_at,
        "configuration_present": facts.configuration_present,
        "configuration_read_at": facts.configuration_read_at,
        "online": facts.online,
        "online_changed_at": facts.online_changed_at,
        "traffic_seen_at": facts.traffic_seen_at,
        "speed_down_kbps": facts.speeds_kbps[0] if facts.speeds_kbps else None,
        "speed_up_kbps": facts.speeds_kbps[1] if facts.speeds_kbps else None,
    }


def sealed_secrets(connection: Connection) -> list[tuple[ServiceId, str]]:
    found = tables.service.c
    rows = connection.execute(select(found.service_id, found.secret_sealed).order_by(found.service_id))
    return [(ServiceId(row.service_id), row.secret_sealed) for row in rows]


def reseal_secret(connection: Connection, service_id: ServiceId, old: str, new: str) -> bool:
    """False where the secret has changed in the meantime."""
    found = tables.service.c
    done = connection.execute(
        update(tables.service)
        .where(found.service_id == service_id, found.secret_sealed == old)
        .values(secret_sealed=new)
    )
    return bool(done.rowcount)


# --- the brake -------------------------------------------------------------------------------------------

_SCOPE = "all"


def lock_brake(connection: Connection) -> datetime | None:
    """Wait for every other automatic change to be decided; returns when the last one counted."""
    connection.execute(
        upsert(tables.brake).values(scope=_SCOPE).on_conflict_do_nothing(index_elements=["scope"])
    )
    row = connection.execute(
        select(tables.brake.c.latest_at).where(tables.brake.c.scope == _SCOPE).with_for_update()
    ).one()
    latest: datetime | None = row.latest_at
    return latest


def passed(connection: Connection, request: str) -> set[ServiceId]:
    rows = connection.execute(
        select(tables.brake_pass.c.service_id).where(tables.brake_pass.c.request == request)
    )
    return {ServiceId(row.service_id) for row in rows}


def used_since(connection: Connection, start: datetime) -> int:
    """Changes that counted after `start`, the clock's wanderings into the future included."""
    table = tables.brake_pass
    return (
        connection.scalar(
            select(func.count()).select_from(table).where(table.c.at > start, ~table.c.released)
        )
        or 0
    )


def add_passes(
    connection: Connection, request: str, services: Sequence[ServiceId], at: datetime, *, released: bool
) -> None:
    rows = [{"request": request, "service_id": s, "at": at, "released": released} for s in services]
    if not rows:
        return
    connection.execute(upsert(tables.brake_pass).on_conflict_do_nothing(), rows)
    if not released:
        connection.execute(update(tables.brake).where(tables.brake.c.scope == _SCOPE).values(latest_at=at))


def forget_passes(connection: Connection, before: datetime) -> None:
    connection.execute(delete(tables.brake_pass).where(tables.brake_pass.c.at < before))


def count_services(connection: Connection) -> int:
    """Services that are on the network, or were meant to be."""
    over = [ServiceState.CEASED.value, ServiceState.RESERVED.value]
    table = tables.service
    return connection.scalar(select(func.count()).select_from(table).where(table.c.state.not_in(over))) or 0


def add_hold(connection: Connection, hold: Hold) -> None:
    connection.execute(
        insert(tables.brake_hold).values(
            hold_id=hold.id,
            request=hold.cause.key,
            kind=hold.cause.kind.value,
            cause=hold.cause.text,
            actor=hold.actor,
            what=hold.what,
            services=[str(service_id) for service_id in hold.service_ids],
            facts=dict(hold.facts),
            held_at=hold.held_at,
            state=HoldState.HELD.value,
        )
    )


def hold_by_request(connection: Connection, request: str) -> Hold | None:
    table = tables.brake_hold
    row = connection.execute(select(table).where(table.c.request == request)).first()
    return None if row is None else _hold(row)


def hold(connection: Connection, hold_id: HoldId) -> Hold | None:
    table = tables.brake_hold
    row = connection.execute(select(table).where(table.c.hold_id == hold_id)).first()
    return None if row is None else _hold(row)


def latest_hold(connection: Connection, request_start: str) -> Hold | None:
    """The last one whose request starts so."""
    table = tables.brake_hold
    row = connection.execute(
        select(table)
        .where(table.c.request.startswith(request_start, autoescape=True))
        .order_by(table.c.n.desc())
        .limit(1)
    ).first()
    return None if row is None else _hold(row)


def waiting_holds(connection: Connection, hold_ids: Sequence[HoldId] | None = None) -> list[Hold]:
    """Undecided, in their order; of these ids or all."""
    table = tables.brake_hold
    statement = select(table).where(table.c.state == HoldState.HELD.value).order_by(table.c.n)
    if hold_ids is not None:
        statement = statement.where(table.c.hold_id.in_(hold_ids))
    return [_hold(row) for row in connection.execute(statement.with_for_update())]


def holds(connection: Connection, *, open_only: bool) -> list[Hold]:
    """All that wait, in their order; without `open_only` what was decided of the latest HOLDS_SHOWN, too."""
    table = tables.brake_hold
    shown = table.c.state == HoldState.HELD.value
    if not open_only:
        latest = select(func.max(table.c.n)).scalar_subquery()
        shown = shown | (table.c.n > latest - HOLDS_SHOWN)
    return [_hold(row) for row in connection.execute(select(table).where(shown).order_by(table.c.n))]


def waiting_summary(connection: Connection) -> tuple[int, int, datetime | None]:
    """(requests that wait, services in them, since when)."""
    table = tables.brake_hold
    services = func.coalesce(func.sum(func.jsonb_array_length(table.c.services)), 0)
    row = connection.execute(
        select(func.count(), services, func.min(table.c.held_at)).where(table.c.state == HoldState.HELD.value)
    ).one()
    return int(row[0]), int(row[1]), row[2]


def count_waiting(connection: Connection) -> int:
    table = tables.brake_hold
    found = select(func.count()).select_from(table).where(table.c.state == HoldState.HELD.value)
    return connection.scalar(found) or 0


def decide_hold(
    connection: Connection, hold_id: HoldId, state: HoldState, by: str, at: datetime, reason: str
) -> None:
    connection.execute(
        update(tables.brake_hold)
        .where(tables.brake_hold.c.hold_id == hold_id)
        .values(state=state.value, decided_by=by, decided_at=at, decision_reason=reason)
    )


def _hold(row: Any) -> Hold:
    return Hold(
        id=HoldId(row.hold_id),
        n=row.n,
        cause=Cause(CauseKind(row.kind), row.request, row.cause),
        actor=row.actor,
        what=row.what,
        service_ids=tuple(ServiceId(UUID(each)) for each in row.services),
        facts=row.facts,
        held_at=row.held_at,
        state=HoldState(row.state),
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        decision_reason=row.decision_reason,
    )


# --- waiting for a freeze to be lifted -------------------------------------------------------------------


def add_waiting(connection: Connection, service_id: ServiceId, now: datetime) -> None:
    statement = upsert(tables.waiting).values(service_id=service_id, since=now)
    connection.execute(statement.on_conflict_do_nothing())


def waiting(connection: Connection, limit: int) -> list[ServiceId]:
    rows = connection.execute(
        select(tables.waiting.c.service_id)
        .order_by(tables.waiting.c.since, tables.waiting.c.service_id)
        .limit(limit)
    )
    return [ServiceId(row.service_id) for row in rows]


def remove_waiting(connection: Connection, service_id: ServiceId) -> bool:
    """True for the one who removed it."""
    table = tables.waiting
    return bool(connection.execute(delete(table).where(table.c.service_id == service_id)).rowcount)
