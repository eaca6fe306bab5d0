"""A NAS by the code of its element, asked over SSH: what the session gateways of every driver share."""

from collections.abc import Callable
from typing import Protocol

from turnup.contracts.configuration import Credentials
from turnup.contracts.inventory import ElementView
from turnup.gateways.transports.ssh import ExecResult, SshPool, SshTarget
from turnup.kernel.errors import NotFound, Unavailable
from turnup.kernel.ids import ElementId


class ElementByCode(Protocol):
    def __call__(self, code: str, /) -> ElementView | None: ...


class NasAccess:
    """Finds a NAS and asks it. Management keys: host, ssh_port."""

    def __init__(
        self,
        element_by_code: ElementByCode,
        credentials: Callable[[ElementId], Credentials],
        ssh: SshPool,
    ) -> None:
        self._element_by_code = element_by_code
        self._credentials = credentials
        self._ssh = ssh

    def element(self, nas: str) -> ElementView:
        """Raises NotFound."""
        element = self._element_by_code(nas)
        if element is None:
            raise NotFound(f"no element {nas}", field="nas")
        return element

    def credentials(self, nas: str) -> Credentials:
        return self._credentials(self.element(nas).id)

    def ask(self, nas: str, command: str, deadline_s: float, *, given: str | None = None) -> ExecResult:
        """The answer to one command, `given` on its input. Raises NotFound, and Unavailable where it breaks
        off."""
        element = self.element(nas)
        target = SshTarget.of(element, self._credentials(element.id))
        answer = self._ssh.exec(target, command, deadline_s, given=given)
        if answer.status is None:
            raise Unavailable(f"{nas} dropped the connection")
        return answer
