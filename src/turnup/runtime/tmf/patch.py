"""Patches: both kinds become one, a JSON merge patch (RFC 7396), before a component sees them."""

from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
import orjson

from turnup.kernel.errors import InvalidInput, TurnupError
from turnup.runtime.tmf.body import json_bytes

_MERGE = {"application/json", "application/merge-patch+json"}
_STEPS = "application/json-patch+json"
ACCEPT_PATCH = "application/merge-patch+json, application/json-patch+json"


class UnsupportedMediaType(TurnupError):
    """The body comes in a format this operation does not take."""

    code = "unsupported_media_type"
    status = 415


def merge_patch(content_type: str, body: Any, current: Mapping[str, Any]) -> dict[str, Any]:
    """What to change, as a merge patch: attribute -> new value, None removes it.

    A JSON patch (RFC 6902) is applied to `current` and the difference taken, so a `test` that fails or a
    path that is missing raises InvalidInput and nothing is changed.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in _MERGE:
        if not isinstance(body, dict):
            raise InvalidInput("a merge patch is an object", field="body", remedy='send {"attribute": value}')
        return body
    if media_type != _STEPS:
        raise UnsupportedMediaType(
            f"a patch in {media_type or 'no format'} is not understood",
            field="Content-Type",
            remedy=f"send one of {ACCEPT_PATCH}",
        )
    if not isinstance(body, Sequence) or isinstance(body, str):
        raise InvalidInput(
            "a JSON patch is a list of operations", field="body", remedy='[{"op": "replace", …}]'
        )
    before = orjson.loads(json_bytes(current))
    try:
        after = jsonpatch.JsonPatch(body).apply(before)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise InvalidInput(
            str(error), field="body", remedy="read the resource and patch what it holds"
        ) from error
    return merge_difference(before, after)


def merge_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that turns one document into the other; lists are replaced as a whole."""
    changes: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if nested := merge_difference(old, value):
                changes[name] = nested
        elif name not in before or old != value:
            changes[name] = value
    return changes
