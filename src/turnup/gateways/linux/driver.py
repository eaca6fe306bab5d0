"""Configuration of a Linux access gateway: fragments to nftables, HTB and routes, and back.

One SSH exec reads everything, one applies all changes of an apply as a whole. The service's id stands in the
comment of its nftables elements; elements without one were made by somebody else.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import ClassVar
from uuid import UUID

from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment, StaleGeneration
from turnup.contracts.inventory import ElementView
from turnup.gateways.linux.reading import SHELL, SHOW, Gateway, Held, complaint, read_answer
from turnup.gateways.linux.ruleset import Base
from turnup.gateways.linux.writing import BUSY, MOVED, script
from turnup.gateways.ownership import service_of
from turnup.gateways.transports.ssh import SshPool, SshTarget
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import ElementId, ServiceId

KIND = "subscriber"
_TRIES = 3


class LinuxDriver:
    """Implements contracts.configuration.ElementDriver. Management keys: host, ssh_port, host_key_check,
    uplink, garden. Credentials: username, private_key (or password), host_key."""

    needs_credentials: ClassVar[bool] = True

    def __init__(self, ssh: SshPool) -> None:
        self._ssh = ssh
        self._seen: dict[ElementId, Gateway] = {}
        """What was read last and not yet used up: the apply that follows a read names its epoch, and reads
        again only where the gateway says it has moved on."""

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
        gateway = self._look(element, credentials, deadline_s)
        self._seen[element.id] = gateway
        wanted = None if services is None else {str(service) for service in services}
        fragments = [
            _fragment(element, key, held)
            for key, held in gateway.services.items()
            if held.present and (wanted is None or key in wanted)
        ]
        return {fragment.service_id: fragment for fragment in fragments}

    def apply(
        self, element: ElementView, credentials: Credentials, changes: Sequence[Change], *, deadline_s: float
    ) -> tuple[str, ...]:
        return self._apply(element, credentials, changes, deadline_s, fenced=True)

    def running_config(self, element: ElementView, credentials: Credentials, *, deadline_s: float) -> str:
        """A line for every subscriber, sorted; `restore` takes it."""
        gateway = self._look(element, credentials, deadline_s)
        fragments = [_fragment(element, key, held) for key, held in gateway.services.items() if held.present]
        return "".join(sorted(_config_line(fragment) for fragment in fragments))

    def restore(
        self, element: ElementView, credentials: Credentials, config: str, *, deadline_s: float
    ) -> None:
        wanted = {fragment.service_id: fragment for fragment in _parse_config(config)}
        present = self.read(element, credentials, None, deadline_s=deadline_s)
        changes = [
            Change(
                service_id=service_id,
                kind=KIND,
                want=wanted.get(service_id),
                generation=(wanted.get(service_id) or present[service_id]).generation,
            )
            for service_id in sorted({*wanted, *present})
            if wanted.get(service_id) != present.get(service_id)
        ]
        if changes:
            self._apply(element, credentials, changes, deadline_s, fenced=False)

    # --- talking to the gateway ---------------------------------------------------------------------------

    def _apply(
        self,
        element: ElementView,
        credentials: Credentials,
        changes: Sequence[Change],
        deadline_s: float,
        *,
        fenced: bool,
    ) -> tuple[str, ...]:
        base = Base.of(element)
        for _ in range(_TRIES):
            gateway = self._seen.pop(element.id, None) or self._look(element, credentials, deadline_s)
            if fenced:
                _fence(element, gateway, changes)
            text, commands = script(base, gateway, changes)
            answer = self._ssh.exec(SshTarget.of(element, credentials), SHELL, deadline_s, given=text)
            if answer.status == 0:
                return commands
            if answer.status is None:
                raise Unavailable(f"{element.code} dropped the connection; what it did is unknown")
            if answer.status == BUSY:
                raise Unavailable(f"{element.code} is being configured by somebody else")
            if answer.status != MOVED:
                raise ElementRefused(f"{element.code}: {complaint(answer.stdout)}")
        raise Unavailable(f"{element.code} changed each time before it could be changed")

    def _look(self, element: ElementView, credentials: Credentials, deadline_s: float) -> Gateway:
        answer = self._ssh.exec(SshTarget.of(element, credentials), SHELL, deadline_s, given=SHOW)
        return read_answer(element.code, answer)


def _fence(element: ElementView, gateway: Gateway, changes: Sequence[Change]) -> None:
    for change in changes:
        held = gateway.services.get(str(change.service_id))
        if held is not None and held.generation > change.generation:
            raise StaleGeneration(
                f"{element.code} holds generation {held.generation} of {change.service_id}, "
                f"newer than {change.generation}"
            )


def _fragment(element: ElementView, key: str, held: Held) -> Fragment:
    circuit_id = held.known.get("circuit_id", "")
    if held.port is None:
        circuit_id = ""
    elif circuit_id.split("/")[1:2] != [held.port]:
        circuit_id = f"{element.code}/{held.port}/-"
    values = {
        "username": held.known.get("username"),
        "circuit_id": circuit_id,
        "ipv4": held.ipv4,
        "ipv6_wan": held.ipv6_wan,
        "ipv6_pd": held.ipv6_pd,
        "down_kbps": None if held.down_kbps is None else str(held.down_kbps),
        "up_kbps": None if held.up_kbps is None else str(held.up_kbps),
        "walled": held.walled,
    }
    return Fragment(
        service_id=service_of(element, key),
        kind=KIND,
        attributes={name: value for name, value in values.items() if value},
        generation=held.generation,
    )


def _config_line(fragment: Fragment) -> str:
    words = [f"{name} {shlex.quote(value)}" for name, value in sorted(fragment.attributes.items())]
    return f"subscriber {fragment.service_id} {' '.join(words)} generation {fragment.generation}\n"


def _parse_config(text: str) -> list[Fragment]:
    found = []
    for line in text.splitlines():
        words = shlex.split(line)
        if not words:
            continue
        if words[0] != "subscriber" or len(words) % 2:
            raise ElementRefused(f"{line[:80]!r} is no line of a gateway's configuration", field="config")
        values = dict(zip(words[2::2], words[3::2], strict=True))
        generation = int(values.pop("generation", "0"))
        service_id = ServiceId(UUID(words[1]))
        found.append(Fragment(service_id=service_id, kind=KIND, attributes=values, generation=generation))
    return found
