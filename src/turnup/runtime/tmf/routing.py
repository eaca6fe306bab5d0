"""From declarations to endpoints: authorise, read the request, open the unit, call, stamp, answer.

Endpoints are plain `def` (the house is synchronous); one unit of work per writing request, opened and
committed here and nowhere below.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Path, Request, Response

from turnup.kernel.errors import InvalidInput, NotAllowed, NotFound, TurnupError
from turnup.runtime import telemetry
from turnup.runtime.auth import Caller, authorise
from turnup.runtime.component import Runtime
from turnup.runtime.tmf.body import entity_tag, json_response, selected, stamped
from turnup.runtime.tmf.patch import ACCEPT_PATCH, merge_patch
from turnup.runtime.tmf.query import Page, Query, Within, parse_query, read_fields
from turnup.runtime.tmf.resource import Document, Reply, Resource


class PreconditionFailed(TurnupError):
    """The resource is no longer what the caller last read (If-Match, RFC 9110, 13.1.1)."""

    code = "precondition_failed"
    status = 412


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for status, text in {
        "400": "The input breaks a rule",
        "401": "No valid token",
        "403": "The token may not do this",
        "404": "No such resource",
        "409": "The present state does not allow it",
        "503": "A system we depend on did not answer",
    }.items()
}


class TmfRouter(APIRouter):
    """A router that knows what it was made of: the reference page and the hub ask."""

    resources: Sequence[Resource] = ()


def router(resources: Sequence[Resource], runtime: Runtime) -> TmfRouter:
    """The endpoints of these resources, ready to be included in an app."""
    api = TmfRouter()
    api.resources = tuple(resources)
    for resource in resources:
        _Endpoints(resource, runtime).add_to(api)
    return api


class _Endpoints:
    """The up to five endpoints of one resource."""

    def __init__(self, resource: Resource, runtime: Runtime) -> None:
        self._resource = resource
        self._runtime = runtime
        public = getattr(runtime.settings, "public_url", None)
        self._public_url = str(public).rstrip("/") if public else None

    def add_to(self, api: APIRouter) -> None:
        resource, one = self._resource, f"{self._resource.path}/{{id}}"
        if resource.list is not None:
            self._add(api, resource.path, self.list, "GET", f"List {resource.name}")
        if resource.create is not None:
            self._add(
                api, resource.path, self.create, "POST", f"Create {resource.name}", resource.status_code
            )
        if resource.get is not None:
            self._add(api, one, self.get, "GET", f"Read one {resource.name}")
        if resource.patch is not None:
            self._add(api, one, self.patch, "PATCH", f"Change one {resource.name}")
        if resource.delete is not None:
            self._add(api, one, self.delete, "DELETE", f"Delete one {resource.name}", 204)

    def _add(
        self, api: APIRouter, path: str, endpoint: Any, method: str, summary: str, status: int = 200
    ) -> None:
        api.add_api_route(
            path,
            endpoint,
            methods=[method],
            summary=summary,
            status_code=status,
            response_class=Response,
            response_model=None,
            dependencies=[Depends(self._bind_id)] if "{id}" in path else [],
            responses=_ERRORS,
            tags=[f"{self._resource.api} {self._resource.name}"],
            operation_id=f"{self._resource.api}_{endpoint.__name__}_{self._resource.name}",
        )

    async def _bind_id(self, request: Request) -> None:
        """`async`, because what a thread of the pool binds is not seen by the endpoint's thread."""
        if self._resource.logged is not None:
            telemetry.bind_request(**{self._resource.logged: request.path_params["id"]})

    def list(self, request: Request) -> Response:
        assert self._resource.list is not None
        caller = self._authorise(request, "read")
        query = parse_query(
            request.query_params.multi_items(),
            self._resource.attributes,
            order=self._resource.order,
            total_asked="x-total-count" in request.headers,
        )
        if caller.realm is not None:
            query.filters.append(Within("", "eq", (), inside=partial(self._within, caller)))
        page = query.page(self._resource.list(query))
        documents = [selected(self._stamp(request, item), query.fields) for item in page.items]
        headers = {"X-Result-Count": str(len(documents))}
        if page.total is not None:
            headers["X-Total-Count"] = str(page.total)
        if page.more and query.limit:
            headers["Link"] = self._next(request, query, page)
        return json_response(documents, headers=headers)

    def _next(self, request: Request, query: Query, page: Page) -> str:
        """RFC 8288: where the list goes on; without it, the list is whole."""
        where = request.url.include_query_params(limit=query.limit)
        if page.cursor is not None:
            where = where.remove_query_params("offset").include_query_params(cursor=page.cursor)
        else:
            where = where.include_query_params(offset=query.offset + query.limit)
        base = self._public_url or str(request.base_url).rstrip("/")
        return f'<{base}{self._resource.path}?{where.query}>; rel="next"'

    def get(self, request: Request, id: Annotated[str, Path()]) -> Response:
        caller = self._authorise(request, "read")
        asked = request.query_params.get("fields")
        fields = None if asked is None else read_fields(asked)
        document = self._stamp(request, self._existing(id, caller))
        tag = entity_tag(document)
        if tag in _tags(request.headers.get("if-none-match")):
            return Response(status_code=304, headers={"ETag": tag})
        return json_response(selected(document, fields), headers={"ETag": tag})

    def create(
        self,
        request: Request,
        body: Annotated[Any, Body()],
        idempotency_key: Annotated[
            str | None, Header(max_length=255, description="Sending the same key again changes nothing.")
        ] = None,
    ) -> Response:
        assert self._resource.create is not None
        caller = self._authorise(request, "write")
        if not isinstance(body, dict):
            raise InvalidInput(
                f"a {self._resource.name} is an object", field="body", remedy="send one object"
            )
        if not self._within(caller, {name: value for name, value in body.items() if name != "id"}):
            raise NotAllowed(
                f"the token {caller.name!r} is confined, and this {self._resource.name} would lie outside",
                field="Authorization",
                remedy="name an account of its legal entity and brand, or use a token that is not confined",
            )
        with self._runtime.unit(self._resource.component, caller.actor) as unit:
            made = self._resource.create(unit, body, idempotency_key)
        document, status = self._answer(request, made, self._resource.status_code)
        return json_response(
            document, status, {"Location": str(document["href"]), "ETag": entity_tag(document)}
        )

    def patch(self, request: Request, id: Annotated[str, Path()], body: Annotated[Any, Body()]) -> Response:
        assert self._resource.patch is not None
        caller = self._authorise(request, "write")
        current = self._existing(id, caller) if self._resource.get is not None else {}
        self._check_precondition(request, current)
        changes = merge_patch(request.headers.get("content-type", ""), body, current)
        with self._runtime.unit(self._resource.component, caller.actor) as unit:
            made = self._resource.patch(unit, id, changes)
        document, status = self._answer(request, made, 200)
        return json_response(document, status, {"ETag": entity_tag(document), "Accept-Patch": ACCEPT_PATCH})

    def delete(self, request: Request, id: Annotated[str, Path()]) -> Response:
        assert self._resource.delete is not None
        caller = self._authorise(request, "write")
        if self._resource.get is not None:
            self._check_precondition(request, self._existing(id, caller))
        with self._runtime.unit(self._resource.component, caller.actor) as unit:
            self._resource.delete(unit, id)
        return Response(status_code=204)

    def _authorise(self, request: Request, act: str) -> Caller:
        known = self._resource.realm is not None and self._resource.get is not None
        return authorise(request, f"{self._resource.scope}:{act}", heeds_realm=known)

    def _within(self, caller: Caller, document: Document) -> bool:
        if caller.realm is None:
            return True
        return self._resource.realm is not None and caller.realm.holds(self._resource.realm(document))

    def _existing(self, identity: str, caller: Caller | None = None) -> Document:
        """What is outside the caller's realm does not exist for her."""
        assert self._resource.get is not None
        document = self._resource.get(identity)
        if document is None or (caller is not None and not self._within(caller, document)):
            raise NotFound(
                f"there is no {self._resource.name} {identity}",
                field="id",
                remedy=f"GET {self._resource.path} lists them",
            )
        return document

    def _answer(
        self, request: Request, made: Document | Reply | str, status: int
    ) -> tuple[Mapping[str, Any], int]:
        if isinstance(made, Reply):
            return self._stamp(request, made.document), made.status
        return self._stamp(request, self._existing(made) if isinstance(made, str) else made), status

    def _stamp(self, request: Request, document: Document) -> dict[str, Any]:
        base = self._public_url or str(request.base_url).rstrip("/")
        return stamped(document, collection=base + self._resource.path, type_name=self._resource.type_name)

    def _check_precondition(self, request: Request, current: Document) -> None:
        wanted = _tags(request.headers.get("if-match"))
        if not wanted or "*" in wanted:
            return
        if entity_tag(self._stamp(request, current)) not in wanted:
            raise PreconditionFailed(
                f"this {self._resource.name} was changed by someone else",
                field="If-Match",
                remedy="read it again and repeat the change on what it is now",
            )


def _tags(header: str | None) -> set[str]:
    return {part.strip().removeprefix("W/") for part in header.split(",")} if header else set()
