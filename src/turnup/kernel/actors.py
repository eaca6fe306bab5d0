"""Who acts, as units and audit name them: `staff:anna`, `token:crm`, `cli:root`, `workflow:…`, `event:…`."""

from turnup.kernel.errors import InvalidInput, NotAllowed

_PERSONS = frozenset({"staff", "user", "token", "cli"})


def require_person(actor: str, what: str) -> None:
    """Some decisions need somebody with a name. Raises NotAllowed: `actor` cannot `what`."""
    kind, _, name = actor.partition(":")
    if kind not in _PERSONS or not name:
        raise NotAllowed(
            f"{actor!r} cannot {what}", field="actor", remedy="a named person does it, by her token or shell"
        )


def require_reason(reason: str) -> None:
    """And some need to say why. Raises InvalidInput."""
    if not reason.strip():
        raise InvalidInput("a reason is missing", field="reason", remedy="say why, for those who come later")
