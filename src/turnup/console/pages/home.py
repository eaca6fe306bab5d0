"""Where one arrives: the search box, and what waits for somebody."""

from fastapi import APIRouter, Request, Response

from turnup.console.desk import Desk
from turnup.console.rendering import show
from turnup.runtime.auth import Caller, identified


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(prefix="/console", include_in_schema=False)

    @routes.get("")
    def home(request: Request) -> Response:
        caller = identified(request)
        return show(request, "home.html", caller=caller, waits=_waits(desk, caller))

    return routes


def _waits(desk: Desk, caller: Caller) -> list[tuple[int, str, str]]:
    """(how many, of what, where), as far as she may see it."""
    if caller.realm is not None:
        return []
    found = []
    if caller.may("orders:read"):
        found.append((len(desk.orders.fallout()), "orders that stopped", "/console/fallout"))
    if caller.may("brake:read"):
        found.append((desk.services.brake().waiting, "changes held by the brake", "/console/noc#brake"))
    if caller.may("freezes:read"):
        found.append((len(desk.configuration.freezes()), "freezes in force", "/console/noc#freezes"))
    if caller.may("resources:read"):
        found.append((len(desk.watch.problems()), "service problems", "/console/noc#problems"))
    return found
