"""What logging in and out means to a browser: the session's cookie, and where she goes from there."""

from urllib.parse import urlsplit

from fastapi import Request, Response

from turnup.runtime.access import staff
from turnup.runtime.access.edge import Access
from turnup.runtime.access.sessions import OpenedSession
from turnup.runtime.access.staff import access_unit
from turnup.runtime.auth import SESSION_COOKIE, Caller
from turnup.runtime.component import Runtime

_OURS = "/console"


def address_of(request: Request) -> str:
    """Where the request comes from, as lock-outs count it."""
    return request.client.host if request.client else "unknown"


def is_https(request: Request, access: Access) -> bool:
    return (access.public_url or str(request.base_url)).startswith("https://")


def with_session(answer: Response, opened: OpenedSession, request: Request, access: Access) -> Response:
    """The answer, with the session's cookie."""
    answer.headers["Cache-Control"] = "no-store"
    answer.set_cookie(
        SESSION_COOKIE,
        opened.token,
        path="/",
        httponly=True,
        secure=is_https(request, access),
        samesite="lax",
    )
    return answer


def end_session(runtime: Runtime, access: Access, caller: Caller, answer: Response) -> Response:
    """The answer, that ends this session and takes its cookie."""
    if caller.session_id is not None:
        with access_unit(runtime, caller.actor) as unit:
            staff.end_sessions(unit, caller.name, caller.session_id)
        access.authenticator.forget()
    answer.delete_cookie(SESSION_COOKIE)
    return answer


def way_back(wanted: str) -> str | None:
    """A page of the console, if that is what it is: never another site's, whatever the browser would make of
    backslashes, control characters or a missing scheme."""
    there = urlsplit(wanted)
    plain = wanted.isprintable() and "\\" not in wanted and not there.scheme and not there.netloc
    ours = there.path == _OURS or there.path.startswith(f"{_OURS}/")
    return wanted if plain and ours and ".." not in there.path and len(wanted) <= 4096 else None
