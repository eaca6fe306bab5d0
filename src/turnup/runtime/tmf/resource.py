"""The declaration of one resource: what a component's routes.py writes instead of endpoints."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from turnup.runtime.auth import Realm
from turnup.runtime.tmf.attributes import Attributes, known
from turnup.runtime.tmf.paths import base_path
from turnup.runtime.tmf.query import Page, Query
from turnup.runtime.unit_of_work import UnitOfWork

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """A document with another status than the usual (201 for create, 200 for patch), such as 202."""

    document: Document
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One TM Forum resource. What is None is not offered (405).

    Documents are plain dicts with `id`; `href` and `@type` are stamped. `create`, `patch` and `delete` run in
    the unit that the toolkit opens for `component`; they return the document, or its id (then it is read
    back by `get` after the commit). Errors of turnup.kernel.errors become the TMF error body.
    """

    api: str
    name: str
    """As in the path: productOrder."""
    type_name: str
    """Default `@type`: ProductOrder."""
    component: str
    scope: str
    """Tokens need `<scope>:read` or `<scope>:write`."""
    list: Callable[[Query], Iterable[Document] | Page] | None = None
    get: Callable[[str], Document | None] | None = None
    create: Callable[[UnitOfWork, dict[str, Any], str | None], Document | Reply | str] | None = None
    """(unit, body, idempotency key)."""
    patch: Callable[[UnitOfWork, str, dict[str, Any]], Document | Reply | str] | None = None
    """(unit, id, merge patch): None removes an attribute."""
    delete: Callable[[UnitOfWork, str], None] | None = None
    realm: Callable[[Document], Realm | None] | None = None
    """Whose a document is, or will be when it is made of this body. Without it callers who are confined to a
    legal entity or brand have no access here."""
    logged: str | None = None
    """What log lines of a request on one of them call its id: order_id."""
    status_code: int = 201
    """Of a successful create."""
    attributes: Attributes = field(default_factory=dict)
    """What its list may be filtered and sorted by; anything else is an error that names it."""
    order: str = ""
    """How the list is sorted where nothing is asked: ``-creationDate``. Of lists that `Query.read` pages."""

    def __post_init__(self) -> None:
        for path in filter(None, self.order.split(",")):
            known(self.attributes, path.lstrip("-"), sorting=True)

    @property
    def path(self) -> str:
        return f"{base_path(self.api)}/{self.name}"
