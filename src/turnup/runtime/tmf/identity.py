"""Ids as they come in paths, filters and references."""

from uuid import UUID

from turnup.kernel.errors import InvalidInput


def uuid_of(value: object, field: str = "id") -> UUID:
    """The id. Raises InvalidInput naming the field."""
    found = uuid_or_none(str(value))
    if found is None:
        raise InvalidInput(f"{value!r} is not an id", field=field, remedy="use the id from an answer")
    return found


def uuid_or_none(text: str) -> UUID | None:
    """The id; None for what may still be a number or a code."""
    try:
        return UUID(text)
    except ValueError:
        return None
