"""Verbs of configuration, pure: compare what should be with what is, and hide what nobody should read."""

import difflib
import re
from collections.abc import Mapping, Sequence

from turnup.contracts.configuration import Change, Difference, Fragment, FreezeScope
from turnup.contracts.inventory import ElementView
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import ServiceId
from turnup.oss.configuration.model import Freeze, Intent

SECRET_ATTRIBUTES = frozenset({"secret"})
_MASK = "********"
_SECRET_LINE = re.compile(
    r"((?:password|secret|community|shared-secret|pre-shared-key|authentication-key)\s+)(\S+)", re.IGNORECASE
)


def differences(
    intents: Mapping[ServiceId, Intent], actual: Mapping[ServiceId, Fragment]
) -> list[Difference]:
    """Every service whose element differs from its intent, in a stable order; values of secrets are masked.

    A fragment without any intent is unexpected: sold by nobody.
    """
    found = []
    for service_id in sorted({*intents, *actual}):
        difference = _difference(service_id, intents.get(service_id), actual.get(service_id))
        if not difference.empty:
            found.append(difference)
    return found


def _difference(service_id: ServiceId, intent: Intent | None, actual: Fragment | None) -> Difference:
    want = intent.fragment if intent is not None else None
    kind = want.kind if want else (actual.kind if actual else "")
    if want is None:
        return Difference(service_id=service_id, kind=kind, unexpected=actual is not None)
    if actual is None:
        return Difference(service_id=service_id, kind=kind, missing=True)
    attributes = {
        name: (_shown(name, want.attributes.get(name)), _shown(name, actual.attributes.get(name)))
        for name in sorted({*want.attributes, *actual.attributes})
        if (want.attributes.get(name) or None) != (actual.attributes.get(name) or None)
    }
    return Difference(service_id=service_id, kind=kind, attributes=attributes)


def _shown(name: str, value: str | None) -> str | None:
    return _MASK if value and name in SECRET_ATTRIBUTES else value


def changes(intents: Mapping[ServiceId, Intent], found: Sequence[Difference]) -> list[Change]:
    """What to tell the element so that the differences vanish; services without an intent are left alone
    (nobody told us to remove them: reconciliation reports them)."""
    return [
        Change(
            service_id=difference.service_id,
            kind=difference.kind or intents[difference.service_id].kind,
            want=intents[difference.service_id].fragment,
            generation=intents[difference.service_id].generation,
        )
        for difference in found
        if difference.service_id in intents
    ]


def outdated(intent: Intent, actual: Fragment | None) -> bool:
    """The element holds something newer than we mean to apply: we are the late one."""
    return actual is not None and actual.generation > intent.generation


def mask_secrets(text: str) -> str:
    """Configuration text as it may be stored and shown."""
    return _SECRET_LINE.sub(lambda match: match.group(1) + _MASK, text)


def text_diff(old: str, new: str, old_name: str, new_name: str) -> str:
    """A unified diff of two configuration texts."""
    return "".join(
        difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), old_name, new_name)
    )


def covers(freeze: Freeze, element: ElementView) -> bool:
    """Whether this freeze forbids writing to the element."""
    if freeze.lifted_at is not None:
        return False
    if freeze.scope is FreezeScope.ALL:
        return True
    return freeze.target_id == (element.id if freeze.scope is FreezeScope.ELEMENT else element.site_id)


def require_target(scope: FreezeScope, code: str | None) -> None:
    """A freeze of everything names nothing, any other what it stops. Raises InvalidInput."""
    if scope is FreezeScope.ALL and code is not None:
        raise InvalidInput(
            f"a freeze of everything stops more than {code!r}",
            field="code",
            remedy="leave it out, or use scope element or site",
        )
    if scope is not FreezeScope.ALL and not code:
        raise InvalidInput(
            f"a freeze of one {scope.value} needs its code", field="code", remedy="name it, or use scope all"
        )
