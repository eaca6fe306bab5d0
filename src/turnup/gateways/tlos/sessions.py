"""Live sessions of a tlos BNG: changed and ended by RADIUS (RFC 5176), read over SSH."""

from turnup.contracts.configuration import ElementRefused
from turnup.contracts.provisioning import LiveSession
from turnup.gateways.radius.coa import CoaPeer, change_authorization, disconnect
from turnup.gateways.transports.nas import NasAccess
from turnup.kernel.errors import InvalidInput

_COA_PORT = "3799"


class NasSessions:
    """Implements contracts.provisioning.AaaGateway. `nas` is the element's code. Management keys: host,
    coa_port (3799), ssh_port. Credentials: coa_secret and the SSH ones."""

    def __init__(self, nas: NasAccess) -> None:
        self._nas = nas

    def change_authorization(
        self, nas: str, username: str, wanted: LiveSession, *, deadline_s: float
    ) -> bool:
        return change_authorization(self._peer(nas), username, wanted, deadline_s=deadline_s)

    def disconnect(self, nas: str, username: str, *, deadline_s: float) -> bool:
        return disconnect(self._peer(nas), username, deadline_s=deadline_s)

    def live_session(self, nas: str, username: str, *, deadline_s: float) -> LiveSession | None:
        if not username or any(letter in " ,;\"'\\#" or not letter.isprintable() for letter in username):
            raise InvalidInput(f"{username!r} is no user name of a session", field="username")
        answer = self._nas.ask(nas, f"show session {username}", deadline_s)
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

    def _peer(self, nas: str) -> CoaPeer:
        element = self._nas.element(nas)
        secret = self._nas.credentials(nas).coa_secret
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
