"""HTTP shapes of configuration, native: freeze the network, lift, list."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from turnup.contracts.configuration import LIFT_EVERYTHING, FreezeScope, FreezeView
from turnup.kernel.clock import iso_utc
from turnup.kernel.ids import FreezeId
from turnup.oss.configuration.service import Configuration
from turnup.oss.configuration.workflows import SETTLE_S, ApplyPath
from turnup.runtime.access.four_eyes import guarded
from turnup.runtime.auth import authorise
from turnup.runtime.component import Runtime
from turnup.runtime.dangerous import Arguments, Dangerous
from turnup.runtime.tmf.body import json_response
from turnup.runtime.unit_of_work import UnitOfWork


class NewFreeze(BaseModel):
    """`code`: of the element or the site; left out for `all`."""

    scope: FreezeScope
    code: str | None = None
    reason: str


class Lift(BaseModel):
    reason: str


def dangerous(configuration: Configuration) -> Sequence[Dangerous]:
    """What may need four eyes: lifting a freeze of everything. Arguments: `freeze` (id), `reason`."""

    def lift(unit: UnitOfWork, arguments: Arguments) -> Mapping[str, Any]:
        configuration.lift(unit, FreezeId(UUID(arguments["freeze"])), arguments["reason"])
        return {"state": "lifted"}

    def what(arguments: Arguments) -> str:
        found = [view for view in configuration.freezes() if str(view.id) == arguments["freeze"]]
        since = f" by {found[0].frozen_by} ({found[0].reason})" if found else ""
        return f"lift the freeze of everything{since}; reason: {arguments['reason']}"

    return [
        Dangerous(
            action=LIFT_EVERYTHING, scope="freezes:write", component="configuration", what=what, run=lift
        )
    ]


def is_of_all(configuration: Configuration, freeze_id: FreezeId) -> bool:
    """Whether lifting it lets writes and dunning go on everywhere."""
    present = configuration.freezes()
    return any(view.id == freeze_id and view.scope is FreezeScope.ALL for view in present)


def routers(configuration: Configuration, path: ApplyPath, runtime: Runtime) -> Sequence[APIRouter]:
    router = APIRouter(prefix="/turnup/v1/freezes", tags=["safety"])

    @router.get("")
    def listed(request: Request, *, all: bool = False) -> list[dict[str, Any]]:
        """The freezes in force, the oldest first; with `all`, the lifted ones too."""
        authorise(request, "freezes:read")
        return [_freeze(view) for view in configuration.freezes(active_only=not all)]

    @router.post("", status_code=201)
    def freeze(request: Request, body: NewFreeze) -> dict[str, Any]:
        """Stop writing to an element, a site or all (dunning too). Answers when what was being written has
        ended; `stillWriting` names elements that had not by then."""
        caller = authorise(request, "freezes:write")
        with runtime.unit("configuration", caller.actor) as unit:
            freeze_id = configuration.freeze(unit, body.scope, body.code, body.reason)
        busy = path.settle(freeze_id, deadline_s=SETTLE_S)
        [view] = [each for each in configuration.freezes(active_only=False) if each.id == freeze_id]
        return {**_freeze(view), "stillWriting": list(busy)}

    @router.post("/{freeze_id}/lift")
    def lift(request: Request, freeze_id: UUID, body: Lift) -> Response:
        """What waited goes on by itself. A freeze of all may need four eyes (202)."""
        caller = authorise(request, "freezes:write")
        if is_of_all(configuration, FreezeId(freeze_id)):
            arguments = {"freeze": str(freeze_id), "reason": body.reason}
            return guarded(request, caller, LIFT_EVERYTHING, arguments)
        with runtime.unit("configuration", caller.actor) as unit:
            configuration.lift(unit, FreezeId(freeze_id), body.reason)
        return json_response({"state": "lifted"})

    return [router]


def _freeze(view: FreezeView) -> dict[str, Any]:
    return {
        "id": str(view.id),
        "scope": view.scope.value,
        "code": view.code,
        "reason": view.reason,
        "frozenBy": view.frozen_by,
        "frozenAt": iso_utc(view.frozen_at),
        "liftedBy": view.lifted_by,
        "liftedAt": iso_utc(view.lifted_at) if view.lifted_at else None,
        "liftReason": view.lift_reason,
    }
