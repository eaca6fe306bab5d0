"""The SQL of configuration."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from turnup.contracts.configuration import BackupView, Fragment, FreezeScope
from turnup.kernel.ids import ElementId, FreezeId, ServiceId
from turnup.oss.configuration import tables
from turnup.oss.configuration.model import Backup, Freeze, Intent, Lease


def save_intent(connection: Connection, element_id: ElementId, service_id: ServiceId, intent: Intent) -> bool:
    """Store it unless a newer generation is there; True if anything changed."""
    attributes = None if intent.fragment is None else dict(intent.fragment.attributes)
    statement = insert(tables.intent).values(
        element_id=element_id,
        service_id=service_id,
        kind=intent.kind,
        generation=intent.generation,
        attributes=attributes,
    )
    row = tables.intent.c
    statement = statement.on_conflict_do_update(
        index_elements=["element_id", "service_id"],
        set_={"kind": intent.kind, "generation": intent.generation, "attributes": attributes},
        where=(row.generation <= intent.generation)
        & (
            row.attributes.is_distinct_from(statement.excluded.attributes)
            | (row.generation < intent.generation)
        ),
    )
    # without the option an INSERT's count is -1, which is true
    return bool(connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount)


def intents(
    connection: Connection, element_id: ElementId, service_ids: Sequence[ServiceId] | None
) -> dict[ServiceId, Intent]:
    statement = select(tables.intent).where(tables.intent.c.element_id == element_id)
    if service_ids is not None:
        statement = statement.where(tables.intent.c.service_id.in_(service_ids))
    return {ServiceId(row.service_id): _intent(row) for row in connection.execute(statement)}


def raise_generations(connection: Connection, floor: int) -> int:
    """Every intent below the floor gets it; returns how many."""
    below = update(tables.intent).where(tables.intent.c.generation < floor)
    return connection.execute(below.values(generation=floor)).rowcount


def highest_generation(connection: Connection) -> int:
    return connection.scalar(select(func.max(tables.intent.c.generation))) or 0


def intents_of(connection: Connection, service_id: ServiceId) -> dict[ElementId, Intent]:
    rows = connection.execute(select(tables.intent).where(tables.intent.c.service_id == service_id))
    return {ElementId(row.element_id): _intent(row) for row in rows}


def _intent(row: Any) -> Intent:
    fragment = None
    if row.attributes is not None:
        fragment = Fragment(
            service_id=ServiceId(row.service_id),
            kind=row.kind,
            attributes=row.attributes,
            generation=row.generation,
        )
    return Intent(kind=row.kind, generation=row.generation, fragment=fragment)


_TAKE = text("""
    INSERT INTO configuration.element_state AS s (element_id, holder, token, expires_at)
    VALUES (:element_id, :holder, 1, clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (element_id) DO UPDATE
        SET holder = :holder, token = s.token + 1,
            expires_at = clock_timestamp() + make_interval(secs => :seconds)
        WHERE s.holder IS NULL OR s.expires_at < clock_timestamp()
    RETURNING token
""")


def take_lease(connection: Connection, element_id: ElementId, holder: str, seconds: float) -> Lease | None:
    """None while somebody else holds it."""
    token = connection.scalar(_TAKE, {"element_id": element_id, "holder": holder, "seconds": seconds})
    return None if token is None else Lease(element_id, holder, token)


def give_lease_back(connection: Connection, lease: Lease, changed_at: datetime | None) -> None:
    values: dict[str, Any] = {"holder": None}
    if changed_at is not None:
        values["changed_at"] = changed_at
    connection.execute(
        update(tables.element_state)
        .where(
            tables.element_state.c.element_id == lease.element_id, tables.element_state.c.token == lease.token
        )
        .values(**values)
    )


def free_leases_of(connection: Connection, process: str) -> int:
    """Frees what this process, or anything in it, holds; returns how many elements."""
    state = tables.element_state
    mine = state.c.holder.startswith(f"{process}/", autoescape=True)
    return connection.execute(update(state).where(mine).values(holder=None)).rowcount


def save_credential(connection: Connection, element_id: ElementId, sealed: bytes, now: datetime) -> None:
    values = {"sealed": sealed, "changed_at": now}
    statement = insert(tables.credential).values(element_id=element_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["element_id"], set_=values))


def credential(connection: Connection, element_id: ElementId) -> bytes | None:
    found: bytes | None = connection.scalar(
        select(tables.credential.c.sealed).where(tables.credential.c.element_id == element_id)
    )
    return found


def last_backup(connection: Connection, element_id: ElementId) -> Backup | None:
    row = connection.execute(
        select(tables.backup)
        .where(tables.backup.c.element_id == element_id)
        .order_by(tables.backup.c.revision.desc())
        .limit(1)
    ).first()
    return None if row is None else _backup(row)


def load_backup(connection: Connection, element_id: ElementId, revision: int) -> Backup | None:
    row = connection.execute(
        select(tables.backup).where(
            tables.backup.c.element_id == element_id, tables.backup.c.revision == revision
        )
    ).first()
    return None if row is None else _backup(row)


def _backup(row: Any) -> Backup:
    return Backup(ElementId(row.element_id), row.revision, row.taken_at, row.sha256, row.cause, row.text)


def add_backup(connection: Connection, backup: Backup) -> None:
    connection.execute(
        insert(tables.backup).values(
            element_id=backup.element_id,
            revision=backup.revision,
            taken_at=backup.taken_at,
            sha256=backup.sha256,
            cause=backup.cause,
            text=backup.text,
        )
    )


def note_backed_up(connection: Connection, element_id: ElementId, now: datetime) -> None:
    connection.execute(
        update(tables.element_state)
        .where(tables.element_state.c.element_id == element_id)
        .values(backed_up_at=now)
    )


def backups(connection: Connection, element_id: ElementId) -> list[BackupView]:
    rows = connection.execute(
        select(tables.backup)
        .where(tables.backup.c.element_id == element_id)
        .order_by(tables.backup.c.revision.desc())
    )
    return [
        BackupView(
            element_id=ElementId(row.element_id),
            revision=row.revision,
            taken_at=row.taken_at,
            sha256=row.sha256,
            cause=row.cause,
        )
        for row in rows
    ]


def changed_since_backup(connection: Connection) -> list[ElementId]:
    """Elements that we changed after their last backup."""
    state = tables.element_state.c
    rows = connection.execute(
        select(state.element_id).where(
            state.changed_at.is_not(None),
            func.coalesce(state.backed_up_at, state.changed_at - text("interval '1 second'"))
            < state.changed_at,
        )
    )
    return [ElementId(row[0]) for row in rows]


def sealed_credentials(connection: Connection) -> list[tuple[ElementId, bytes]]:
    found = tables.credential.c
    rows = connection.execute(select(found.element_id, found.sealed).order_by(found.element_id))
    return [(ElementId(row.element_id), bytes(row.sealed)) for row in rows]


def reseal_credential(connection: Connection, element_id: ElementId, old: bytes, new: bytes) -> bool:
    """False where somebody has set another in the meantime: that one has the new key already."""
    found = tables.credential.c
    done = connection.execute(
        update(tables.credential)
        .where(found.element_id == element_id, found.sealed == old)
        .values(sealed=new)
    )
    return bool(done.rowcount)


def sealed_attributes(
    connection: Connection, names: Sequence[str]
) -> list[tuple[ElementId, ServiceId, str, str]]:
    """(element, service, attribute, value) of every intent that has one of these attributes."""
    found = tables.intent.c
    return [
        (ElementId(row.element_id), ServiceId(row.service_id), name, str(row.value))
        for name in names
        for row in connection.execute(
            select(found.element_id, found.service_id, found.attributes[name].astext.label("value"))
            .where(found.attributes.has_key(name))
            .order_by(found.element_id, found.service_id)
        )
    ]


_RESEAL = text("""
    UPDATE configuration.intent
    SET attributes = jsonb_set(attributes, ARRAY[:name], to_jsonb(CAST(:new AS text)))
    WHERE element_id = :element_id AND service_id = :service_id AND attributes ->> :name = :old
""")


def reseal_attribute(
    connection: Connection, element_id: ElementId, service_id: ServiceId, name: str, old: str, new: str
) -> bool:
    """False where the intent has changed in the meantime."""
    where = {"element_id": element_id, "service_id": service_id, "name": name, "old": old, "new": new}
    return bool(connection.execute(_RESEAL, where).rowcount)


# --- freezes ---------------------------------------------------------------------------------------------


def add_freeze(connection: Connection, freeze: Freeze) -> bool:
    """False if this is frozen already."""
    statement = insert(tables.freeze).values(
        freeze_id=freeze.id,
        scope=freeze.scope.value,
        target_id=freeze.target_id,
        code=freeze.code,
        reason=freeze.reason,
        frozen_by=freeze.frozen_by,
        frozen_at=freeze.frozen_at,
    )
    added = connection.execute(
        statement.on_conflict_do_nothing(), execution_options={"preserve_rowcount": True}
    )
    return bool(added.rowcount)


def freezes(connection: Connection, *, active_only: bool) -> list[Freeze]:
    """The oldest first."""
    statement = select(tables.freeze).order_by(tables.freeze.c.frozen_at, tables.freeze.c.freeze_id)
    if active_only:
        statement = statement.where(tables.freeze.c.lifted_at.is_(None))
    return [_freeze(row) for row in connection.execute(statement)]


def load_freeze(connection: Connection, freeze_id: FreezeId) -> Freeze | None:
    row = connection.execute(
        select(tables.freeze).where(tables.freeze.c.freeze_id == freeze_id).with_for_update()
    ).first()
    return None if row is None else _freeze(row)


def lift_freeze(connection: Connection, freeze_id: FreezeId, by: str, at: datetime, reason: str) -> None:
    connection.execute(
        update(tables.freeze)
        .where(tables.freeze.c.freeze_id == freeze_id, tables.freeze.c.lifted_at.is_(None))
        .values(lifted_by=by, lifted_at=at, lift_reason=reason)
    )


def leases_held(connection: Connection) -> dict[ElementId, int]:
    """Who is being configured now: element -> the lease's token."""
    state = tables.element_state.c
    rows = connection.execute(
        select(state.element_id, state.token).where(
            state.holder.is_not(None), state.expires_at > func.clock_timestamp()
        )
    )
    return {ElementId(row.element_id): row.token for row in rows}


def _freeze(row: Any) -> Freeze:
    return Freeze(
        id=FreezeId(row.freeze_id),
        scope=FreezeScope(row.scope),
        target_id=row.target_id,
        code=row.code,
        reason=row.reason,
        frozen_by=row.frozen_by,
        frozen_at=row.frozen_at,
        lifted_by=row.lifted_by,
        lifted_at=row.lifted_at,
        lift_reason=row.lift_reason,
    )
