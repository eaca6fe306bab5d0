"""Where a list goes on: the key of the last item shown, as text that means nothing to the caller."""

import base64
import binascii
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import orjson

from turnup.kernel.errors import InvalidInput
from turnup.runtime.tmf.attributes import Attribute
from turnup.runtime.tmf.body import json_bytes


def written(order: str, key: Sequence[Any]) -> str:
    """`order`: how the list is sorted; the cursor is no use in another one."""
    values = [value.isoformat() if isinstance(value, date | datetime) else str(value) for value in key]
    return base64.urlsafe_b64encode(json_bytes([order, values])).decode().rstrip("=")


def read(text: str, order: str, attributes: Sequence[Attribute]) -> tuple[Any, ...]:
    """The key: one value for each of these attributes. Raises InvalidInput."""
    refusal = InvalidInput(
        "does not belong to this list", field="cursor", remedy="follow the answer's Link: …; rel=next"
    )
    try:
        found = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError) as error:
        raise refusal from error
    if not isinstance(found, list) or len(found) != 2 or found[0] != order:
        raise refusal
    values = found[1]
    if not isinstance(values, list) or len(values) != len(attributes):
        raise refusal
    return tuple(each.read("cursor", str(value)) for each, value in zip(attributes, values, strict=True))
