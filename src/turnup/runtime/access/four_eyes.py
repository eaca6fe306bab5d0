"""Four eyes: what is marked dangerous waits for a second person, is executed once, or expires.

The setting `four_eyes` says which actions need it. What runs in one transaction runs in the very transaction
that notes it; what is more than that is started at most once.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy import Connection, Row, func, insert, select, update

from turnup.kernel.access import (
    ROLES,
    ApprovalState,
    Roles,
    check_asker,
    check_decision,
    opens,
    standing,
)
from turnup.kernel.clock import iso_utc
from turnup.kernel.errors import InvalidInput, NotAllowed, NotFound, Unauthenticated
from turnup.kernel.ids import new_id
from turnup.runtime.access import staff
from turnup.runtime.auth import Caller
from turnup.runtime.component import Runtime
from turnup.runtime.dangerous import Arguments, Dangerous, DangerousOutside
from turnup.runtime.tables import api_token
from turnup.runtime.tables import approval as table
from turnup.runtime.tmf.body import json_response

EVERYTHING = "all"
"""In the setting: every action that is marked dangerous."""

_LOCK = "turnup.four_eyes"


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for four eyes. `asked_by` and `decided_by` are staff names; `actor`: how she asked."""

    id: UUID
    action: str
    what: str
    arguments: Arguments
    asked_by: str
    actor: str
    asked_at: datetime
    expires_at: datetime
    state: ApprovalState
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    result: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Either it was done, with this result, or it waits as this approval."""

    result: Mapping[str, Any]
    waits: Approval | None = None


class FourEyes:
    """`required`: actions that need a second person, or EVERYTHING; `lasting`: how long a request waits."""

    def __init__(
        self,
        runtime: Runtime,
        dangerous: Sequence[Dangerous | DangerousOutside] = (),
        *,
        required: Collection[str] = (),
        roles: Roles = ROLES,
        lasting: timedelta = timedelta(hours=8),
    ) -> None:
        self._runtime = runtime
        self._dangerous = {each.action: each for each in dangerous}
        self._required = required
        self._roles = roles
        self._lasting = lasting
        unknown = sorted(set(required) - {EVERYTHING, *self._dangerous})
        if unknown and dangerous:
            raise InvalidInput(
                f"{unknown[0]!r} is no dangerous action",
                field="four_eyes",
                remedy=f"known: {EVERYTHING}, {', '.join(sorted(self._dangerous))}",
            )

    @property
    def actions(self) -> Mapping[str, str]:
        """Every action marked dangerous, and the scope it takes."""
        return {name: each.scope for name, each in sorted(self._dangerous.items())}

    def needs(self, action: str) -> bool:
        return EVERYTHING in self._required or action in self._required

    def ask(self, action: str, arguments: Arguments, caller: Caller) -> Outcome:
        """Do it, where one pair of eyes is enough; else keep the request. The same request by the same person
        while one waits is that one. Raises NotAllowed, ApprovalNeeded, and whatever the use case raises, kept
        or not: nobody is asked to approve what could not happen."""
        dangerous = self._dangerous[action]
        if not caller.may(dangerous.scope):
            raise NotAllowed(f"{caller.name} does not hold the scope {dangerous.scope}", field="actor")
        if not self.needs(action):
            return Outcome(self._do(dangerous, arguments, caller.actor))
        person = check_asker(caller.person)
        pinned = dangerous.pin(arguments)
        self._rehearse(dangerous, pinned, caller.actor)
        with staff.access_unit(self._runtime, caller.actor) as unit:
            unit.connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_LOCK, 0))))
            same = (table.c.action == action) & (table.c.arguments == pinned)
            mine = (table.c.asked_by == person) & (table.c.state == ApprovalState.WAITING.value)
            row = unit.connection.execute(
                select(table).where(same, mine, table.c.expires_at > unit.now)
            ).one_or_none()
            if row is not None:
                return Outcome({}, _approval(row, unit.now))
            approval_id = new_id()
            what = dangerous.what(pinned)
            unit.connection.execute(
                insert(table).values(
                    approval_id=approval_id,
                    action=action,
                    what=what,
                    arguments=dict(pinned),
                    asked_by=person,
                    actor=caller.actor,
                    asked_at=unit.now,
                    expires_at=unit.now + self._lasting,
                    state=ApprovalState.WAITING.value,
                )
            )
            unit.audit("approval.asked", approval_id, after={"action": action, "what": what})
        return Outcome({}, self.approval(approval_id))

    def approve(self, approval_id: UUID, caller: Caller) -> Approval:
        """Let it happen, now and once. Raises NotFound, Conflict, NotAllowed, and what the use case raises:
        then nothing happened and the request still waits."""
        with self._runtime.database.engine.begin() as connection:
            waiting = self._to_decide(connection, approval_id, caller, approves=True)
            dangerous = self._known(waiting.action)
            self._check_asker_still_may(connection, waiting, dangerous.scope)
            unit = staff.unit_on(connection, self._runtime, caller.actor)
            state, result = ApprovalState.STARTED, None
            if isinstance(dangerous, Dangerous):
                result = self._in_transaction(connection, dangerous, waiting.arguments, waiting.actor)
                state = ApprovalState.EXECUTED
            _note(connection, approval_id, state, caller.name, unit.now, result=result)
            unit.audit("approval.approved", approval_id, after=_audited(waiting))
            unit.flush()
        if isinstance(dangerous, DangerousOutside):
            result = dangerous.run(waiting.actor, waiting.arguments)
            with self._runtime.database.engine.begin() as connection:
                now = self._runtime.clock.now()
                _note(connection, approval_id, ApprovalState.EXECUTED, caller.name, now, result=result)
        return self.approval(approval_id)

    def refuse(self, approval_id: UUID, caller: Caller, reason: str) -> Approval:
        """It does not happen; the one who asked may say so, too. Raises as `approve`, and InvalidInput."""
        if not reason.strip():
            raise InvalidInput("a reason is missing", field="reason", remedy="say why it is refused")
        with staff.access_unit(self._runtime, caller.actor) as unit:
            waiting = self._to_decide(unit.connection, approval_id, caller, approves=False)
            _note(unit.connection, approval_id, ApprovalState.REFUSED, caller.name, unit.now, reason=reason)
            unit.audit("approval.refused", approval_id, after={**_audited(waiting), "reason": reason})
        return self.approval(approval_id)

    def approval(self, approval_id: UUID) -> Approval:
        """Raises NotFound."""
        with self._runtime.database.engine.connect() as connection:
            return self._read(connection, select(table).where(table.c.approval_id == approval_id))

    def approvals(self, *, waiting_only: bool = True) -> Sequence[Approval]:
        """The oldest first; with those decided, the last 200."""
        now = self._runtime.clock.now()
        query = select(table).order_by(table.c.asked_at.desc()).limit(200)
        if waiting_only:
            query = query.where(table.c.state == ApprovalState.WAITING.value, table.c.expires_at > now)
        with self._runtime.database.engine.connect() as connection:
            return [_approval(row, now) for row in reversed(connection.execute(query).all())]

    # --- inside -------------------------------------------------------------------------------------------

    def _do(
        self, dangerous: Dangerous | DangerousOutside, arguments: Arguments, actor: str
    ) -> Mapping[str, Any]:
        if isinstance(dangerous, DangerousOutside):
            return dangerous.run(actor, arguments)
        with self._runtime.database.engine.begin() as connection:
            return self._in_transaction(connection, dangerous, arguments, actor)

    def _rehearse(self, dangerous: Dangerous | DangerousOutside, arguments: Arguments, actor: str) -> None:
        """Do it and take it back, so that what is wrong with it is said to the one who asks."""
        if isinstance(dangerous, DangerousOutside):
            return
        with self._runtime.database.engine.connect() as connection, connection.begin() as transaction:
            self._in_transaction(connection, dangerous, arguments, actor)
            transaction.rollback()

    def _in_transaction(
        self, connection: Connection, dangerous: Dangerous, arguments: Arguments, actor: str
    ) -> Mapping[str, Any]:
        if dangerous.component is None:
            own = staff.unit_on(connection, self._runtime, actor)
            result = dangerous.run(own, arguments)
            own.flush()
            return result
        with self._runtime.unit_in(connection, dangerous.component, actor) as unit:
            return dangerous.run(unit, arguments)

    def _to_decide(
        self, connection: Connection, approval_id: UUID, caller: Caller, *, approves: bool
    ) -> Approval:
        query = select(table).where(table.c.approval_id == approval_id).with_for_update()
        found = self._read(connection, query)
        check_decision(
            found.state,
            asked_by=found.asked_by,
            person=caller.person,
            in_person=caller.in_person,
            approves=approves,
        )
        scope = self._known(found.action).scope
        if not caller.may(scope):
            raise NotAllowed(
                f"{caller.name} does not hold the scope {scope}",
                field="actor",
                remedy="somebody decides who might have asked for it",
            )
        return found

    def _check_asker_still_may(self, connection: Connection, waiting: Approval, scope: str) -> None:
        """Between the two pairs of eyes she may have left, or her token may have been stolen and revoked."""
        person = staff.find(connection, waiting.asked_by)
        lost = person is None or not person.active or not opens(person.scopes(self._roles), scope)
        kind, _, name = waiting.actor.partition(":")
        if kind == "token":
            lost = lost or not connection.scalar(
                select(func.count())
                .select_from(api_token)
                .where(api_token.c.name == name, ~api_token.c.revoked, api_token.c.owner == waiting.asked_by)
            )
        if lost:
            raise NotAllowed(
                f"{waiting.asked_by}, who asked, may not do this any more",
                field="approval",
                remedy="refuse it; who still may asks anew",
            )

    def _read(self, connection: Connection, query: Any) -> Approval:
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("there is no such approval", field="approval", remedy="`turnup approve list`")
        return _approval(row, self._runtime.clock.now())

    def _known(self, action: str) -> Dangerous | DangerousOutside:
        if action not in self._dangerous:
            raise NotFound(
                f"nothing here does {action!r}", field="action", remedy="was it asked by another version?"
            )
        return self._dangerous[action]


def guarded(request: Request, caller: Caller, action: str, arguments: Arguments) -> Response:
    """A route's answer: 200 with the result, or 202 with the approval that it now waits for."""
    four_eyes: FourEyes = request.app.state.four_eyes
    outcome = four_eyes.ask(action, arguments, caller)
    if outcome.waits is None:
        return json_response(dict(outcome.result))
    return json_response({"approval": approval_body(outcome.waits)}, 202)


