"""What a Linux access gateway enforces for a subscriber now. IPoE has no session that could be disconnected.

Rates and walls are the gateway's own configuration and hold at once, so there is nothing to change by CoA.
"""

from turnup.contracts.provisioning import LiveSession
from turnup.gateways.linux.reading import SHELL, SHOW, read_answer
from turnup.gateways.transports.nas import NasAccess


class LinuxSessions:
    """Implements contracts.provisioning.AaaGateway for elements whose driver is `linux`."""

    def __init__(self, nas: NasAccess) -> None:
        self._nas = nas

    def change_authorization(
        self, nas: str, username: str, wanted: LiveSession, *, deadline_s: float
    ) -> bool:
        """False: what is in force is what is configured."""
        return False

    def disconnect(self, nas: str, username: str, *, deadline_s: float) -> bool:
        """False: there is no session to end; without configuration nothing of hers is forwarded."""
        return False

    def reports_sessions(self, nas: str) -> bool:
        return True

    def live_session(self, nas: str, username: str, *, deadline_s: float) -> LiveSession | None:
        """What the gateway enforces for her now, None where it knows nothing of her."""
        gateway = read_answer(nas, self._nas.ask(nas, SHELL, deadline_s, given=SHOW))
        for held in gateway.services.values():
            if held.present and held.known.get("username") == username:
                return LiveSession(
                    down_kbps=held.down_kbps or 0, up_kbps=held.up_kbps or 0, walled=held.walled == "yes"
                )
        return None
