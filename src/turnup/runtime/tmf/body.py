"""Bodies as TM Forum wants them: JSON with `Z` instants, `href` and `@type`, the error body of TMF630."""

import hashlib
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

import orjson
from fastapi import Response

from turnup.kernel.errors import TurnupError

Document = Mapping[str, Any]
_ALWAYS = ("id", "href", "@type")


def _unknown(value: object) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f").encode())  # a JSON number, never through a float
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def json_bytes(content: object) -> bytes:
    """JSON; aware UTC datetimes with `Z`, UUIDs as text, Decimals as exact numbers."""
    return orjson.dumps(content, default=_unknown, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        json_bytes(content), status_code=status, headers=dict(headers or {}), media_type="application/json"
    )


def stamped(document: Document, *, collection: str, type_name: str) -> dict[str, Any]:
    """The document with `id`, `href` (from the collection's URL) and `@type`; what it says itself stands."""
    identity = str(document["id"])
    return {"id": identity, "href": f"{collection}/{identity}", "@type": type_name, **document}


def selected(document: Document, fields: Collection[str] | None) -> Document:
    """Only these first-level attributes, and those no resource may lack (TMF630 part 1, 4.3)."""
    if fields is None:
        return document
    return {name: value for name, value in document.items() if name in fields or name in _ALWAYS}


def entity_tag(document: Document) -> str:
    """A strong entity tag (RFC 9110, 8.8.3): equal as long as the whole representation is."""
    return f'"{hashlib.sha256(json_bytes(document)).hexdigest()[:32]}"'


def problem(error: TurnupError, *, base_url: str = "") -> dict[str, Any]:
    """The Error of TMF630: `code`, `reason`, `message` (names the field and the remedy), `status`,
    `referenceError`; `field` and `remedy` again apart, for programs."""
    body: dict[str, Any] = {
        "@type": "Error",
        "code": error.code,
        "reason": error.message,
        "message": str(error),
        "status": str(error.status),
        "referenceError": f"{base_url}/errors/{error.code}",
    }
    if error.field:
        body["field"] = error.field
    if error.remedy:
        body["remedy"] = error.remedy
    return body
