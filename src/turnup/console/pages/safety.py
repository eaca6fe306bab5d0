"""Freeze and brake: what may not be written to, what waits for a person, and her decisions."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from turnup.console.desk import Desk
from turnup.console.forms import FORM, Field, Question, ask
from turnup.contracts.configuration import LIFT_EVERYTHING, FreezeScope, FreezeView
from turnup.contracts.provisioning import RELEASE_HOLDS, HoldView
from turnup.kernel.errors import InvalidInput, NotFound, TurnupError
from turnup.kernel.ids import FreezeId, HoldId
from turnup.runtime.auth import Caller, authorise

_PAGE = "/console/noc"
_FREEZES, _BRAKE = "freezes:write", "brake:write"
_SETTLE_S = 10.0
_NAMED = 10
DONE = {
    "frozen": "Frozen: nothing is written any more.",
    "writing": "Frozen. What was being written when it came is not through yet; no new write starts.",
    "lifted": "Lifted: what waited goes on by itself.",
    "released": "Released: the held changes go on.",
    "refused": "Refused: the held changes never happen.",
    "waits": "It waits for a second person's approval: turnup approve list.",
}


def add(routes: APIRouter, desk: Desk) -> None:
    """Their pages, below the network's."""
    _add_freezes(routes, desk)
    _add_holds(routes, desk)


def _back(done: str) -> Response:
    return RedirectResponse(f"{_PAGE}?{urlencode({'done': done})}", 303)


def _reason(hint: str = "kept in the audit", *, required: bool = True) -> Field:
    return Field(name="reason", label="Reason", hint=hint, required=required)


# --- freezes ---------------------------------------------------------------------------------------------


