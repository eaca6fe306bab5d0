"""The HTTP edge: makes the app, turns errors into TM Forum bodies, watches every request.

It knows no resource; components bring routers. One span, one count and one request id per request.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnup import __version__
from turnup.kernel.errors import InvalidInput, NotFound, TooLarge, TooManyRequests, TurnupError, Unavailable
from turnup.kernel.ids import new_id
from turnup.runtime import health, metrics, telemetry
from turnup.runtime.access.edge import Access, access_by_default
from turnup.runtime.access.rate import RequestRate
from turnup.runtime.access.routes import access_router
from turnup.runtime.component import Runtime
from turnup.runtime.observability import event_backlog, process_registry
from turnup.runtime.tmf.body import json_response, problem

log = structlog.get_logger(__name__)

_QUIET = {"/livez", "/readyz", "/metrics"}
_LAG_WARNING_S = 30.0
_OIDC_STARTS_PER_MINUTE = 30
"""Per address: each is kept until it ends."""


_TELEMETRY: TelemetryConfig = {
    "auto_configure": False,
    "operation_spans": False,
    "metrics": False,
    "logs": False,  # it would log what came in, and that may be personal
}


ErrorPage = Callable[[Request, TurnupError], Response | None]
"""None: this request is a program's, and gets JSON."""


class MethodNotAllowed(TurnupError):
    """This resource exists, but not this operation on it."""

    code = "method_not_allowed"
    status = 405


def make_app(
    routers: Sequence[APIRouter],
    runtime: Runtime,
    title: str = "Turnup",
    *,
    revision: str | None = None,
    access: Access | None = None,
    error_page: ErrorPage | None = None,
) -> FastAPI:
    """The app: these routers, those of access, /docs, /livez, /readyz, /metrics and /errors/CODE. `access`:
    whom we serve and how (None: as with no setting made); `revision` is what /readyz wants the database to be
    at; `error_page` may answer with a page where people look at one. Endpoints that are not TMF resources
    call `runtime.auth.authorise(request, scope)`."""
    # FastAPI makes the request's span, inside the caller's trace; where spans go is our settings' matter
    app = FastAPIOffline(
        redoc_url=None,
        static_url="/docs/assets",
        swagger_ui_parameters={"validatorUrl": None},  # or it would ask a validator on the Internet
        title=title,
        version=__version__,
        telemetry=_TELEMETRY,
        dependencies=[Depends(_bind_ids)],
    )
    access = access or access_by_default(runtime)
    app.state.authenticator = access.authenticator
    app.state.request_rate = access.rate
    app.state.login_rate = RequestRate(runtime.database.engine, _OIDC_STARTS_PER_MINUTE)
    app.state.four_eyes = access.four_eyes
    app.state.public_host = access.public_host
    app.state.error_page = error_page
    for router in [*routers, access_router(access, runtime)]:
        app.include_router(router)
    app.include_router(_house_routes(runtime, revision))
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(_BodyLimit, bytes_max=access.body_bytes_max)
    app.add_middleware(_Watch)
    _describe(app)
    return app


async def _bind_ids(request: Request) -> None:
    """The ids in the path, service_id and the like, are in every log line of the request."""
    ids = {name: value for name, value in request.path_params.items() if name.endswith("_id")}
    telemetry.bind_request(**ids)


