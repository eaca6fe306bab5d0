"""HTTP shapes of connectors, native: documents, runs, files, quarantine."""

from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from turnup.contracts.mediation import ConnectorView, MadeFile, QuarantinedRow, TakenFile
from turnup.integration.mediation.model import Outcome
from turnup.integration.mediation.service.connectors import Connectors
from turnup.integration.mediation.service.files import Files
from turnup.integration.mediation.workflows.comparison import Comparison
from turnup.integration.mediation.workflows.exchange import Exchange, actor_of_run
from turnup.kernel.clock import iso_utc
from turnup.runtime.auth import authorise
from turnup.runtime.component import Runtime

Row = Annotated[int, Path(ge=1, le=2**63 - 1)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=500)]

_READ, _WRITE = "connectors:read", "connectors:write"


class NewCredentials(BaseModel):
    """How to log in at the file server: a password, or a private key in OpenSSH's format."""

    password: str = ""
    private_key: str | None = Field(default=None, alias="privateKey")


class Replay(BaseModel):
    """`corrected`: columns of the row as they should have come."""

    corrected: dict[str, str] = Field(default_factory=dict)


class Discard(BaseModel):
    reason: str


def routers(
    connectors: Connectors, files: Files, exchange: Exchange, comparison: Comparison, runtime: Runtime
) -> list[APIRouter]:
    router = APIRouter(prefix="/turnup/v1/connectors", tags=["connectors"])

    @router.get("")
    def listed(request: Request) -> list[dict[str, Any]]:
        """Every connector, by name."""
        authorise(request, _READ)
        return [_connector(view) for view in connectors.views()]

    @router.put("")
    def publish(request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Put a connector's document in force; the same content again is the same version."""
        caller = authorise(request, _WRITE)
        with runtime.unit("mediation", caller.actor) as unit:
            name, version, changed = connectors.publish(unit, body)
        return {"name": name, "version": version, "changed": changed}

    @router.get("/quarantine")
    def quarantine(request: Request, connector: str | None = None) -> list[dict[str, Any]]:
        """Rows that wait for a person, the oldest first."""
        authorise(request, _WRITE)  # rows may hold personal data: not for everybody who may look
        return [_row(row) for row in files.quarantined(connector)]

    @router.post("/quarantine/{row}/replay")
    def replay(request: Request, row: Row, body: Replay) -> dict[str, Any]:
        """Apply a row again, as it came or corrected; answers what became of it."""
        caller = authorise(request, _WRITE)
        return _outcome(exchange.replay(row, caller.actor, body.corrected))

    @router.post("/quarantine/{row}/discard")
    def discard(request: Request, row: Row, body: Discard) -> dict[str, str]:
        """This row is never applied, for a reason."""
        caller = authorise(request, _WRITE)
        with runtime.unit("mediation", caller.actor) as unit:
            files.discard(unit, row, body.reason)
        return {"state": "discarded"}

    @router.get("/{name}")
    def shown(request: Request, name: str) -> dict[str, Any]:
        """One connector with its document."""
        authorise(request, _READ)
        view = connectors.view(name)
        return {**_connector(view), "document": view.document}

    @router.put("/{name}/credentials")
    def credentials(request: Request, name: str, body: NewCredentials) -> dict[str, bool]:
        """Set how to log in at its file server; kept sealed, never shown."""
        caller = authorise(request, _WRITE)
        with runtime.unit("mediation", caller.actor) as unit:
            connectors.set_credentials(unit, name, password=body.password, private_key=body.private_key)
        return {"credentialsSet": True}

    @router.post("/{name}/run")
    def run(request: Request, name: str) -> dict[str, Any]:
        """Exchange what there is to exchange now; answers with what was done."""
        caller = authorise(request, _WRITE)
        report = exchange.run(name, actor_of_run(caller.actor))
        return {
            "connector": report.connector,
            "mode": report.mode,
            "files": [_taken(file) for file in report.files],
            "made": [_made(file) for file in report.made],
            "waiting": list(report.waiting),
            "refusedNames": list(report.refused_names),
        }

    @router.get("/{name}/files")
    def exchanged(request: Request, name: str, limit: Limit = 50) -> dict[str, Any]:
        """The latest files, in and out."""
        authorise(request, _READ)
        connectors.connector(name)
        return {
            "taken": [_taken(file) for file in files.taken(name, limit)],
            "made": [_made(file) for file in files.made(name, limit)],
        }

    @router.get("/{name}/files/{number}")
    def content(request: Request, name: str, number: Number) -> Response:
        """An outgoing file, byte for byte as it was made."""
        authorise(request, _WRITE)
        made, data = files.content(name, number)
        disposition = f"attachment; filename*=UTF-8''{quote(made.name)}"  # RFC 6266: any name, no quotes
        return Response(data, media_type="text/csv", headers={"Content-Disposition": disposition})

    @router.post("/{name}/files/{number}/resend")
    def resend(request: Request, name: str, number: Number) -> dict[str, Any]:
        """The same file once more, byte for byte."""
        caller = authorise(request, _WRITE)
        return _made(exchange.send_again(name, number, caller.actor))

    @router.get("/files/{file_id}/differences")
    def differences(request: Request, file_id: UUID) -> list[dict[str, Any]]:
        """Which fields each row of an incoming file changed, or (shadow) would change."""
        authorise(request, _READ)
        return [{"row": n, "fields": what} for n, what in files.differences(file_id)]

    takeovers = APIRouter(prefix="/turnup/v1/takeovers", tags=["connectors"])

    @takeovers.get("/{system}/report")
    def report(request: Request, system: str) -> list[dict[str, Any]]:
        """Every running service of this system: sold, on its elements, billed; what would differ."""
        authorise(request, _READ)
        return [asdict(line) for line in comparison.report(system)]

    return [router, takeovers]


def _connector(view: ConnectorView) -> dict[str, Any]:
    return {
        "name": view.name,
        "version": view.version,
        "direction": view.direction,
        "kind": view.kind,
        "mode": view.mode,
        "importedAt": iso_utc(view.imported_at),
        "importedBy": view.imported_by,
        "credentialsSet": view.credentials_set,
        "nextAt": iso_utc(view.next_at) if view.next_at else None,
        "lastRunAt": iso_utc(view.last_run_at) if view.last_run_at else None,
        "lastError": view.last_error,
    }


def _taken(file: TakenFile) -> dict[str, Any]:
    counts = file.counts
    return {
        "id": str(file.id),
        "name": file.name,
        "version": file.version,
        "sha256": file.sha256,
        "mode": file.mode,
        "state": file.state,
        "reason": file.reason,
        "read": counts.read,
        "applied": counts.applied,
        "unchanged": counts.unchanged,
        "quarantined": counts.quarantined,
        "discarded": counts.discarded,
        "waiting": counts.waiting,
        "takenAt": iso_utc(file.taken_at),
        "acknowledgedAt": iso_utc(file.acknowledged_at) if file.acknowledged_at else None,
        "filedAt": iso_utc(file.filed_at) if file.filed_at else None,
    }


def _made(file: MadeFile) -> dict[str, Any]:
    return {
        "number": file.number,
        "name": file.name,
        "rows": file.rows,
        "controlSum": file.control_sum,
        "sha256": file.sha256,
        "mode": file.mode,
        "madeAt": iso_utc(file.made_at),
        "sentAt": iso_utc(file.sent_at) if file.sent_at else None,
    }


def _row(row: QuarantinedRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "connector": row.connector,
        "file": row.file,
        "row": row.row,
        "key": row.key,
        "field": row.field,
        "reason": row.reason,
        "remedy": row.remedy,
        "raw": dict(row.raw),
        "since": iso_utc(row.since),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "state": outcome.state.value,
        "key": outcome.key,
        "field": outcome.field,
        "reason": outcome.reason,
        "remedy": outcome.remedy,
        "changed": outcome.difference,
    }
