"""Login with a password, and the sessions that every way of logging in opens; runtime.auth checks them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert, select, update

from turnup.kernel.access import staff_actor
from turnup.kernel.errors import InvalidInput, Unauthenticated
from turnup.runtime.access import lockout, staff
from turnup.runtime.access.passwords import hash_password, is_outdated, matches
from turnup.runtime.auth import digest
from turnup.runtime.component import Runtime
from turnup.runtime.tables import staff as staff_table
from turnup.runtime.tables import staff_session as table
from turnup.runtime.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as it may be shown: everything but its secret."""

    session_id: str
    way: str
    address: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """`token` is shown this once."""

    token: str
    name: str
    expires_at: datetime


class Logins:
    """Who proves to be whom. `lasting`: how long a session lasts at most, however much it is used."""

    def __init__(self, runtime: Runtime, *, lasting: timedelta, by_password: bool = True) -> None:
        self._runtime = runtime
        self._lasting = lasting
        self.by_password = by_password

    def prove(self, name: str, password: str, address: str) -> None:
        """Raises TooManyRequests while name or address is locked, else Unauthenticated unless this is the
        password of an active staff member: the same for a wrong name and a wrong password. Audited."""
        if not self.by_password:
            raise Unauthenticated(
                "logging in by password is switched off here",
                field="password",
                remedy="log in at the OpenID provider: GET /turnup/v1/login/oidc",
            )
        now = self._runtime.clock.now()
        lockout.count_attempt(self._runtime.database.engine, name, address, now)
        with self._runtime.database.engine.connect() as connection:
            found = connection.execute(
                select(staff_table).where(staff_table.c.name == name, staff_table.c.disabled_at.is_(None))
            ).one_or_none()
        stored = found.password_hash if found else None
        right = matches(stored, password)
        with staff.access_unit(self._runtime, staff_actor(name) if found else "nobody") as unit:
            if not right:
                # a name that does not exist may be a password typed into the wrong field
                unit.audit("login.refused", name if found else "unknown name", after={"address": address})
            else:
                lockout.forgive(unit.connection, name, address)
                if is_outdated(stored or ""):
                    self._rehash(unit, name, password)
        if not right:
            raise Unauthenticated(
                "name and password do not match",
                field="password",
                remedy="try again, or ask an administrator: `turnup staff password NAME`",
            )

    def login(self, name: str, password: str, address: str) -> OpenedSession:
        """A session for whoever knows her password. Raises as `prove`."""
        self.prove(name, password, address)
        with staff.access_unit(self._runtime, staff_actor(name)) as unit:
            return self.open(unit, name, "password", address)

    def open(self, unit: UnitOfWork, name: str, way: str, address: str) -> OpenedSession:
        """A session for somebody whose identity is proven."""
        session_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        expires_at = unit.now + self._lasting
        unit.connection.execute(
            insert(table).values(
                session_id=session_id,
                name=name,
                secret_hash=digest(secret),
                way=way,
                address=address,
                created_at=unit.now,
                seen_at=unit.now,
                expires_at=expires_at,
            )
        )
        noted = update(staff_table).where(staff_table.c.name == name).values(last_login_at=unit.now)
        unit.connection.execute(noted)
        unit.audit("login.opened", name, after={"session": session_id, "way": way, "address": address})
        return OpenedSession(f"ts_{session_id}_{secret}", name, expires_at)

    def change_password(self, name: str, old: str, new: str, address: str) -> None:
        """Her own, by herself; every session of hers ends. Raises as `prove`, and InvalidInput."""
        if old == new:
            raise InvalidInput("that is the old one", field="new", remedy="choose another")
        self.prove(name, old, address)
        with staff.access_unit(self._runtime, staff_actor(name)) as unit:
            staff.set_password(unit, name, new)

    def sessions(self, name: str) -> Sequence[SessionView]:
        """Hers, the latest first; those that ended too."""
        columns = (
            table.c.session_id,
            table.c.way,
            table.c.address,
            table.c.created_at,
            table.c.seen_at,
            table.c.expires_at,
            table.c.ended_at,
        )
        with self._runtime.database.engine.connect() as connection:
            staff.existing(connection, name)
            rows = connection.execute(
                select(*columns).where(table.c.name == name).order_by(table.c.created_at.desc()).limit(100)
            )
            return [SessionView(*row) for row in rows]

    @staticmethod
    def _rehash(unit: UnitOfWork, name: str, password: str) -> None:
        stronger = hash_password(password)
        unit.connection.execute(
            update(staff_table).where(staff_table.c.name == name).values(password_hash=stronger)
        )
