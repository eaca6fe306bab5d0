"""Configuration of FRR routers: routes of subscribers, backup and rollback, by vtysh over SSH.

The login's shell is vtysh (or a command forced to it), so one exec request is one batch of its commands.
vtysh changes the running configuration line by line and stops at the first one it refuses: half a batch may
stay. Every line is safe to repeat, and whoever applies again computes from what the router then says.
"""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from hier_config import Platform, WorkflowRemediation, get_hconfig
from hier_config.child import HConfigChild

from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment
from turnup.contracts.inventory import ElementView
from turnup.gateways.frr.routes import KIND, NextHops, Router, attributes_of, lines_for, read_router
from turnup.gateways.ownership import service_of
from turnup.gateways.transports.ssh import SshPool, SshTarget
from turnup.kernel.clock import Clock
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import ElementId, ServiceId

_SHOW = "show running-config no-header"
_SAVE = "write memory"
_BATCH_BYTES = 60_000
"""An exec request is one argument of the shell: Linux takes 128 KiB."""
_AWAY = ("failed to connect to any daemons", "Exiting: failed to connect", "is not running")
_HIDDEN = "<hidden>"
_SECRET = re.compile(
    r"^(?P<words>\s*(?:(?:enable )?password|neighbor \S+ password|ip ospf (?:authentication-key"
    r"|message-digest-key \d+ md5)|(?:area|domain)-password \S+|isis password \S+|key-string))"
    r" (?P<secret>\S.*)$"
)


class FrrDriver:
    """Implements contracts.configuration.ElementDriver for elements of role `router`. Management keys: host,
    ssh_port, host_key_check, next_hop4, next_hop6."""

    needs_credentials: ClassVar[bool] = True

    def __init__(self, ssh: SshPool, clock: Clock) -> None:
        self._ssh = ssh
        self._clock = clock
        self._unsaved: set[ElementId] = set()
        """Routers that may run something of ours that they would not start with."""

    def read(
        self,
        element: ElementView,
        credentials: Credentials,
        services: Sequence[ServiceId] | None,
        *,
        deadline_s: float,
    ) -> Mapping[ServiceId, Fragment]:
        if services is not None and not services:
            return {}
        hops = NextHops.of(element.code, element.management)
        router = self._look(element, credentials, deadline_s)
        wanted = None if services is None else {str(service) for service in services}
        found = {}
        for key, held in router.services.items():
            if not held.prefixes or (wanted is not None and key not in wanted):
                continue
            service_id = service_of(element, key)
            attributes = attributes_of(held, router, hops)
            found[service_id] = Fragment(
                service_id=service_id, kind=KIND, attributes=attributes, generation=held.generation
            )
        return found

    def apply(
        self, element: ElementView, credentials: Credentials, changes: Sequence[Change], *, deadline_s: float
    ) -> tuple[str, ...]:
        hops = NextHops.of(element.code, element.management)
        router = self._look(element, credentials, deadline_s)
        lines = lines_for(changes, router, hops, element.code, self._clock.now().date())
        self._configure(element, credentials, lines, deadline_s)
        return tuple(lines)

    def running_config(self, element: ElementView, credentials: Credentials, *, deadline_s: float) -> str:
        running = self._run(element, credentials, [_SHOW], deadline_s)
        return "\n".join(masked(line) for line in running.splitlines()) + "\n"

    def restore(
        self, element: ElementView, credentials: Credentials, config: str, *, deadline_s: float
    ) -> None:
        running = self._run(element, credentials, [_SHOW], deadline_s)
        lines = difference(running, unmasked(config, running, element.code))
        self._configure(element, credentials, lines, deadline_s)

    # --- talking to the router ----------------------------------------------------------------------------

    def _look(self, element: ElementView, credentials: Credentials, deadline_s: float) -> Router:
        # a commit whose answer was lost is saved before anybody finds nothing left to do
        save = [_SAVE] if element.id in self._unsaved else []
        running = self._run(element, credentials, [*save, _SHOW], deadline_s)
        if save:
            self._unsaved.discard(element.id)
        return read_router(running)

    def _configure(
        self, element: ElementView, credentials: Credentials, lines: Sequence[str], deadline_s: float
    ) -> None:
        if not lines:
            return
        self._unsaved.add(element.id)
        for part in _parts(lines):
            self._run(element, credentials, ["configure terminal", *part, "end", _SAVE], deadline_s)
        self._unsaved.discard(element.id)

    def _run(
        self, element: ElementView, credentials: Credentials, batch: Sequence[str], deadline_s: float
    ) -> str:
        answer = self._ssh.exec(SshTarget.of(element, credentials), "\n".join(batch), deadline_s)
        if answer.status is None:
            raise Unavailable(f"{element.code} dropped the connection; what it did is unknown")
        said = answer.stdout.strip()
        if any(words in said for words in _AWAY):
            raise Unavailable(f"{element.code}: {said[-200:]}")
        if answer.status != 0:
            complaints = [line for line in said.splitlines() if line.startswith("%")]
            raise ElementRefused(f"{element.code}: {(complaints or [said[-200:] or 'no reason'])[-1]}")
        return answer.stdout


def _parts(lines: Sequence[str]) -> list[list[str]]:
    """Batches that each fit an exec request. A block (a line and its indented ones) stays together."""
    parts: list[list[str]] = [[]]
    size = 0
    for line in lines:
        size += len(line) + 1
        if size > _BATCH_BYTES and not line.startswith(" ") and line != "exit":
            parts.append([])
            size = len(line) + 1
        parts[-1].append(line)
    return parts


# --- text of configurations -------------------------------------------------------------------------------


def masked(line: str) -> str:
    """The line without its secret."""
    match = _SECRET.match(line)
    return f"{match['words']} {_HIDDEN}" if match else line


def unmasked(config: str, running: str, code: str) -> str:
    """A backed-up configuration with the secrets the router has now. Raises ElementRefused where it has none:
    a backup holds no secrets."""
    secrets: dict[str, list[str]] = {}
    for line in running.splitlines():
        if masked(line) != line:
            secrets.setdefault(masked(line), []).append(line)
    lines = config.splitlines()
    for hidden in {line for line in lines if line.endswith(f" {_HIDDEN}")}:
        if lines.count(hidden) != len(secrets.get(hidden, ())):
            raise ElementRefused(
                f"{code}: the backup hides a secret that the router no longer has: {hidden.strip()}",
                field="revision",
                remedy="set that line on the router by hand, then roll back again",
            )
    # lines that look alike stand in the same order: key 1, key 2
    return "\n".join(secrets[line].pop(0) if line in secrets else line for line in lines) + "\n"


def difference(running: str, wanted: str) -> list[str]:
    """Lines for `configure terminal` that turn one configuration into the other, blocks closed by `exit`."""
    present, meant = (get_hconfig(Platform.GENERIC, _said(text)) for text in (running, wanted))
    remedy = WorkflowRemediation(present, meant).remediation_config
    lines: list[str] = []
    for child in remedy.children:
        lines += _block(child)
    return lines


def _said(config: str) -> str:
    """A configuration without what only structures its text: comments, and the ends of blocks."""
    lines = (line for line in config.splitlines() if not line.lstrip().startswith("!"))
    return "\n".join(line for line in lines if not re.match(r"\s*(end|exit(-.*)?)\s*$", line))


def _block(child: HConfigChild) -> list[str]:
    inner = [line for each in child.children for line in _block(each)]
    return [child.text, *(f" {line}" for line in inner), "exit"] if inner else [child.text]
