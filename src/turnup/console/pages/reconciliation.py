"""Findings of the standing comparison: what each costs, how old it is, whose it is, what mends it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from turnup.console.desk import Desk
from turnup.console.forms import FORM, Field, Question, ask
from turnup.console.rendering import money, show
from turnup.contracts.reconciliation import FindingView
from turnup.kernel.errors import InvalidInput, NotFound, TurnupError
from turnup.kernel.ids import FindingId
from turnup.runtime.auth import authorise

_SHOWN = 200
_READ, _WRITE = "reconciliation:read", "reconciliation:write"
_PAGE = "/console/reconciliation"
_DONE = {
    "repaired": "It is mended and gone.",
    "still": "The repair was made and the mismatch is still there: it is tried again, or an element is away.",
    "dismissed": "It is dismissed: silent until the mismatch is gone.",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """Findings of one kind in one currency. `monthly_minor`: what they cost together, whichever way."""

    name: str
    currency: str
    count: int
    monthly_minor: int


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(prefix="/console/reconciliation", include_in_schema=False)

    @routes.get("")
    def listed(request: Request, kind: str = "", owner: str = "", done: str = "") -> Response:
        caller = authorise(request, _READ)
        found = desk.findings.findings()
        chosen = [each for each in found if kind in ("", each.kind) and owner in ("", each.owner)]
        chosen.sort(key=lambda each: (-abs(each.monthly_minor), each.found_at))
        return show(
            request,
            "reconciliation.html",
            caller=caller,
            kinds=_kinds(found),
            owners=sorted({each.owner for each in found}),
            findings=chosen[:_SHOWN],
            total=len(chosen),
            kind=kind,
            owner=owner,
            now=desk.runtime.clock.now(),
            flash=_DONE.get(done, ""),
        )

    @routes.get("/{finding_id}/repair")
    def before_repair(request: Request, finding_id: UUID) -> Response:
        caller = authorise(request, _WRITE)
        return ask(request, caller, _repair_question(_finding(desk, finding_id)))

    @routes.post("/{finding_id}/repair")
    def repair(request: Request, finding_id: UUID, form: Mapping[str, str] = FORM) -> Response:
        caller = authorise(request, _WRITE)
        found = _finding(desk, finding_id)
        try:
            gone = desk.repairs.repair(found.id, caller.actor)
        except TurnupError as error:
            return ask(request, caller, _repair_question(found), error)
        return RedirectResponse(f"{_PAGE}?done={'repaired' if gone else 'still'}", 303)

    @routes.get("/{finding_id}/dismiss")
    def before_dismissal(request: Request, finding_id: UUID) -> Response:
        caller = authorise(request, _WRITE)
        return ask(request, caller, _dismissal(_finding(desk, finding_id)))

    @routes.post("/{finding_id}/dismiss")
    def dismiss(request: Request, finding_id: UUID, form: Mapping[str, str] = FORM) -> Response:
        caller = authorise(request, _WRITE)
        found = _finding(desk, finding_id)
        try:
            with desk.runtime.unit("reconciliation", caller.actor) as unit:
                desk.findings.dismiss(unit, found.id, form.get("reason", ""))
        except (InvalidInput, NotFound) as error:
            return ask(request, caller, _dismissal(found), error)
        return RedirectResponse(f"{_PAGE}?done=dismissed", 303)

    return routes


def _kinds(found: Sequence[FindingView]) -> list[Kind]:
    """The dearest first."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for each in found:
        count, total = sums.get((each.kind, each.currency), (0, 0))
        sums[each.kind, each.currency] = (count + 1, total + abs(each.monthly_minor))
    kinds = [Kind(name, currency, count, total) for (name, currency), (count, total) in sums.items()]
    return sorted(kinds, key=lambda kind: (-kind.monthly_minor, kind.name))


def _finding(desk: Desk, finding_id: UUID) -> FindingView:
    found = desk.findings.finding(FindingId(finding_id))
    if found is None or found.repaired_at is not None:
        raise NotFound("there is no such open finding", field="finding", remedy=f"see the list: {_PAGE}")
    return found


def _about(found: FindingView) -> Sequence[tuple[str, str]]:
    return (
        ("What", found.kind.replace("_", " ")),
        ("Service", found.service_number or str(found.service_id)),
        ("In detail", found.detail),
        ("Per month", money(found.monthly_minor, found.currency)),
    )


def _repair_question(found: FindingView) -> Question:
    return Question(
        title=f"Repair: {found.kind.replace('_', ' ')}",
        act="Repair",
        back=_PAGE,
        facts=_about(found),
        effects=(
            "The service is compared again; if the mismatch is gone meanwhile, nothing happens.",
            f"Then: {found.repair}.",
            "A repair never suspends or ceases. On the network it counts against the brake.",
            "Afterwards the service is compared once more; only what is gone counts as repaired.",
        ),
    )


def _dismissal(found: FindingView) -> Question:
    return Question(
        title=f"Dismiss: {found.kind.replace('_', ' ')}",
        act="Dismiss",
        back=_PAGE,
        facts=_about(found),
        effects=(
            "It stays as it is and leaves this list; it is not repaired by itself either.",
            "When the mismatch goes away and comes again, it is a new finding.",
        ),
        fields=(Field(name="reason", label="Reason", hint="why it may stay so", required=True),),
        dangerous=True,
    )
