"""The policies document: by kind (billing, brake, credit, dunning, tax) and code, as their owners read them.

    policies:
      credit:
        standard: {minimum_minutes: 60, per: hour, share_percent: "5", cap_percent: "100"}

What a policy may say is its owner's matter: the assembly hands in a check per kind. An entry `valid_from`
says from when a version holds; without it, from the moment it is published.
"""

from collections.abc import Mapping
from datetime import date, datetime

from turnup.bss.catalog.model import POLICY_KINDS, PolicyDraft
from turnup.bss.catalog.rules.reading import instant, known_entries, mapping
from turnup.kernel.errors import InvalidInput


def read_policies(document: Mapping[str, object]) -> tuple[PolicyDraft, ...]:
    """Raises InvalidInput naming the path."""
    known_entries(document, ("policies",), "")
    kinds = mapping(document.get("policies"), "policies")
    known_entries(kinds, POLICY_KINDS, "policies")
    drafts = []
    for kind, by_code in kinds.items():
        for code, policy in mapping(by_code, f"policies.{kind}").items():
            path = f"policies.{kind}.{code}"
            node = mapping(policy, path)
            plain = {
                name: _plain(value, f"{path}.{name}") for name, value in node.items() if name != "valid_from"
            }
            drafts.append(
                PolicyDraft(
                    kind=kind, code=str(code), valid_from=instant(node, "valid_from", path), document=plain
                )
            )
    return tuple(drafts)


def _plain(value: object, path: str) -> object:
    """JSON data that loses nothing: dates and decimals become the text they were written as."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, f"{path}.{name}") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{path}[{n}]") for n, inner in enumerate(value)]
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, float):
        return str(value)
    if value is None or isinstance(value, str | int):
        return value
    raise InvalidInput(f"{value!r} has no place in a policy", field=path, remedy="use text, numbers, dates")
