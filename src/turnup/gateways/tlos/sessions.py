"""Live sessions of a tlos BNG: changed and ended by RADIUS (RFC 5176), read over SSH."""

from collections.abc import Callable
from typing import Protocol

from turnup.contracts.configuration import Credentials, ElementRefused
from turnup.contracts.inventory import ElementView
from turnup.contracts.provisioning import LiveSession
from turnup.gateways.radius.coa import CoaPeer, change_authorization, disconnect
from turnup.gateways.transports.ssh import SshPool, SshTarget
from turnup.kernel.errors import InvalidInput, NotFound, Unavailable
from turnup.kernel.ids import ElementId

_COA_PORT = "3799"


class ElementByCode(Protocol):
    def __call__(self, code: str, /) -> ElementView | None: ...


class NasSessions:
    """Implements contracts.provisioning.AaaGateway. `nas` is the element's code. Management keys: host,
    coa_port (3799), ssh_port. Credentials: coa_secret and the SSH ones."""

    def __init__(
        self,
        element_by_code: ElementByCode,
        credentials: Callable[[ElementId], Credentials],
        ssh: SshPool,
    ) -> None:
        self._element_by_code = element_by_code
        self._credentials = credentials
        self._ssh = ssh

    def change_authorization(
        self,
        nas: str,
        username: str,
        session_id: str | None,
        down_kbps: int,
        up_kbps: int,
        walled: bool,  # noqa: FBT001  the port's signature
        *,
        deadline_s: float,
    ) -> bool:
        return change_authorization(
            self._peer(nas),
            username,
            session_id,
            down_kbps=down_kbps,
            up_kbps=up_kbps,
            walled=walled,
            deadline_s=deadline_s,
        )

    def disconnect(self, nas: str, username: str, session_id: str | None, *, deadline_s: float) -> bool:
        return disconnect(self._peer(nas), username, session_id, deadline_s=deadline_s)

    def live_session(self, nas: str, username: str, *, deadline_s: float) -> LiveSession | None:
        if not username or any(letter in " ,;\"'\\#" or not letter.isprintable() for letter in username):
            raise InvalidInput(f"{username!r} is no user name of a session", field="username")
        element = self._element(nas)
        target = SshTarget.of(element, self._credentials(element.id))
        answer = self._ssh.exec(target, f"show session {username}", deadline_s)
        if answer.status is None:
            raise Unavailable(f"{nas} dropped the connection")
        if answer.status != 0:
            raise ElementRefused(f"{nas}: {answer.stdout.strip()}")
        for line in answer.stdout.splitlines():
            facts = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if facts.get("user") == username:
                return LiveSession(
                    down_kbps=int(facts["down-kbps"]),
                    up_kbps=int(facts["up-kbps"]),
                    walled=facts.get("filter") == "walled",
                )
        return None

    def _element(self, nas: str) -> ElementView:
        element = self._element_by_code(nas)
        if element is None:
            raise NotFound(f"no element {nas}", field="nas")
        return element

    def _peer(self, nas: str) -> CoaPeer:
        element = self._element(nas)
        secret = self._credentials(element.id).coa_secret
        if secret is None:
            raise InvalidInput(
                f"{nas} has no CoA secret, so its sessions cannot be changed",
                field="credentials.coa_secret",
                remedy="set it: turnup config credentials ELEMENT",
            )
        return CoaPeer(
            name=nas,
            host=element.management["host"],
            port=int(element.management.get("coa_port", _COA_PORT)),
            secret=secret.encode(),
        )
