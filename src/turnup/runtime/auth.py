"""Who calls, and what the caller may do: API tokens, and sessions of staff. There is no default token and no
default password. Logging in is turnup.runtime.access.

A token reads ``tu_<id>_<secret>``; its secret is 256 random bits, shown once. Stored is the secret's SHA-256:
a slow, salted hash (argon2) defends passwords that people choose against guessing, but nobody guesses 256
bits, and a slow hash would cost every request its tens of milliseconds. A session is the same with ``ts_``;
it comes as a bearer or, from a browser, in a cookie that only requests of our own pages may use.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from starlette.requests import Request

from turnup.kernel.access import ROLES, Roles, check_scope, opens, scopes_of
from turnup.kernel.clock import Clock
from turnup.kernel.errors import Conflict, NotAllowed, NotFound, Unauthenticated
from turnup.kernel.ids import BrandId, LegalEntityId
from turnup.runtime import tables

_CACHE_S = 5.0
"""How long another process may go on honouring a token after it was revoked."""
_CACHE_ENTRIES = 4096
SESSION_COOKIE = "turnup_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SEEN_EVERY = timedelta(minutes=1)
"""How exactly it is noted when a session was last used."""


@dataclass(frozen=True, slots=True)
class Realm:
    """A legal entity and a brand: whose a resource is (both set), or what a caller is confined to (None: to
    no particular one)."""

    legal_entity_id: LegalEntityId | None = None
    brand_id: BrandId | None = None

    def holds(self, other: "Realm | None") -> bool:
        """Whether what is the other's lies within this one; what is nobody's lies within none."""
        if other is None:
            return False
        wanted = ((self.legal_entity_id, other.legal_entity_id), (self.brand_id, other.brand_id))
        return all(mine is None or mine == theirs for mine, theirs in wanted)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from. `scopes`: ``orders:write`` (which includes reading), ``orders:*``, ``*``.
    `realm`: the legal entity or brand the caller is confined to; None: to none.
    `kind`: token, or staff for a person who is logged in. `person`: the staff member behind it, if any.
    `within`: what her roles open, where a token of hers may hold more than that; None: no bound."""

    name: str
    scopes: frozenset[str]
    realm: Realm | None = None
    kind: str = "token"
    person: str | None = None
    within: frozenset[str] | None = None
    session_id: str | None = None

    @property
    def actor(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def in_person(self) -> bool:
        """Logged in herself; what comes with a token may be a program."""
        return self.kind == "staff"

    def may(self, scope: str) -> bool:
        return opens(self.scopes, scope) and (self.within is None or opens(self.within, scope))


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token as it may be shown: everything but its secret."""

    token_id: str
    name: str
    scopes: tuple[str, ...]
    legal_entity_id: LegalEntityId | None
    brand_id: BrandId | None
    created_at: datetime
    expires_at: datetime | None
    revoked: bool
    owner: str | None


def issue_token(
    connection: Connection,
    name: str,
    scopes: Sequence[str],
    *,
    now: datetime,
    expires_at: datetime | None = None,
    realm: Realm | None = None,
    owner: str | None = None,
) -> str:
    """Make a token and return it; it cannot be shown again. `realm` confines it to a legal entity or brand:
    then it opens only what is known to be theirs. `owner`: the staff member it belongs to; it opens no more
    than she may, and ends with her. Raises Conflict when the name is taken,
    InvalidInput for a scope that can never match."""
    for scope in scopes or ("",):
        check_scope(scope)
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = {
        "token_id": token_id,
        "name": name,
        "secret_hash": digest(secret),
        "scopes": list(scopes),
        "legal_entity_id": realm.legal_entity_id if realm else None,
        "brand_id": realm.brand_id if realm else None,
        "created_at": now,
        "expires_at": expires_at,
        "owner": owner,
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(tables.api_token).values(row))
    except IntegrityError as error:
        raise Conflict(
            f"there is a token named {name!r} already", field="name", remedy="choose another name"
        ) from error
    return f"tu_{token_id}_{secret}"


def revoke_token(connection: Connection, name: str) -> None:
    """From now on (elsewhere: within seconds) the token opens nothing. Raises NotFound."""
    table = tables.api_token
    if not connection.execute(update(table).where(table.c.name == name).values(revoked=True)).rowcount:
        raise NotFound(
            f"there is no token named {name!r}", field="name", remedy="`turnup token list` shows all"
        )


def list_tokens(connection: Connection) -> list[TokenView]:
    table = tables.api_token
    rows = connection.execute(
        select(
            table.c.token_id,
            table.c.name,
            table.c.scopes,
            table.c.legal_entity_id,
            table.c.brand_id,
            table.c.created_at,
            table.c.expires_at,
            table.c.revoked,
            table.c.owner,
        ).order_by(table.c.name)
    )
    return [TokenView(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows]


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    expires_at: datetime | None
    read_at: float


class Authenticator:
    """Checks tokens and sessions, remembering good ones for a few seconds so that a request does not pay a
    query. `roles`: what the roles of staff open; `idle`: how long a session may lie unused."""

    def __init__(
        self, engine: Engine, clock: Clock, *, roles: Roles = ROLES, idle: timedelta = timedelta(minutes=30)
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._roles = roles
        self._idle = idle
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def caller(self, authorization: str | None) -> Caller:
        """The caller behind an Authorization header. Raises Unauthenticated."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _refused("no API token came with the request")
        known = self._look_up(token.strip())
        if known.expires_at is not None and known.expires_at <= self._clock.now():
            what = "session" if known.caller.in_person else "API token"
            raise _refused(f"the {what} has expired")
        return known.caller

    def require(self, authorization: str | None, scope: str) -> Caller:
        """The caller, who must hold the scope. Raises Unauthenticated or NotAllowed."""
        caller = self.caller(authorization)
        if not caller.may(scope):
            raise _not_held(caller, scope)
        return caller

    def forget(self) -> None:
        """Drop what is remembered: a revocation in this process counts at once."""
        with self._lock:
            self._known.clear()

    def _look_up(self, token: str) -> _Known:
        key = digest(token)  # secrets stay out of our memory's long-lived objects
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None and now - known.read_at < _CACHE_S:
            return known
        known = self._read(token, now)
        with self._lock:
            if len(self._known) >= _CACHE_ENTRIES:
                self._known.clear()
            self._known[key] = known
        return known

    def _read(self, token: str, now: float) -> _Known:
        prefix, identity, secret = (*token.split("_", 2), "", "")[:3]
        if prefix == "ts":
            return self._read_session(identity, secret, now)
        table = tables.api_token
        with self._engine.connect() as connection:
            row = connection.execute(select(table).where(table.c.token_id == identity)).one_or_none()
            owner = _staff(connection, row.owner) if row and row.owner else None
        # compare even when there is no such token, so that timing tells nothing
        matches = hmac.compare_digest(row.secret_hash if row else digest(""), digest(secret))
        if row is None or prefix != "tu" or not matches or row.revoked:
            raise _refused("the API token is not valid")
        if row.owner is not None and (owner is None or owner.disabled_at is not None):
            raise _refused("the staff member whose token this is may not come in any more")
        within = scopes_of(owner.roles, self._roles) if owner else None
        realm = _narrower(_realm(row), _realm(owner) if owner else None)
        caller = Caller(row.name, frozenset(row.scopes), realm, person=row.owner, within=within)
        return _Known(caller, row.expires_at, now)

    def _read_session(self, session_id: str, secret: str, now: float) -> _Known:
        table, at = tables.staff_session, self._clock.now()
        with self._engine.connect() as connection:
            row = connection.execute(select(table).where(table.c.session_id == session_id)).one_or_none()
            person = _staff(connection, row.name) if row else None
        matches = hmac.compare_digest(row.secret_hash if row else digest(""), digest(secret))
        if row is None or person is None or not matches:
            raise _refused("the session is not valid")
        if row.ended_at is not None or person.disabled_at is not None or row.seen_at + self._idle <= at:
            raise _refused("the session has ended")
        if at - row.seen_at >= min(_SEEN_EVERY, self._idle / 2):
            self._note_use(session_id, at)
        scopes = scopes_of(person.roles, self._roles)
        caller = Caller(
            person.name, scopes, _realm(person), kind="staff", person=person.name, session_id=session_id
        )
        return _Known(caller, min(row.expires_at, at + self._idle), now)

    def _note_use(self, session_id: str, at: datetime) -> None:
        table = tables.staff_session
        with self._engine.begin() as connection:
            connection.execute(update(table).where(table.c.session_id == session_id).values(seen_at=at))


def _staff(connection: Connection, name: str) -> Row[Any] | None:
    table = tables.staff
    return connection.execute(select(table).where(table.c.name == name)).one_or_none()


def _realm(row: Row[Any]) -> Realm | None:
    """What a token or a staff member is confined to."""
    confined = row.legal_entity_id is not None or row.brand_id is not None
    return Realm(row.legal_entity_id, row.brand_id) if confined else None


def _narrower(token: Realm | None, owner: Realm | None) -> Realm | None:
    """A token is confined to its owner's realm, or to its own where that lies within."""
    if owner is None:
        return token
    return token if owner.holds(token) else owner


def identified(request: Request) -> Caller:
    """The caller of this request, whatever she may: by bearer, else by the session cookie. Counts against the
    caller's rate. Raises Unauthenticated, NotAllowed (a cookie from elsewhere), TooManyRequests."""
    header = request.headers.get("authorization")
    cookie = request.cookies.get(SESSION_COOKIE)
    if header is None and cookie:
        check_origin(request)
        header = f"Bearer {cookie}"
    state = request.app.state
    authenticator: Authenticator = state.authenticator
    caller = authenticator.caller(header)
    request.state.actor = caller.actor
    state.request_rate.spend(caller.actor)
    return caller


def check_origin(request: Request) -> None:
    """A browser sends the cookie by itself, whoever's page made it call: what changes something must come
    from our own pages (Fetch Metadata, else Origin). Raises NotAllowed."""
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    ours = {request.headers.get("host"), request.app.state.public_host}
    if site == "same-origin" or (site is None and origin and urlsplit(origin).netloc in ours):
        return
    raise NotAllowed(
        "a session cookie counts only on requests of our own pages",
        field="Origin",
        remedy="send the session as `Authorization: Bearer ts_…`",
    )


def authorise(request: Request, scope: str, *, heeds_realm: bool = False) -> Caller:
    """The caller of this request, who must hold the scope; the app carries the authenticator. A caller who is
    confined to a legal entity or brand is let in only by those who see to it themselves (`heeds_realm`)."""
    caller = identified(request)
    if not caller.may(scope):
        raise _not_held(caller, scope)
    if caller.realm is not None and not heeds_realm:
        raise NotAllowed(
            f"{_called(caller)} is confined to a legal entity or brand, and this is not told apart",
            field="Authorization",
            remedy="use a token that was made without --legal-entity and --brand",
        )
    return caller


def _called(caller: Caller) -> str:
    return caller.name if caller.in_person else f"the token {caller.name!r}"


def _not_held(caller: Caller, scope: str) -> NotAllowed:
    remedy = f"use a token made with `turnup token create NAME --scope {scope}`"
    if caller.in_person:
        remedy = "ask an administrator for a role that has it"
    return NotAllowed(
        f"{_called(caller)} does not hold the scope {scope}", field="Authorization", remedy=remedy
    )


def _refused(message: str) -> Unauthenticated:
    return Unauthenticated(
        message,
        field="Authorization",
        remedy="send `Authorization: Bearer tu_…`; make one with `turnup token create NAME --scope SCOPE`",
    )


def digest(text: str) -> str:
    """How a secret of 256 random bits is stored."""
    return hashlib.sha256(text.encode()).hexdigest()
