"""Logging in and out, and back to where one was."""

from collections.abc import Mapping
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from turnup.console.desk import Desk
from turnup.console.forms import FORM
from turnup.console.rendering import show
from turnup.kernel.errors import TurnupError
from turnup.runtime.access.browser import address_of, end_session, way_back, with_session
from turnup.runtime.auth import check_origin, identified

_HOME = "/console"


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(prefix="/console", include_in_schema=False)

    def page(request: Request, following: str, name: str = "", error: TurnupError | None = None) -> Response:
        oidc = f"/turnup/v1/login/oidc?{urlencode({'next': following})}" if desk.access.oidc else None
        return show(
            request,
            "login.html",
            status=error.status if error else 200,
            following=following,
            name=name,
            error=error,
            oidc=oidc,
            by_password=desk.access.logins.by_password,
        )

    @routes.get("/login")
    def ask(request: Request, next: str = "") -> Response:
        return page(request, way_back(next) or _HOME)

    @routes.post("/login")
    def login(request: Request, form: Mapping[str, str] = FORM) -> Response:
        check_origin(request)  # or another site could log her in as somebody else
        following = way_back(form.get("next", "")) or _HOME
        name = form.get("name", "")[:200]
        try:
            opened = desk.access.logins.login(name, form.get("password", "")[:1024], address_of(request))
        except TurnupError as error:
            return page(request, following, name, error)
        return with_session(RedirectResponse(following, 303), opened, request, desk.access)

    @routes.post("/logout")
    def logout(request: Request) -> Response:
        caller = identified(request)
        return end_session(desk.runtime, desk.access, caller, RedirectResponse("/console/login", 303))

    return routes
