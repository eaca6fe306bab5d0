"""Native API of the assembly: what belongs to no component. The clock of a rehearsal installation."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from turnup.app.house import House
from turnup.app.restoration.going_back import window
from turnup.kernel.clock import iso_utc
from turnup.runtime import restored
from turnup.runtime.auth import authorise
from turnup.runtime.restored import Restored


class Advance(BaseModel):
    """How far to move the clock."""

    seconds: float = Field(gt=0)


def native_router(house: House) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1", tags=["operations"])

    @router.get("/clock")
    def clock(request: Request) -> dict[str, Any]:
        """Turnup's time, and whether it may be moved."""
        authorise(request, "operations:read")
        return {"now": iso_utc(house.runtime.clock.now()), "simulated": house.runtime.clock.simulated}

    @router.post("/clock/advance")
    def advance(request: Request, body: Advance) -> dict[str, Any]:
        """Move time forward (setting `simulated_clock` only)."""
        authorise(request, "operations:write")
        return {"now": iso_utc(house.runtime.clock.advance(timedelta(seconds=body.seconds)))}

    @router.get("/backups")
    def backups(request: Request) -> dict[str, Any]:
        """The backups of embedded PostgreSQL, and from when to when a restore can go."""
        authorise(request, "operations:read")
        found = window(house.settings)
        return {
            "earliest": iso_utc(found.earliest) if found.earliest else None,
            "latest": iso_utc(found.latest) if found.latest else None,
            "backups": [
                {
                    "name": backup.name,
                    "usableFrom": iso_utc(backup.usable_from),
                    "sizeBytes": backup.size_bytes,
                    "serverVersion": backup.server_version,
                }
                for backup in found.backups
            ],
        }

    @router.get("/restore")
    def restore(request: Request) -> dict[str, Any]:
        """Whether restored books wait for a person's release, and every going back they remember."""
        authorise(request, "operations:read")
        with house.database.engine.connect() as connection:
            history = restored.history(connection)
        waiting = any(each.released_at is None for each in history)
        return {"waiting": waiting, "history": [_restored(each) for each in history]}

    return router


def _restored(each: Restored) -> dict[str, Any]:
    return {
        "id": str(each.id),
        "to": iso_utc(each.target_at) if each.target_at else "latest",
        "restoredAt": iso_utc(each.restored_at),
        "restoredBy": each.restored_by,
        "backup": each.backup,
        "lost": each.lost,
        "releasedAt": iso_utc(each.released_at) if each.released_at else None,
        "releasedBy": each.released_by,
        "releaseReason": each.release_reason,
        "decisions": each.decisions,
    }