def approval_body(approval: Approval) -> dict[str, Any]:
    """As JSON shows it."""
    return {
        "id": str(approval.id),
        "action": approval.action,
        "what": approval.what,
        "arguments": dict(approval.arguments),
        "askedBy": approval.asked_by,
        "actor": approval.actor,
        "askedAt": iso_utc(approval.asked_at),
        "expiresAt": iso_utc(approval.expires_at),
        "state": approval.state.value,
        "decidedBy": approval.decided_by,
        "decidedAt": iso_utc(approval.decided_at) if approval.decided_at else None,
        "reason": approval.reason,
        "result": None if approval.result is None else dict(approval.result),
    }


def signed_in(runtime: Runtime, name: str, *, roles: Roles = ROLES) -> Caller:
    """A staff member who has just proved who she is, outside HTTP. Raises Unauthenticated."""
    with runtime.database.engine.connect() as connection:
        view = staff.find(connection, name)
    if view is None or not view.active:
        raise Unauthenticated(f"{name} may not come in", field="name")
    return Caller(name, view.scopes(roles), kind="staff", person=name)


def _note(
    connection: Connection,
    approval_id: UUID,
    state: ApprovalState,
    by: str,
    at: datetime,
    *,
    reason: str | None = None,
    result: Mapping[str, Any] | None = None,
) -> None:
    values: dict[str, Any] = {"state": state.value, "decided_by": by, "decided_at": at, "reason": reason}
    if result is not None:
        values["result"] = dict(result)
    connection.execute(update(table).where(table.c.approval_id == approval_id).values(values))


def _audited(approval: Approval) -> dict[str, object]:
    return {"action": approval.action, "what": approval.what, "asked_by": approval.asked_by}


def _approval(row: Row[Any], now: datetime) -> Approval:
    return Approval(
        id=row.approval_id,
        action=row.action,
        what=row.what,
        arguments=row.arguments,
        asked_by=row.asked_by,
        actor=row.actor,
        asked_at=row.asked_at,
        expires_at=row.expires_at,
        state=standing(ApprovalState(row.state), row.expires_at, now),
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        reason=row.reason,
        result=row.result,
    )
