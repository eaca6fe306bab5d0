"""HTTP shapes of access, native: log in and out, staff, tokens, approvals.

A session's token comes in the answer, for programs, and in a cookie, for the console's pages.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse

from turnup.kernel.access import Roles, check_grant, check_roles, scopes_of
from turnup.kernel.clock import iso_utc
from turnup.kernel.errors import NotAllowed, NotFound
from turnup.kernel.ids import BrandId, LegalEntityId
from turnup.runtime import auth
from turnup.runtime.access import oidc, staff
from turnup.runtime.access.browser import address_of, end_session, is_https, way_back, with_session
from turnup.runtime.access.edge import CALLBACK, Access
from turnup.runtime.access.four_eyes import approval_body, guarded
from turnup.runtime.access.sessions import OpenedSession, SessionView
from turnup.runtime.access.staff import StaffView, access_unit
from turnup.runtime.auth import Caller, authorise, identified
from turnup.runtime.component import Runtime
from turnup.runtime.dangerous import Arguments, Dangerous
from turnup.runtime.tmf.body import json_response
from turnup.runtime.unit_of_work import UnitOfWork

GRANT = "staff.grant"
_READ, _WRITE = "access:read", "access:write"
_OIDC_COOKIE = "turnup_login"
_NEXT_COOKIE = "turnup_next"
_OIDC_PATH = "/turnup/v1/login/oidc"


class Credentials(BaseModel):
    name: str = Field(max_length=200)
    password: str = Field(max_length=1024)


class NewPassword(BaseModel):
    old: str = Field(max_length=1024)
    new: str = Field(max_length=1024)


class NewStaff(BaseModel):
    """`legal_entity_id`, `brand_id`: what she is confined to."""

    roles: list[str]
    oidc_identity: str | None = None
    legal_entity_id: UUID | None = None
    brand_id: UUID | None = None


class NewToken(BaseModel):
    name: str = Field(min_length=1, max_length=200)
    scopes: list[str]
    days: int = Field(ge=1, le=3650)


class Refusal(BaseModel):
    reason: str


def staff_grant(roles: Roles) -> Dangerous:
    """Letting somebody in, or changing what she may: else one administrator makes her own second person."""

    def run(unit: UnitOfWork, arguments: Arguments) -> Mapping[str, Any]:
        legal_entity, brand = arguments["legal_entity_id"], arguments["brand_id"]
        staff.grant(
            unit,
            arguments["name"],
            arguments["roles"],
            known=roles,
            legal_entity_id=LegalEntityId(UUID(legal_entity)) if legal_entity else None,
            brand_id=BrandId(UUID(brand)) if brand else None,
            oidc_identity=arguments["oidc_identity"],
        )
        return _staff(staff.existing(unit.connection, arguments["name"]))

    def what(arguments: Arguments) -> str:
        return f"let in {arguments['name']} as {', '.join(arguments['roles'])}"

    return Dangerous(action=GRANT, scope=_WRITE, component=None, what=what, run=run)


def access_router(access: Access, runtime: Runtime) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1", tags=["access"])
    _add_login(router, access, runtime)
    _add_oidc(router, access)
    _add_staff(router, access, runtime)
    _add_tokens(router, runtime)
    _add_approvals(router, access)
    return router


def _add_login(router: APIRouter, access: Access, runtime: Runtime) -> None:
    @router.post("/login")
    def login(request: Request, body: Credentials) -> Response:
        """A session for name and password. 429 after too many failures, with Retry-After."""
        opened = access.logins.login(body.name, body.password, address_of(request))
        return with_session(json_response(_opened(opened)), opened, request, access)

    @router.post("/logout", status_code=204)
    def logout(request: Request) -> Response:
        """End this session."""
        caller = identified(request)
        return end_session(runtime, access, caller, Response(status_code=204))

    @router.get("/me")
    def me(request: Request) -> dict[str, Any]:
        """Who I am here, and what I may."""
        caller = identified(request)
        return {
            "actor": caller.actor,
            "person": caller.person,
            "scopes": sorted(scope for scope in caller.scopes if caller.may(scope)),
            "confined": caller.realm is not None,
        }

    @router.post("/me/password", status_code=204)
    def change_password(request: Request, body: NewPassword) -> Response:
        """Another password for myself; every session of mine ends."""
        caller = identified(request)
        if not caller.in_person:
            raise NotAllowed("a token has no password", field="Authorization", remedy="log in")
        access.logins.change_password(caller.name, body.old, body.new, address_of(request))
        access.authenticator.forget()
        return Response(status_code=204)


def _add_oidc(router: APIRouter, access: Access) -> None:
    def provider() -> oidc.OpenIdLogin:
        if access.oidc is None:
            raise NotFound(
                "no OpenID provider is set up", field="oidc_issuer", remedy="set TURNUP_OIDC_ISSUER"
            )
        return access.oidc

    @router.get("/login/oidc")
    def start(request: Request, next: str = "") -> Response:
        """Send the browser to the OpenID provider. `next`: the page of the console that she goes to then."""
        login = provider()
        request.app.state.login_rate.spend(address_of(request))
        where, state = login.start()
        answer = RedirectResponse(where, 303)
        kept: dict[str, Any] = {
            "max_age": int(oidc.LASTS.total_seconds()),
            "path": _OIDC_PATH,
            "httponly": True,
            "secure": is_https(request, access),
            "samesite": "lax",  # the provider sends the browser back from its own pages
        }
        answer.set_cookie(_OIDC_COOKIE, state, **kept)
        if (page := way_back(next)) is not None:
            answer.set_cookie(_NEXT_COOKIE, quote(page), **kept)
        return answer

    @router.get(CALLBACK.removeprefix("/turnup/v1"))
    def callback(
        request: Request, state: str = "", code: str = "", iss: str | None = None, error: str = ""
    ) -> Response:
        """The provider sends the browser here: a session, where it is a staff member's identity."""
        login = provider()
        if error or not code:
            raise oidc.LoginRefused("the provider refused", field="oidc", remedy="start again")
        cookie = request.cookies.get(_OIDC_COOKIE, "")
        opened = login.finish(state=state, cookie=cookie, code=code, issuer=iss, address=address_of(request))
        page = way_back(unquote(request.cookies.get(_NEXT_COOKIE, "")))
        shown = json_response(_opened(opened)) if page is None else RedirectResponse(page, 303)
        answer = with_session(shown, opened, request, access)
        for name in (_OIDC_COOKIE, _NEXT_COOKIE):
            answer.delete_cookie(name, path=_OIDC_PATH)
        return answer


