"""Configuration of tlos elements: fragments to stanzas and back, one exec batch per read and per apply.

A stanza's key is the service id. Stanzas with another key were made by somebody else: a read of all services
shows them under an id derived from element and key, so that reconciliation sees them as unexpected; they
cannot be asked for or changed by that id.
"""

import ipaddress
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment, StaleGeneration
from turnup.contracts.inventory import ElementView
from turnup.gateways.ownership import service_of
from turnup.gateways.transports.ssh import ExecResult, SshPool, SshTarget
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import ElementId, ServiceId

_ERROR = "% Error: "
_UNCERTAIN = "internal error during commit"
_TRANSIENT = ("configuration locked by", _UNCERTAIN)
_SAVE_TRIES = 3


def _as_is(text: str) -> str:
    return text


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _prefix(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _whole(text: str) -> str:
    return str(int(text))


@dataclass(frozen=True, slots=True)
class _Grammar:
    """One kind of stanza: its word, the fragment's kind, and attribute -> (leaf, canonical spelling)."""

    stanza: str
    kind: str
    leaves: Mapping[str, tuple[str, Callable[[str], str]]]
    defaults: Mapping[str, str]
    """Attributes the element does not print while they have this value."""


_SERVICE = _Grammar(
    stanza="service",
    kind="access_service",
    leaves={
        "port": ("port", _as_is),
        "ont_serial": ("ont-serial", _as_is),
        "vlan": ("vlan", _whole),
        "down_kbps": ("down-kbps", _whole),
        "up_kbps": ("up-kbps", _whole),
    },
    defaults={},
)
_SUBSCRIBER = _Grammar(
    stanza="subscriber",
    kind="subscriber",
    leaves={
        "username": ("username", _as_is),
        "circuit_id": ("access", _as_is),
        "ipv4": ("ipv4", _address),
        "ipv6_wan": ("ipv6-wan", _prefix),
        "ipv6_pd": ("ipv6-pd", _prefix),
        "down_kbps": ("down-kbps", _whole),
        "up_kbps": ("up-kbps", _whole),
        "walled": ("walled", _as_is),
    },
    defaults=MappingProxyType({"walled": "no"}),
)
_BY_ROLE = {"access": _SERVICE, "bng": _SUBSCRIBER}


_UNSAVED = "unsaved=yes"
"""In `show version`: the running configuration is not the one the device starts with."""


class TlosDriver:
    """Implements contracts.configuration.ElementDriver. Management keys: host, ssh_port, host_key_check."""

    needs_credentials: ClassVar[bool] = True

    def __init__(self, ssh: SshPool) -> None:
        self._ssh = ssh
        self._unsaved: set[ElementId] = set()
        """Elements that may hold a commit of ours that was not saved (its answer was lost)."""

    def read(
        self,
        element: ElementView,
        credentials: Credentials,
        services: Sequence[ServiceId] | None,
        *,
        deadline_s: float,
    ) -> Mapping[ServiceId, Fragment]:
        grammar = _grammar(element)
        if services is not None and not services:
            return {}
        keys = "" if services is None else " " + ",".join(str(service) for service in services)
        batch = ["show version", f"show configuration {grammar.stanza}s{keys}"]
        shown = self._run(element, credentials, batch, deadline_s)
        if element.id in self._unsaved or _UNSAVED in shown.splitlines():
            # not only ours: another process may have died, or been stopped, between its commit and its save
            self._unsaved.add(element.id)
            self._save_if_due(element, credentials, deadline_s)
            # a reboot in between would have taken what we just read
            shown = self._run(element, credentials, batch, deadline_s)
        return {
            fragment.service_id: fragment
            for key, leaves in _stanzas(shown, grammar.stanza).items()
            for fragment in [_fragment(element, grammar, key, leaves)]
        }

    def apply(
        self, element: ElementView, credentials: Credentials, changes: Sequence[Change], *, deadline_s: float
    ) -> tuple[str, ...]:
        grammar = _grammar(element)
        edits = [line for change in changes for line in _edit(grammar, change)]
        batch = ["configure", *edits, "commit", "exit", "save"]
        self._commit(element, credentials, batch, deadline_s)
        return tuple(batch)

    def running_config(self, element: ElementView, credentials: Credentials, *, deadline_s: float) -> str:
        return self._run(element, credentials, ["show configuration"], deadline_s)

    def restore(
        self, element: ElementView, credentials: Credentials, config: str, *, deadline_s: float
    ) -> None:
        lines = [line.strip() for line in config.splitlines() if line.strip()]
        batch = ["configure", "load replace", *lines, ".", "commit force", "exit", "save"]
        self._commit(element, credentials, batch, deadline_s)

    # --- talking to the element ---------------------------------------------------------------------------

    def _commit(
        self, element: ElementView, credentials: Credentials, batch: Sequence[str], deadline_s: float
    ) -> None:
        """Run a batch that ends in commit and save. What is committed but not saved is saved later: a reboot
        would lose it, and a repeated apply would find nothing to do."""
        self._unsaved.add(element.id)
        answer = self._exec(element, credentials, batch, deadline_s)
        committed = "commit complete" in answer.stdout
        error = _error_in(answer)
        if error is not None and not committed:
            if _UNCERTAIN not in error:  # then something may have taken effect, all the same
                self._unsaved.discard(element.id)
            raise _refusal(element, error)
        if answer.status is None or not committed:
            raise Unavailable(f"{element.code} did not acknowledge the commit; its outcome is unknown")
        if answer.stdout.rstrip().endswith("saved"):
            self._unsaved.discard(element.id)
            return
        if error is None:
            raise Unavailable(f"{element.code} went away after the commit; it may have forgotten it")
        self._save_if_due(element, credentials, deadline_s)

    def _save_if_due(self, element: ElementView, credentials: Credentials, deadline_s: float) -> None:
        if element.id not in self._unsaved:
            return
        for _ in range(_SAVE_TRIES):
            answer = self._exec(element, credentials, ["save"], deadline_s)
            if answer.status == 0:
                self._unsaved.discard(element.id)
                return
        raise Unavailable(
            f"{element.code} does not save its configuration: {_error_in(answer) or 'no answer'}"
        )

    def _run(
        self, element: ElementView, credentials: Credentials, batch: Sequence[str], deadline_s: float
    ) -> str:
        """Run commands that change nothing; returns what they printed."""
        answer = self._exec(element, credentials, batch, deadline_s)
        error = _error_in(answer)
        if error is not None:
            raise _refusal(element, error)
        if answer.status is None:
            raise Unavailable(f"{element.code} dropped the connection")
        return answer.stdout

    def _exec(
        self, element: ElementView, credentials: Credentials, batch: Sequence[str], deadline_s: float
    ) -> ExecResult:
        target = SshTarget.of(element, credentials)
        return self._ssh.exec(target, "\n".join(batch) + "\n", deadline_s)


def _grammar(element: ElementView) -> _Grammar:
    try:
        return _BY_ROLE[element.role]
    except KeyError as error:
        raise ElementRefused(
            f"tlos has no configuration for a {element.role}",
            field="role",
            remedy="use one of: access, bng",
        ) from error


def _error_in(answer: ExecResult) -> str | None:
    """The text after `% Error: ` of the line the batch stopped at."""
    if answer.status in (0, None):
        return None
    found = [line.removeprefix(_ERROR) for line in answer.stdout.splitlines() if line.startswith(_ERROR)]
    return found[-1] if found else "failed without a reason"


def _refusal(element: ElementView, error: str) -> Exception:
    if error.startswith(_TRANSIENT):
        return Unavailable(f"{element.code}: {error}")
    if error.startswith("stale generation"):
        return StaleGeneration(f"{element.code}: {error}")
    return ElementRefused(f"{element.code}: {error}")


# --- stanzas and fragments --------------------------------------------------------------------------------


def _stanzas(text: str, stanza: str) -> dict[str, dict[str, str]]:
    """Key -> leaves, from `set STANZA KEY LEAF VALUE` lines."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        words = shlex.split(line) if '"' in line else line.split()
        if len(words) >= 3 and words[:2] == ["set", stanza]:
            leaves = found.setdefault(words[2], {})
            leaves.update(zip(words[3::2], words[4::2], strict=False))
    return found


def _fragment(element: ElementView, grammar: _Grammar, key: str, leaves: Mapping[str, str]) -> Fragment:
    attributes = dict(grammar.defaults)
    for name, (leaf, spelled) in grammar.leaves.items():
        if leaf in leaves:
            attributes[name] = spelled(leaves[leaf])
    if leaves.get("admin") == "down":
        attributes["admin"] = "down"  # we never set it: a service shut by hand shows as drift
    return Fragment(
        service_id=service_of(element, key),
        kind=grammar.kind,
        attributes=attributes,
        generation=int(leaves.get("generation", "0")),
    )


def _edit(grammar: _Grammar, change: Change) -> Iterable[str]:
    """The stanza is replaced whole: leaves that nobody wants any more go, and half a change is never left."""
    key = f"{grammar.stanza} {change.service_id}"
    yield f"delete {key} fence {change.generation}"
    if change.want is None:
        return
    unknown = sorted(set(change.want.attributes) - set(grammar.leaves))
    if unknown:
        raise ElementRefused(
            f"a tlos {grammar.stanza} has no {', '.join(unknown)}",
            field=f"attributes.{unknown[0]}",
            remedy=f"it has: {', '.join(grammar.leaves)}",
        )
    words = [f"set {key}"]
    for name, (leaf, spelled) in grammar.leaves.items():
        value = change.want.attributes.get(name)
        if value:
            words.append(f"{leaf} {_quoted(name, value, spelled)}")
    yield " ".join([*words, f"generation {change.want.generation}"])


def _quoted(name: str, value: str, spelled: Callable[[str], str]) -> str:
    """A value as one word of the command line; what could end the word or the line is refused."""
    try:
        text = spelled(value)
    except ValueError as error:
        raise ElementRefused(f"{value!r} is no valid {name}", field=f"attributes.{name}") from error
    if any(letter in '"\\' or not letter.isprintable() for letter in text):
        raise ElementRefused(f"{name} holds a letter that tlos cannot take", field=f"attributes.{name}")
    return f'"{text}"' if any(letter in " ;#'" for letter in text) else text
