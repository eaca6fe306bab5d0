"""Native API of privacy: export, erasure, the register, purges."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from turnup.app.privacy.erasing import ERASE, Rights, Survey
from turnup.app.privacy.purging import Purges
from turnup.kernel.clock import iso_utc
from turnup.kernel.errors import NotFound
from turnup.runtime.access.four_eyes import guarded
from turnup.runtime.auth import authorise
from turnup.runtime.erasures import Erasure
from turnup.runtime.purges import PurgeView


class Named(BaseModel):
    """`person`: a customer's number, mail address, or the id of a customer or party. In the body: addresses
    of pages are logged by proxies."""

    person: str


def build_router(rights: Rights, purges: Purges) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1/privacy", tags=["privacy"])

    @router.post("/export")
    def export(request: Request, body: Named) -> Mapping[str, Any]:
        """Everything held about a person; that it was taken is audited."""
        caller = authorise(request, "privacy:write")
        return rights.export(body.person, caller.actor)

    @router.post("/erasure/survey")
    def survey(request: Request, body: Named) -> dict[str, Any]:
        """What an erasure would do, what is in its way, what stays; changes nothing."""
        authorise(request, "privacy:read")
        return survey_body(rights.survey(body.person))

    @router.post("/erasure")
    def erase(request: Request, body: Named) -> Response:
        """Erase a person; may need four eyes. Asked again, it answers with the same erasure."""
        caller = authorise(request, "privacy:write")
        return guarded(request, caller, ERASE, rights.arguments(body.person))

    @router.get("/erasure")
    def register(request: Request) -> list[dict[str, Any]]:
        """The erasure register: ids only."""
        authorise(request, "privacy:read")
        return [erasure_body(each) for each in rights.erasures()]

    @router.get("/erasure/{erasure_id}")
    def erasure(request: Request, erasure_id: UUID) -> dict[str, Any]:
        """How far an erasure is, what it changed and what stays until when."""
        authorise(request, "privacy:read")
        found = rights.erasure(erasure_id)
        if found is None:
            raise NotFound(f"there is no erasure {erasure_id}", field="erasure")
        return erasure_body(found)

    @router.get("/retention")
    def retention(request: Request) -> list[dict[str, Any]]:
        """How long each kind of data is kept, and what is due now."""
        authorise(request, "privacy:read")
        return [{**asdict(due), "before": due.before and iso_utc(due.before)} for due in purges.due()]

    @router.get("/purge")
    def last_purges(request: Request) -> list[dict[str, Any]]:
        """The last purges and what they took away."""
        authorise(request, "privacy:read")
        return [purge_body(view) for view in purges.last()]

    @router.post("/purge")
    def purge(request: Request) -> dict[str, str]:
        """Begin a purge now; workers carry it out."""
        caller = authorise(request, "privacy:write")
        return {"purge": purges.begin(caller.actor)}

    return router


def survey_body(survey: Survey) -> dict[str, Any]:
    """As JSON shows it."""
    return {
        "party": str(survey.party),
        "inTheWay": list(survey.in_the_way),
        "rows": survey.rows,
        "files": survey.files,
        "kept": [
            {"where": k.where, "why": k.why, "until": k.until.isoformat() if k.until else None}
            for k in survey.kept
        ],
        "documentsUntil": survey.documents_until.isoformat() if survey.documents_until else None,
        "erasure": erasure_body(survey.erasure) if survey.erasure else None,
    }


def erasure_body(erasure: Erasure) -> dict[str, Any]:
    """As JSON shows it."""
    return {
        "id": str(erasure.id),
        "party": str(erasure.party),
        "askedBy": erasure.asked_by,
        "askedAt": iso_utc(erasure.asked_at),
        "state": erasure.state.value,
        "inTheWay": list(erasure.in_the_way),
        "changed": erasure.changed,
        "kept": list(erasure.kept),
        "documentsUntil": erasure.documents_until.isoformat() if erasure.documents_until else None,
        "doneAt": iso_utc(erasure.done_at) if erasure.done_at else None,
        "again": erasure.again,
    }


def purge_body(view: PurgeView) -> dict[str, Any]:
    """As JSON shows it."""
    return {
        "id": view.id,
        "startedAt": iso_utc(view.started_at),
        "finishedAt": iso_utc(view.finished_at) if view.finished_at else None,
        "actor": view.actor,
        "rows": view.rows,
    }