def _add_staff(router: APIRouter, access: Access, runtime: Runtime) -> None:
    @router.get("/staff")
    def everybody(request: Request) -> list[dict[str, Any]]:
        """Who works here, with which roles."""
        authorise(request, _READ)
        with runtime.database.engine.connect() as connection:
            return [_staff(view) for view in staff.everybody(connection)]

    @router.get("/roles")
    def roles(request: Request) -> dict[str, list[str]]:
        """The roles there are, and what each opens."""
        authorise(request, _READ)
        return {name: sorted(scopes) for name, scopes in access.roles.items()}

    @router.put("/staff/{name}")
    def grant(request: Request, name: str, body: NewStaff) -> Response:
        """Let somebody in with these roles, or change them. She logs in at the OpenID provider by
        `oidc_identity`; a password is set by `turnup staff password`. May need four eyes (202)."""
        caller = authorise(request, _WRITE)
        check_roles(body.roles, access.roles)
        _check_not_beyond(runtime, caller, name, access.roles, scopes_of(body.roles, access.roles))
        arguments = {"name": name, **body.model_dump(mode="json")}
        answer = guarded(request, caller, GRANT, arguments)
        access.authenticator.forget()
        return answer

    @router.post("/staff/{name}/disable")
    def disable(request: Request, name: str) -> dict[str, str]:
        """She gets in no more, from now on: sessions and tokens of hers end."""
        caller = authorise(request, _WRITE)
        _check_not_beyond(runtime, caller, name, access.roles)
        with access_unit(runtime, caller.actor) as unit:
            staff.disable(unit, name)
        access.authenticator.forget()
        return {"state": "disabled"}

    @router.post("/staff/{name}/unlock")
    def unlock(request: Request, name: str) -> dict[str, str]:
        """Forget her failed logins."""
        caller = authorise(request, _WRITE)
        with access_unit(runtime, caller.actor) as unit:
            staff.unlock(unit, name)
        return {"state": "unlocked"}

    @router.get("/staff/{name}/sessions")
    def sessions(request: Request, name: str) -> list[dict[str, Any]]:
        """Hers, the latest first; everybody sees her own."""
        caller = identified(request)
        if not (caller.in_person and caller.name == name):
            authorise(request, _READ)
        return [_session(view) for view in access.logins.sessions(name)]

    @router.delete("/staff/{name}/sessions")
    def end_sessions(request: Request, name: str) -> dict[str, int]:
        """End all of hers; everybody may end her own."""
        caller = identified(request)
        if not (caller.in_person and caller.name == name):
            caller = authorise(request, _WRITE)
        with access_unit(runtime, caller.actor) as unit:
            ended = staff.end_sessions(unit, name)
        access.authenticator.forget()
        return {"ended": ended}


def _check_not_beyond(
    runtime: Runtime, caller: Caller, name: str, roles: Roles, wanted: frozenset[str] = frozenset()
) -> None:
    """Nobody gives what she does not hold, nor changes a person who may more than she."""
    with runtime.database.engine.connect() as connection:
        present = staff.find(connection, name)
    for held in (caller.scopes, caller.within):
        if held is not None:
            check_grant(held, wanted | (present.scopes(roles) if present else frozenset()))


