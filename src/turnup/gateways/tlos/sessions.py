"""Live sessions of a tlos BNG: changed and ended by RADIUS (RFC 5176), read over SSH."""

from turnup.contracts.configuration import ElementRefused
from turnup.contracts.provisioning import LiveSession
from turnup.gateways.radius.sessions import CoaSessions
from turnup.kernel.errors import InvalidInput


class NasSessions(CoaSessions):
    """Implements contracts.provisioning.AaaGateway. Management keys beside those of CoA: ssh_port;
    credentials also those of SSH."""

    def reports_sessions(self, nas: str) -> bool:
        return True

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
