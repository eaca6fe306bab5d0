"""The audit over the whole house: its standing sealing, its native API."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from turnup.kernel.audit_chain import parse_anchors
from turnup.kernel.clock import iso_utc
from turnup.runtime.audit import Audited, Wanted, entries
from turnup.runtime.audit_chain import Verification, seal_all, verify
from turnup.runtime.auth import authorise
from turnup.runtime.component import Component, Runtime, Tick
from turnup.runtime.secrets import SecretBox

SEAL_EVERY_S = 5.0
UNSEALED_MAX = timedelta(minutes=10)
"""Whatever waits longer for its link is a finding."""
LIST_MAX = 1_000


def audit_component(runtime: Runtime, box: SecretBox) -> Component:
    """What the runtime itself does every so often, as a component without use cases."""

    def seal() -> None:
        seal_all(runtime.database.engine, box, runtime.clock.now())

    return Component(
        name="audit",
        service=None,
        ticks=[Tick(name="audit.seal", every_s=SEAL_EVERY_S, run=seal)],
        routers=[_router(runtime, box)],
    )


def _router(runtime: Runtime, box: SecretBox) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1/audit", tags=["audit"])

    @router.get("")
    def listed(
        request: Request,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        component: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        below: int | None = None,
        limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 100,
    ) -> list[dict[str, Any]]:
        """Who changed what, the newest first. `actor`, `action` may end in `*`; `below`: an id, to page."""
        authorise(request, "audit:read")
        wanted = Wanted(
            actor=actor,
            action=action,
            subject=subject,
            component=component,
            since=since,
            until=until,
            below=below,
        )
        with runtime.database.engine.connect() as connection:
            return [entry_body(entry) for entry in entries(connection, wanted, limit)]

    @router.get("/verification")
    def verification(request: Request, anchor: Annotated[Sequence[str], Query()] = ()) -> dict[str, Any]:
        """Check the whole chain, also against heads that were kept elsewhere (`anchor`, NUMBER:HASH)."""
        authorise(request, "audit:read")
        anchors = parse_anchors("\n".join(anchor))
        return verification_body(verify(runtime.database.engine, box, anchors))

    return router


def entry_body(entry: Audited) -> dict[str, Any]:
    """As JSON shows it."""
    return {**asdict(entry), "at": iso_utc(entry.at)}


def verification_body(found: Verification) -> dict[str, Any]:
    """As JSON shows it."""
    return {
        "ok": found.ok,
        "head": found.head,
        "sinceLink": found.since_link,
        "links": found.links,
        "entries": found.entries,
        "unsealed": found.unsealed,
        "uncheckedAnchors": list(found.unchecked_anchors),
        "broken": [
            {"breach": b.breach.value, "link": b.link, "entry": b.entry, "detail": b.detail}
            for b in found.broken
        ],
    }