def _add_tokens(router: APIRouter, runtime: Runtime) -> None:
    @router.get("/tokens")
    def listed(request: Request) -> list[dict[str, Any]]:
        """The API tokens, without their secrets."""
        authorise(request, _READ)
        with runtime.database.engine.connect() as connection:
            return [_token(view) for view in auth.list_tokens(connection)]

    @router.post("/tokens", status_code=201)
    def create(request: Request, body: NewToken) -> dict[str, Any]:
        """A token that belongs to whoever asks: it opens no more than she may and ends with her. Its secret
        is shown this once."""
        caller = authorise(request, _WRITE)
        for held in (caller.scopes, caller.within):
            if held is not None:
                check_grant(held, body.scopes)
        with access_unit(runtime, caller.actor) as unit:
            expires_at = unit.now + timedelta(days=body.days)
            token = auth.issue_token(
                unit.connection,
                body.name,
                body.scopes,
                now=unit.now,
                expires_at=expires_at,
                owner=caller.person,
            )
            unit.audit("token.issued", body.name, after={"scopes": body.scopes, "owner": caller.person})
        return {"token": token, "expiresAt": iso_utc(expires_at)}

    @router.delete("/tokens/{name}", status_code=204)
    def revoke(request: Request, name: str) -> Response:
        """The token opens nothing from now on."""
        caller = authorise(request, _WRITE)
        with access_unit(runtime, caller.actor) as unit:
            auth.revoke_token(unit.connection, name)
            unit.audit("token.revoked", name)
        authenticator: auth.Authenticator = request.app.state.authenticator
        authenticator.forget()
        return Response(status_code=204)


def _add_approvals(router: APIRouter, access: Access) -> None:
    four_eyes = access.four_eyes

    def visible(caller: Caller, action: str) -> bool:
        if caller.realm is not None:
            return False  # requests are not told apart by legal entity or brand
        scope = four_eyes.actions.get(action)
        return caller.may(_READ) or (scope is not None and caller.may(scope))

    @router.get("/approvals")
    def listed(request: Request, all: bool = False) -> list[dict[str, Any]]:  # noqa: FBT001, FBT002
        """What waits for a second person and is hers to see; with `all`, what was decided too."""
        caller = identified(request)
        found = four_eyes.approvals(waiting_only=not all)
        return [approval_body(each) for each in found if visible(caller, each.action)]

    @router.get("/approvals/{approval_id}")
    def shown(request: Request, approval_id: UUID) -> dict[str, Any]:
        """One request and what became of it."""
        caller = identified(request)
        found = four_eyes.approval(approval_id)
        if not visible(caller, found.action):
            raise NotFound("there is no such approval", field="approval", remedy="GET /turnup/v1/approvals")
        return approval_body(found)

    @router.post("/approvals/{approval_id}/approve")
    def approve(request: Request, approval_id: UUID) -> dict[str, Any]:
        """Let it happen, now: by a second person with the right scope, logged in."""
        caller = _unconfined(identified(request))
        done = approval_body(four_eyes.approve(approval_id, caller))
        access.authenticator.forget()
        return done

    @router.post("/approvals/{approval_id}/refuse")
    def refuse(request: Request, approval_id: UUID, body: Refusal) -> dict[str, Any]:
        """It does not happen; who asked may say so, too."""
        return approval_body(four_eyes.refuse(approval_id, _unconfined(identified(request)), body.reason))


def _unconfined(caller: Caller) -> Caller:
    if caller.realm is not None:
        raise NotAllowed(
            f"{caller.name} is confined, and approvals are not told apart",
            field="Authorization",
            remedy="somebody decides who is confined to no legal entity or brand",
        )
    return caller


def _opened(opened: OpenedSession) -> dict[str, Any]:
    return {"token": opened.token, "name": opened.name, "expiresAt": iso_utc(opened.expires_at)}


def _when(instant: datetime | None) -> str | None:
    return None if instant is None else iso_utc(instant)


def _staff(view: StaffView) -> dict[str, Any]:
    return {
        "name": view.name,
        "roles": list(view.roles),
        "legalEntityId": str(view.legal_entity_id) if view.legal_entity_id else None,
        "brandId": str(view.brand_id) if view.brand_id else None,
        "hasPassword": view.has_password,
        "oidcIdentity": view.oidc_identity,
        "createdAt": iso_utc(view.created_at),
        "lastLoginAt": _when(view.last_login_at),
        "disabledAt": _when(view.disabled_at),
    }


def _session(view: SessionView) -> dict[str, Any]:
    return {
        "id": view.session_id,
        "way": view.way,
        "address": view.address,
        "createdAt": iso_utc(view.created_at),
        "seenAt": iso_utc(view.seen_at),
        "expiresAt": iso_utc(view.expires_at),
        "endedAt": _when(view.ended_at),
    }


def _token(view: auth.TokenView) -> dict[str, Any]:
    return {
        "name": view.name,
        "scopes": list(view.scopes),
        "confined": bool(view.legal_entity_id or view.brand_id),
        "owner": view.owner,
        "createdAt": iso_utc(view.created_at),
        "expiresAt": _when(view.expires_at),
        "revoked": view.revoked,
    }
