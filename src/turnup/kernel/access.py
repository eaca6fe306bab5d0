"""Access, pure: what scopes open, which roles there are, how lock-outs grow, how four-eyes requests end.

It knows no passwords, sessions or tables (turnup.runtime.access does) and takes every instant as an argument.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import ClassVar

from turnup.kernel.errors import Conflict, InvalidInput, NotAllowed

# --- scopes and roles ------------------------------------------------------------------------------------

AREAS = (
    "access",
    "audit",
    "billing",
    "brake",
    "catalog",
    "connectors",
    "crm",
    "freezes",
    "monitoring",
    "operations",
    "orders",
    "privacy",
    "products",
    "reconciliation",
    "resources",
    "services",
)
"""What scopes are about; a test compares them with what the routes ask for."""

_ALL = "*"
_ACTS = ("read", "write", _ALL)

Roles = Mapping[str, frozenset[str]]

ROLES: Roles = {
    "administrator": frozenset({_ALL}),
    "network": frozenset(
        {"brake:write", "freezes:write", "reconciliation:write", "resources:write", "services:write"}
        | {"catalog:read", "crm:read", "monitoring:read", "operations:read", "orders:write", "products:read"}
    ),
    "billing": frozenset({"billing:write", "catalog:read", "crm:read", "orders:read", "products:read"}),
    "support": frozenset(
        {"billing:read", "catalog:read", "crm:write", "orders:write", "products:read"}
        | {"monitoring:read", "resources:read", "services:read"}
    ),
    "auditor": frozenset(f"{area}:read" for area in AREAS),
}
"""The roles that are always there; an installation adds its own by the setting `staff_roles`."""


def check_scope(scope: str) -> None:
    """Raises InvalidInput for a scope that can never match."""
    area, _, act = scope.partition(":")
    if scope != _ALL and not (area.isidentifier() and act in _ACTS):
        raise InvalidInput(
            f"{scope!r} is no scope", field="scopes", remedy="write orders:read, orders:write, orders:* or *"
        )


def opens(held: Collection[str], scope: str) -> bool:
    """Whether these scopes open what asks for `scope`. ``orders:write`` includes reading; ``*`` is all."""
    area, _, _act = scope.partition(":")
    if scope == _ALL:
        return _ALL in held
    return not {_ALL, scope, f"{area}:{_ALL}", f"{area}:write"}.isdisjoint(held)


def check_grant(held: Collection[str], wanted: Iterable[str]) -> None:
    """Nobody gives what she does not hold. Raises NotAllowed naming the scope."""
    beyond = sorted(scope for scope in wanted if not opens(held, scope))
    if beyond:
        raise NotAllowed(
            f"{beyond[0]} is more than you hold yourself",
            field="scopes",
            remedy="ask somebody who holds it",
        )


def own_roles(given: Mapping[str, Iterable[str]]) -> Roles:
    """The roles of an installation: ours and its own. Raises InvalidInput where one is none, or would change
    ours."""
    taken = sorted(set(given) & set(ROLES))
    if taken:
        raise InvalidInput(
            f"{taken[0]} is built in", field=f"staff_roles.{taken[0]}", remedy="choose another name"
        )
    made: dict[str, frozenset[str]] = dict(ROLES)
    for name, scopes in given.items():
        made[name] = frozenset(scopes)
        for scope in made[name]:
            check_scope(scope)
    return made


def scopes_of(roles: Iterable[str], known: Roles = ROLES) -> frozenset[str]:
    """What these roles open together; one that is no longer known opens nothing."""
    return frozenset(scope for role in roles for scope in known.get(role, frozenset()))


def check_roles(roles: Collection[str], known: Roles = ROLES) -> None:
    """Raises InvalidInput for none, or one that is not known."""
    unknown = sorted(set(roles) - set(known))
    if unknown or not roles:
        raise InvalidInput(
            f"{unknown[0]!r} is no role" if unknown else "a role is missing",
            field="roles",
            remedy=f"known: {', '.join(sorted(known))}",
        )


_STAFF = "staff:"


def staff_actor(name: str) -> str:
    """How a staff member stands in audit entries and events."""
    return _STAFF + name


# --- passwords -------------------------------------------------------------------------------------------

PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 256
"""A longer one only feeds the hash function (NIST SP 800-63B 3.1.1.2 wants at least 64 to be taken)."""


def check_password(name: str, password: str) -> None:
    """Length, and neither the name nor one character over and over: no rules about kinds of characters, which
    make passwords worse (NIST SP 800-63B 3.1.1.2). Raises InvalidInput, never with the password in it."""
    reason = None
    if len(password) < PASSWORD_LENGTH_MIN:
        reason = f"a password has at least {PASSWORD_LENGTH_MIN} characters"
    elif len(password) > PASSWORD_LENGTH_MAX:
        reason = f"a password has at most {PASSWORD_LENGTH_MAX} characters"
    elif name.lower() in password.lower() or "turnup" in password.lower():
        reason = "a password that holds the name, or turnup, is guessed first"
    elif len(set(password)) < 5:
        reason = "that password is the same few characters over and over"
    if reason:
        raise InvalidInput(reason, field="password", remedy="take four words that have nothing in common")


# --- lock-out --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LockPolicy:
    """`free` failures cost nothing; the next locks for `first`, each further one twice as long, at most
    `longest`. After `forgotten` without an attempt the count starts anew."""

    free: int
    first: timedelta = timedelta(seconds=15)
    longest: timedelta = timedelta(minutes=15)
    forgotten: timedelta = timedelta(hours=24)


NAME_LOCK = LockPolicy(free=5)
"""Per staff name. The longest is short: whoever knows a name could else keep its owner out for long."""
ADDRESS_LOCK = LockPolicy(free=20, longest=timedelta(hours=1))
"""Per address (IPv6: per /64), behind which a whole office may sit."""


def lock_after(failures: int, policy: LockPolicy) -> timedelta:
    """For how long nobody may try after this many failures in a row."""
    beyond = failures - policy.free
    if beyond <= 0:
        return timedelta(0)
    doubled = beyond - 1
    grown: timedelta = policy.first * 2 ** min(doubled, 20)  # beyond any longest
    return min(grown, policy.longest)


def failures_still(failures: int, last_at: datetime | None, now: datetime, policy: LockPolicy) -> int:
    """How many failures still count."""
    if last_at is None or now - last_at >= policy.forgotten:
        return 0
    return failures


# --- four eyes -------------------------------------------------------------------------------------------


class ApprovalState(Enum):
    WAITING = "waiting"
    EXECUTED = "executed"
    REFUSED = "refused"
    EXPIRED = "expired"
    STARTED = "started"
    """Taken to be executed outside a transaction; with an error it stays so: it is never run twice."""


class ApprovalNeeded(Conflict):
    """Four eyes are needed, and this caller cannot be one of the pairs: nobody with a staff name stands
    behind the request."""

    code: ClassVar[str] = "approval_needs_a_person"
    status: ClassVar[int] = 403


def check_asker(person: str | None) -> str:
    """The name of the person who asks. Raises ApprovalNeeded where nobody with a name does."""
    if person is None:
        raise ApprovalNeeded(
            "this needs four eyes, and nobody with a staff name asks for it",
            field="actor",
            remedy="log in (`--as NAME` on the command line), or use a token that belongs to a staff member",
        )
    return person


def standing(state: ApprovalState, expires_at: datetime, now: datetime) -> ApprovalState:
    """How a request stands now: one that waited too long has expired, whether or not somebody noted it."""
    if state is ApprovalState.WAITING and expires_at <= now:
        return ApprovalState.EXPIRED
    return state


def check_decision(
    state: ApprovalState, *, asked_by: str, person: str | None, in_person: bool, approves: bool
) -> None:
    """Whether this person may decide. Everybody with the scope may refuse, the one who asked too; approving
    takes another person, logged in herself: a token is nobody's eyes.

    Raises Conflict where it is decided already, NotAllowed where the eyes are not a second pair."""
    if state is not ApprovalState.WAITING:
        raise Conflict(
            f"this request is {state.value} already", field="approval", remedy="ask anew where it is needed"
        )
    if person is None or not in_person:
        raise NotAllowed(
            "a staff member decides, logged in herself", field="actor", remedy="log in: POST /turnup/v1/login"
        )
    if approves and person == asked_by:
        raise NotAllowed(
            f"{person} asked for this herself", field="actor", remedy="a second person looks at it"
        )
