"""The console's routes together, and its error pages."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from turnup.console.assets import asset_router
from turnup.console.desk import Desk
from turnup.console.forms import form_of
from turnup.console.pages import customer, home, invoice, login, network, order, reconciliation, search
from turnup.console.rendering import show
from turnup.kernel.errors import NotAllowed, TooManyRequests, TurnupError, Unauthenticated

ROOT = "/console"


def console_routers(desk: Desk) -> list[APIRouter]:
    pages = (login, home, search, customer, order, network, invoice, reconciliation)
    return [asset_router(), *(page.router(desk) for page in pages)]


def error_page(request: Request, error: TurnupError) -> Response | None:
    """The page for an error under /console: to the login and back where nobody is logged in, else what went
    wrong and what helps. None elsewhere."""
    path = request.url.path
    if path != ROOT and not path.startswith(f"{ROOT}/"):
        return None
    if isinstance(error, Unauthenticated):
        return _to_login(request)
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, TooManyRequests) else {}
    part = request.headers.get("hx-request") == "true"
    remedy = error.remedy
    if isinstance(error, NotAllowed) and error.field == "Authorization":
        remedy = remedy or "ask an administrator for a role that has it"
    shown = show(
        request,
        "error_part.html" if part else "error.html",
        status=error.status,
        error=error,
        remedy=remedy,
    )
    shown.headers.update(headers)
    return shown


def _to_login(request: Request) -> Response:
    """What was typed into a form comes back with the address of its page, and nothing happens by itself."""
    fields = {**request.query_params, **form_of(request)}
    page = request.url.path + (f"?{urlencode(fields)}" if fields else "")
    if request.headers.get("hx-request") == "true":
        seen = request.headers.get("hx-current-url", "")
        page = "/" + seen.split("://", 1)[-1].partition("/")[2] if "://" in seen else page
        return Response(status_code=401, headers={"HX-Redirect": _login(page)})
    return RedirectResponse(_login(page), 303)


def _login(page: str) -> str:
    return f"{ROOT}/login?{urlencode({'next': page})}"
