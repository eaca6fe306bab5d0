"""HTTP shapes of reconciliation, native: run a comparison, list and dismiss findings."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel

from turnup.contracts.reconciliation import FindingView
from turnup.integration.reconciliation.service import Reconciliation
from turnup.integration.reconciliation.workflows import Reconciler
from turnup.kernel.clock import iso_utc
from turnup.kernel.ids import FindingId
from turnup.runtime.auth import authorise
from turnup.runtime.component import Runtime

_READ, _WRITE = "reconciliation:read", "reconciliation:write"


class NewRun(BaseModel):
    """`repair`: mend what is safe to mend."""

    repair: bool = False


class Dismissal(BaseModel):
    reason: str


def routers(findings: Reconciliation, reconciler: Reconciler, runtime: Runtime) -> list[APIRouter]:
    router = APIRouter(prefix="/turnup/v1/reconciliation", tags=["reconciliation"])

    @router.post("/runs")
    def run(request: Request, body: NewRun) -> dict[str, Any]:
        """Compare sold, desired, actual, live and billed now; answers with the report."""
        authorise(request, _WRITE)
        report = reconciler.run(repair=body.repair)
        return {
            "checked": report.checked,
            "found": report.found,
            "repaired": report.repaired,
            "unknown": report.unknown,
            "inFlight": report.in_flight,
            "byKind": dict(report.by_kind),
            "findings": [_finding(view) for view in report.findings],
        }

    @router.get("/findings")
    def listed(request: Request, all: bool = False) -> list[dict[str, Any]]:  # noqa: FBT001, FBT002
        """Open findings, the latest first; with `all`, repaired and dismissed ones too."""
        authorise(request, _READ)
        return [_finding(view) for view in findings.findings(open_only=not all)]

    @router.post("/findings/{finding_id}/dismiss")
    def dismiss(request: Request, finding_id: UUID, body: Dismissal) -> dict[str, str]:
        """It may stay so, for a reason; it is not repaired, and silent until the mismatch is gone."""
        caller = authorise(request, _WRITE)
        with runtime.unit("reconciliation", caller.actor) as unit:
            findings.dismiss(unit, FindingId(finding_id), body.reason)
        return {"state": "dismissed"}

    @router.post("/findings/{finding_id}/repair")
    def repair(request: Request, finding_id: UUID) -> dict[str, str]:
        """Mend it now, where it is safe. `state`: repaired, or open when it is still there."""
        caller = authorise(request, _WRITE)
        gone = reconciler.repair(FindingId(finding_id), caller.actor)
        return {"state": "repaired" if gone else "open"}

    return [router]


def _finding(view: FindingView) -> dict[str, Any]:
    return {
        "id": str(view.id),
        "kind": view.kind,
        "serviceId": str(view.service_id),
        "service": view.service_number,
        "detail": view.detail,
        "monthlyMinor": view.monthly_minor,
        "currency": view.currency,
        "owner": view.owner,
        "repair": view.repair,
        "safe": view.safe,
        "foundAt": iso_utc(view.found_at),
        "repairedAt": iso_utc(view.repaired_at) if view.repaired_at else None,
    }
