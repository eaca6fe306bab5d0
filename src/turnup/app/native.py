"""Native API of the assembly: what belongs to no component. The clock of a rehearsal installation."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from turnup.app.house import House
from turnup.kernel.clock import iso_utc
from turnup.runtime.auth import authorise


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

    return router
