"""API tokens: who calls, and what the caller may do. There is no default token and no default password.

A token reads ``tu_<id>_<secret>``; its secret is 256 random bits, shown once. Stored is the secret's SHA-256:
a slow, salted hash (argon2) defends passwords that people choose against guessing, but nobody guesses 256
bits, and a slow hash would cost every request its tens of milliseconds.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError
from starlette.requests import Request

from turnup.kernel.clock import Clock
from turnup.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound, Unauthenticated
from turnup.kernel.ids import BrandId, LegalEntityId
from turnup.runtime import tables

_CACHE_S = 5.0
"""How long another process may go on honouring a token after it was revoked."""
_CACHE_ENTRIES = 4096


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
    `realm`: the legal entity or brand the caller is confined to; None: to none."""

    name: str
    scopes: frozenset[str]
    realm: Realm | None = None

    @property
    def actor(self) -> str:
        return f"token:{self.name}"

    def may(self, scope: str) -> bool:
        area, _, _act = scope.partition(":")
        return not self.scopes.isdisjoint({"*", scope, f"{area}:*", f"{area}:write"})


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


def issue_token(
    connection: Connection,
    name: str,
    scopes: Sequence[str],
    *,
    now: datetime,
    expires_at: datetime | None = None,
    realm: Realm | None = None,
) -> str:
    """Make a token and return it; it cannot be shown again. `realm` confines it to a legal entity or brand:
    then it opens only what is known to be theirs. Raises Conflict when the name is taken,
    InvalidInput for a scope that can never match."""
    for scope in scopes or ("",):
        _check_scope(scope)
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = {
        "token_id": token_id,
        "name": name,
        "secret_hash": _digest(secret),
        "scopes": list(scopes),
        "legal_entity_id": realm.legal_entity_id if realm else None,
        "brand_id": realm.brand_id if realm else None,
        "created_at": now,
        "expires_at": expires_at,
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
        ).order_by(table.c.name)
    )
    return [TokenView(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows]


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    expires_at: datetime | None
    read_at: float


class Authenticator:
    """Checks tokens, remembering good ones for a few seconds so that a request does not pay a query."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def caller(self, authorization: str | None) -> Caller:
        """The caller behind an Authorization header. Raises Unauthenticated."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _refused("no API token came with the request")
        known = self._look_up(token.strip())
        if known.expires_at is not None and known.expires_at <= self._clock.now():
            raise _refused("the API token has expired")
        return known.caller

    def require(self, authorization: str | None, scope: str) -> Caller:
        """The caller, who must hold the scope. Raises Unauthenticated or NotAllowed."""
        caller = self.caller(authorization)
        if not caller.may(scope):
            raise NotAllowed(
                f"the token {caller.name!r} does not hold the scope {scope}",
                field="Authorization",
                remedy=f"use a token made with `turnup token create NAME --scope {scope}`",
            )
        return caller

    def forget(self) -> None:
        """Drop what is remembered: a revocation in this process counts at once."""
        with self._lock:
            self._known.clear()

    def _look_up(self, token: str) -> _Known:
        key = _digest(token)  # secrets stay out of our memory's long-lived objects
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
        prefix, token_id, secret = (*token.split("_", 2), "", "")[:3]
        table = tables.api_token
        with self._engine.connect() as connection:
            row = connection.execute(select(table).where(table.c.token_id == token_id)).one_or_none()
        # compare even when there is no such token, so that timing tells nothing
        matches = hmac.compare_digest(row.secret_hash if row else _digest(""), _digest(secret))
        if row is None or prefix != "tu" or not matches or row.revoked:
            raise _refused("the API token is not valid")
        confined = row.legal_entity_id is not None or row.brand_id is not None
        realm = Realm(row.legal_entity_id, row.brand_id) if confined else None
        return _Known(Caller(row.name, frozenset(row.scopes), realm), row.expires_at, now)


def authorise(request: Request, scope: str, *, heeds_realm: bool = False) -> Caller:
    """The caller of this request, who must hold the scope; the app carries the authenticator. A caller who is
    confined to a legal entity or brand is let in only by those who see to it themselves (`heeds_realm`)."""
    authenticator: Authenticator = request.app.state.authenticator
    caller = authenticator.require(request.headers.get("authorization"), scope)
    if caller.realm is not None and not heeds_realm:
        raise NotAllowed(
            f"the token {caller.name!r} is confined to a legal entity or brand, and this is not told apart",
            field="Authorization",
            remedy="use a token that was made without --legal-entity and --brand",
        )
    request.state.actor = caller.actor
    return caller


def _refused(message: str) -> Unauthenticated:
    return Unauthenticated(
        message,
        field="Authorization",
        remedy="send `Authorization: Bearer tu_…`; make one with `turnup token create NAME --scope SCOPE`",
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_scope(scope: str) -> None:
    area, _, act = scope.partition(":")
    if scope != "*" and not (area.isidentifier() and act in {"read", "write", "*"}):
        raise InvalidInput(
            f"{scope!r} is no scope", field="scopes", remedy="write orders:read, orders:write, orders:* or *"
        )