class _Watch:
    """Per request: a request id, in the answer and in every log line, and the count."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")[:64] or str(new_id())
        status, answered = 500, False
        started = time.perf_counter()

        async def send_marked(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with telemetry.bind(request_id=request_id):
            try:
                await self._app(scope, receive, send_marked)
            except Exception as error:
                if answered:
                    raise
                # here and not further out, where neither the answer nor the log line would have the id
                await _on_bug(Request(scope), error)(scope, receive, send_marked)
            finally:
                _record(scope, status, time.perf_counter() - started)


class _BodyLimit:
    """Bodies are read into memory: one that is larger than the limit is refused, said or found."""

    def __init__(self, app: ASGIApp, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        said = request.headers.get("content-length", "")
        if said.isdecimal() and int(said) > self._bytes_max:
            await _answer(request, self._refusal())(scope, receive, send)
            return
        came, answered = 0, False

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._bytes_max:
                raise self._refusal()
            return message

        async def send_refusal_instead(message: Message) -> None:
            """Whoever read the body may have made something else of our error."""
            nonlocal answered
            if came <= self._bytes_max:
                await send(message)
            elif not answered:
                answered = True
                await _answer(request, self._refusal())(scope, receive, send)

        await self._app(scope, counted, send_refusal_instead)

    def _refusal(self) -> TooLarge:
        return TooLarge(
            f"a body has at most {self._bytes_max} bytes here",
            field="body",
            remedy="send it in parts, or raise http_body_bytes_max",
        )


def _record(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unknown")
    method = scope["method"]
    metrics.requests.labels(method, route, status).inc()
    metrics.request_seconds.labels(method, route).observe(seconds)


def _answer(request: Request, error: TurnupError) -> Response:
    page: ErrorPage | None = request.app.state.error_page
    if page is not None and (shown := page(request, error)) is not None:
        return shown
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_s)
    base = str(request.base_url).rstrip("/")
    return json_response(problem(error, base_url=base), error.status, headers)


def _on_turnup_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TurnupError)
    if error.status >= 500:
        log.warning("request_failed", code=error.code, error=str(error))
    return _answer(request, error)


def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", first["msg"])
        shown = InvalidInput(f"the body is not valid JSON: {reason}", field="body", remedy="send JSON")
        return _answer(request, shown)
    path = _path_of(first["loc"])
    return _answer(request, InvalidInput(first["msg"], field=path, remedy=f"see /docs for what {path} takes"))


def _path_of(location: Sequence[int | str]) -> str:
    """``("body", "items", 0, "name")`` as ``items[0].name``."""
    parts = list(location[1:]) or list(location)
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else str(part))
    return path


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _answer(
            request, NotFound(f"there is nothing at {request.url.path}", field="path", remedy="see /docs")
        )
    if error.status_code == 405:
        refusal = MethodNotAllowed(
            f"{request.method} is not possible here", field="method", remedy="see /docs for what is"
        )
        return _answer(request, refusal)
    shown = InvalidInput(str(error.detail), remedy="see /docs")
    return json_response(problem(shown), error.status_code)


def _on_database_gone(request: Request, error: Exception) -> Response:
    log.error("database_unavailable", error=str(error).splitlines()[0])
    return _answer(request, Unavailable("the database does not answer", remedy="try again in a moment"))


def _on_pool_exhausted(request: Request, error: Exception) -> Response:
    log.error("database_pool_exhausted", error=str(error).splitlines()[0])
    remedy = "try again in a moment; if it stays so, raise database_pool_size"
    return _answer(request, Unavailable("no database connection came free in time", remedy=remedy))


def _on_bug(request: Request, error: Exception) -> Response:
    log.error("request_crashed", path=request.url.path, exc_info=error)
    shown = TurnupError("something went wrong in Turnup itself", remedy="report the X-Request-Id")
    return _answer(request, shown)


_HANDLERS: dict[int | type[Exception], Callable[[Request, Exception], Response]] = {
    TurnupError: _on_turnup_error,
    RequestValidationError: _on_invalid_request,
    HTTPException: _on_http_error,
    OperationalError: _on_database_gone,
    PoolExhausted: _on_pool_exhausted,
    Exception: _on_bug,
}


def _house_routes(runtime: Runtime, revision: str | None) -> APIRouter:
    """What every Turnup process with an HTTP port answers, without a token."""
    house = APIRouter(include_in_schema=False)
    registry = process_registry(runtime.database.engine, runtime.clock)

    @house.get("/livez")
    async def livez() -> Response:
        """The process answers; says nothing about what it depends on."""
        return json_response({"status": "ok"})

    @house.get("/readyz")
    def readyz() -> Response:
        checks, ready = _readiness(runtime, revision)
        return json_response(
            {"status": "ok" if ready else "unavailable", "checks": checks}, 200 if ready else 503
        )

    @house.get("/metrics")
    def show_metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @house.get("/errors/{code}")
    def explain_error(code: str) -> Response:
        """What `referenceError` points to."""
        known = {kind.code: kind for kind in _error_kinds()}
        if code not in known:
            raise NotFound(
                f"there is no error {code}", field="code", remedy=f"known: {', '.join(sorted(known))}"
            )
        about = " ".join((known[code].__doc__ or "").split())
        return json_response({"code": code, "status": known[code].status, "meaning": about})

    return house


def _readiness(runtime: Runtime, revision: str | None) -> tuple[dict[str, Any], bool]:
    """The database answers and is laid out: ready. A slow sequencer is shown, but orders are still taken."""
    try:
        with runtime.database.engine.connect() as connection:
            laid_out = connection.scalar(text("SELECT to_regclass('runtime.sequencer') IS NOT NULL"))
            if not laid_out:
                return {"database": "ok", "migrations": "missing: run `turnup migrate`"}, False
            present = health.revision(connection) if revision is not None else None
            if present != revision:
                return {"database": "ok", "migrations": f"{present}, not {revision}: `turnup migrate`"}, False
            waiting, age_s = event_backlog(connection, runtime.clock)
    except SQLAlchemyError as error:
        return {"database": f"does not answer: {type(error).__name__}"}, False
    lag = f"{'slow' if age_s > _LAG_WARNING_S else 'ok'}: {waiting} events wait, the oldest {age_s:.1f} s"
    return {"database": "ok", "migrations": "ok", "sequencer": lag}, True


def _error_kinds() -> set[type[TurnupError]]:
    found = {TurnupError}
    waiting = [TurnupError]
    while waiting:
        below = waiting.pop().__subclasses__()
        found.update(below)
        waiting.extend(below)
    return found


def _describe(app: FastAPI) -> None:
    """Add the error body and the token to the OpenAPI document."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["Error"] = {
            "type": "object",
            "required": ["@type", "code", "reason"],
            "properties": {
                name: {"type": "string"}
                for name in (
                    "@type",
                    "code",
                    "reason",
                    "message",
                    "status",
                    "referenceError",
                    "field",
                    "remedy",
                )
            },
        }
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