def _add_freezes(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/freeze")
    def before_freeze(request: Request) -> Response:
        caller = authorise(request, _FREEZES)
        return ask(request, caller, _freeze_question(desk))

    @routes.post("/freeze")
    def freeze(request: Request, form: Mapping[str, str] = FORM) -> Response:
        caller = authorise(request, _FREEZES)
        try:
            scope, code = _target(form.get("target", ""))
            with desk.runtime.unit("configuration", caller.actor) as unit:
                freeze_id = desk.configuration.freeze(unit, scope, code, form.get("reason", ""))
        except TurnupError as error:
            return ask(request, caller, _freeze_question(desk), error)
        busy = desk.path.settle(freeze_id, deadline_s=_SETTLE_S)
        return _back("writing" if busy else "frozen")

    @routes.get("/freezes/{freeze_id}/lift")
    def before_lift(request: Request, freeze_id: UUID) -> Response:
        caller = authorise(request, _FREEZES)
        return ask(request, caller, _lift_question(desk, _freeze(desk, freeze_id)))

    @routes.post("/freezes/{freeze_id}/lift")
    def lift(request: Request, freeze_id: UUID, form: Mapping[str, str] = FORM) -> Response:
        caller = authorise(request, _FREEZES)
        found = _freeze(desk, freeze_id)
        try:
            return _back(_lift(desk, caller, found, form.get("reason", "")))
        except TurnupError as error:
            return ask(request, caller, _lift_question(desk, found), error)


def _lift(desk: Desk, caller: Caller, found: FreezeView, reason: str) -> str:
    """A freeze of everything may need four eyes, as over the API."""
    if found.scope is FreezeScope.ALL:
        arguments = {"freeze": str(found.id), "reason": reason}
        outcome = desk.access.four_eyes.ask(LIFT_EVERYTHING, arguments, caller)
        return "waits" if outcome.waits else "lifted"
    with desk.runtime.unit("configuration", caller.actor) as unit:
        desk.configuration.lift(unit, found.id, reason)
    return "lifted"


def _target(text: str) -> tuple[FreezeScope, str | None]:
    """``element:olt1``, ``site:pop1`` or ``all``."""
    scope, _, code = text.partition(":")
    try:
        return FreezeScope(scope), code or None
    except ValueError as error:
        raise InvalidInput(
            "say what to freeze", field="target", remedy="choose an element, a site or everything"
        ) from error


def _freeze(desk: Desk, freeze_id: UUID) -> FreezeView:
    found = next((each for each in desk.configuration.freezes() if each.id == FreezeId(freeze_id)), None)
    if found is None:
        raise NotFound("there is no such freeze in force", field="freeze", remedy=f"see the list: {_PAGE}")
    return found


def _freeze_question(desk: Desk) -> Question:
    elements = [
        (f"element:{each.code}", f"element {each.code} ({each.role})") for each in desk.network.elements()
    ]
    sites = [(f"site:{each.code}", f"site {each.code} – {each.name}") for each in desk.network.sites()]
    return Question(
        title="Freeze the network, or a part of it",
        act="Freeze",
        back=_PAGE,
        effects=(
            "Nothing is written to it until somebody lifts the freeze; reading and watching go on.",
            "Orders that need it wait, and go on by themselves afterwards.",
            "Subscribers stay as they are: nobody is cut off.",
            "Everything frozen: dunning pauses, too.",
        ),
        fields=(
            Field(
                name="target",
                label="What",
                required=True,
                options=(("", "choose …"), *sites, *elements, ("all", "everything")),
            ),
            _reason("told to everybody who finds something waiting"),
        ),
        dangerous=True,
    )


def _lift_question(desk: Desk, found: FreezeView) -> Question:
    what = "everything" if found.scope is FreezeScope.ALL else f"{found.scope.value} {found.code}"
    effects = [f"Turnup writes to {what} again.", "Orders and repairs that waited for it go on at once."]
    if found.scope is FreezeScope.ALL:
        effects.append("Dunning goes on: who is overdue may be suspended by its next run.")
        if desk.access.four_eyes.needs(LIFT_EVERYTHING):
            effects.append("A second person has to approve it first.")
    return Question(
        title=f"Lift the freeze of {what}",
        act="Lift",
        back=_PAGE,
        facts=(("Frozen by", found.frozen_by), ("Because", found.reason)),
        effects=effects,
        fields=(_reason(),),
    )


# --- the brake -------------------------------------------------------------------------------------------


def _add_holds(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/holds/{hold_id}/release")
    def before_release(request: Request, hold_id: UUID) -> Response:
        caller = authorise(request, _BRAKE)
        return ask(request, caller, _release_question(desk, _hold(desk, hold_id)))

    @routes.post("/holds/{hold_id}/release")
    def release(request: Request, hold_id: UUID, form: Mapping[str, str] = FORM) -> Response:
        caller = authorise(request, _BRAKE)
        found = _hold(desk, hold_id)
        arguments = {"holds": [str(found.id)], "reason": form.get("reason", "")}
        try:
            outcome = desk.access.four_eyes.ask(RELEASE_HOLDS, arguments, caller)
        except TurnupError as error:
            return ask(request, caller, _release_question(desk, found), error)
        return _back("waits" if outcome.waits else "released")

    @routes.get("/holds/{hold_id}/refuse")
    def before_refusal(request: Request, hold_id: UUID) -> Response:
        caller = authorise(request, _BRAKE)
        return ask(request, caller, _refusal_question(desk, _hold(desk, hold_id)))

    @routes.post("/holds/{hold_id}/refuse")
    def refuse(request: Request, hold_id: UUID, form: Mapping[str, str] = FORM) -> Response:
        caller = authorise(request, _BRAKE)
        found = _hold(desk, hold_id)
        try:
            with desk.runtime.unit("provisioning", caller.actor) as unit:
                desk.services.refuse_holds(unit, [found.id], form.get("reason", ""))
        except TurnupError as error:
            return ask(request, caller, _refusal_question(desk, found), error)
        return _back("refused")


def _hold(desk: Desk, hold_id: UUID) -> HoldView:
    found = next((each for each in desk.services.holds() if each.id == HoldId(hold_id)), None)
    if found is None:
        raise NotFound("no such change is held any more", field="hold", remedy=f"see the list: {_PAGE}")
    return found


def _about(desk: Desk, found: HoldView) -> Sequence[tuple[str, str]]:
    return (
        ("Wanted", found.what),
        ("By", f"{found.actor} ({found.cause.kind.value}) {found.cause.text}".strip()),
        ("Services", _named(desk, found)),
    )


def _named(desk: Desk, found: HoldView) -> str:
    numbers = [each.number for each in desk.services.services(found.service_ids[:_NAMED])]
    more = len(found.service_ids) - len(numbers)
    return ", ".join(numbers) + (f" and {more} more" if more > 0 else "")


def _release_question(desk: Desk, found: HoldView) -> Question:
    effects = [
        f"{found.what} goes on now, for {len(found.service_ids)} services.",
        "It does not count against the brake any more.",
    ]
    if desk.access.four_eyes.needs(RELEASE_HOLDS):
        effects.append("A second person has to approve it first.")
    return Question(
        title=f"Release held change {found.n}",
        act="Release",
        back=_PAGE,
        facts=_about(desk, found),
        effects=effects,
        fields=(_reason(required=False),),  # as over API and command line
        dangerous=found.what in ("suspend", "cease"),
    )


def _refusal_question(desk: Desk, found: HoldView) -> Question:
    return Question(
        title=f"Refuse held change {found.n}",
        act="Refuse",
        back=_PAGE,
        facts=_about(desk, found),
        effects=(
            f"{found.what} never happens for this request; the services stay as they are.",
            "The order behind it, if there is one, is cancelled without touching an element.",
        ),
        fields=(_reason(),),
        dangerous=True,
    )
