"""Staff: who works here, with which roles, confined to what. Names are never deleted nor given twice.

Functions on a unit of work opened by `access_unit`; each change is audited there, no secret with it.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from turnup.kernel.access import ROLES, Roles, check_password, check_roles, scopes_of
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.kernel.ids import BrandId, LegalEntityId
from turnup.runtime.access import lockout
from turnup.runtime.access.passwords import hash_password
from turnup.runtime.component import Runtime
from turnup.runtime.tables import api_token, staff_session
from turnup.runtime.tables import staff as table
from turnup.runtime.unit_of_work import UnitOfWork

COMPONENT = "access"
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,62}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class StaffView:
    """A staff member as she may be shown."""

    name: str
    roles: tuple[str, ...]
    legal_entity_id: LegalEntityId | None
    brand_id: BrandId | None
    has_password: bool
    oidc_identity: str | None
    created_at: datetime
    last_login_at: datetime | None
    disabled_at: datetime | None

    @property
    def active(self) -> bool:
        return self.disabled_at is None

    def scopes(self, known: Roles = ROLES) -> frozenset[str]:
        return scopes_of(self.roles, known)


@contextmanager
def access_unit(runtime: Runtime, actor: str) -> Iterator[UnitOfWork]:
    """One transaction on the runtime's own tables, with its audit entries."""
    with runtime.database.engine.begin() as connection:
        unit = unit_on(connection, runtime, actor)
        yield unit
        unit.flush()


def unit_on(connection: Connection, runtime: Runtime, actor: str) -> UnitOfWork:
    """The same in a transaction that somebody else commits; the caller flushes it."""
    return UnitOfWork(
        connection, COMPONENT, now=runtime.clock.now(), actor=actor, enqueue=runtime.durable.enqueue
    )


def grant(
    unit: UnitOfWork,
    name: str,
    roles: Sequence[str],
    *,
    known: Roles = ROLES,
    legal_entity_id: LegalEntityId | None = None,
    brand_id: BrandId | None = None,
    oidc_identity: str | None = None,
) -> None:
    """There is a staff member of this name, let in, with exactly these roles and confines; repeating it
    changes nothing. `oidc_identity` None leaves what is there. Raises InvalidInput, Conflict."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no staff name", field="name", remedy="3 to 64 of a-z, 0-9, dot, dash: anna.berg"
        )
    check_roles(roles, known)
    before = find(unit.connection, name)
    wanted = {
        "roles": sorted(set(roles)),
        "legal_entity_id": legal_entity_id,
        "brand_id": brand_id,
        "oidc_identity": oidc_identity or (before.oidc_identity if before else None),
        "disabled_at": None,
    }
    if before is not None and wanted["oidc_identity"] != before.oidc_identity:
        wanted["oidc_subject"] = None  # another account there: its first login is awaited
    try:
        with unit.connection.begin_nested():
            if before is None:
                row = {"name": name, "created_at": unit.now, **wanted}
                unit.connection.execute(insert(table).values(row))
            else:
                unit.connection.execute(update(table).where(table.c.name == name).values(wanted))
    except IntegrityError as error:
        raise Conflict(
            f"{oidc_identity!r} is another staff member's",
            field="oidc_identity",
            remedy="`turnup staff list` shows whose",
        ) from error
    after = find(unit.connection, name)
    if after != before:
        unit.audit("staff.granted", name, before and _audited(before), after and _audited(after))


def _audited(view: StaffView) -> dict[str, object]:
    """Without the OpenID identity, which may be a mail address."""
    return {
        "roles": list(view.roles),
        "legal_entity_id": str(view.legal_entity_id) if view.legal_entity_id else None,
        "brand_id": str(view.brand_id) if view.brand_id else None,
        "active": view.active,
    }


def set_password(unit: UnitOfWork, name: str, password: str) -> None:
    """Her password from now on; every session of hers ends. Raises InvalidInput, NotFound."""
    existing(unit.connection, name)
    check_password(name, password)
    unit.connection.execute(
        update(table).where(table.c.name == name).values(password_hash=hash_password(password))
    )
    end_sessions(unit, name)
    lockout.forgive(unit.connection, name)
    unit.audit("staff.password_set", name)


def disable(unit: UnitOfWork, name: str) -> None:
    """She gets in no more: sessions end, her tokens open nothing. Repeating it changes nothing."""
    view = existing(unit.connection, name)
    if not view.active:
        return
    unit.connection.execute(update(table).where(table.c.name == name).values(disabled_at=unit.now))
    unit.connection.execute(update(api_token).where(api_token.c.owner == name).values(revoked=True))
    end_sessions(unit, name)
    unit.audit("staff.disabled", name)


def unlock(unit: UnitOfWork, name: str) -> None:
    """Forget her failed logins."""
    existing(unit.connection, name)
    lockout.forgive(unit.connection, name)
    unit.audit("staff.unlocked", name)


def end_sessions(unit: UnitOfWork, name: str, session_id: str | None = None) -> int:
    """End all her sessions, or this one of hers; how many had been open."""
    open_ones = (staff_session.c.name == name) & staff_session.c.ended_at.is_(None)
    if session_id is not None:
        open_ones &= staff_session.c.session_id == session_id
    ended = unit.connection.execute(update(staff_session).where(open_ones).values(ended_at=unit.now)).rowcount
    if ended:
        unit.audit("staff.sessions_ended", name, after={"sessions": ended})
    return ended


def find(connection: Connection, name: str) -> StaffView | None:
    row = connection.execute(select(table).where(table.c.name == name)).one_or_none()
    return None if row is None else _view(row)


def existing(connection: Connection, name: str) -> StaffView:
    found = find(connection, name)
    if found is None:
        raise NotFound(f"there is no staff member {name!r}", field="name", remedy="`turnup staff list`")
    return found


def everybody(connection: Connection) -> list[StaffView]:
    return [_view(row) for row in connection.execute(select(table).order_by(table.c.name))]


def _view(row: Row[Any]) -> StaffView:
    return StaffView(
        name=row.name,
        roles=tuple(row.roles),
        legal_entity_id=row.legal_entity_id,
        brand_id=row.brand_id,
        has_password=row.password_hash is not None,
        oidc_identity=row.oidc_identity,
        created_at=row.created_at,
        last_login_at=row.last_login_at,
        disabled_at=row.disabled_at,
    )
