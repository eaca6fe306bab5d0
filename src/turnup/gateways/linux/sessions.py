"""What a Linux access gateway enforces for a subscriber now. IPoE has no session that could be disconnected.

Rates and walls are the gateway's own configuration and hold at once, so there is nothing to change by CoA.
"""

from turnup.contracts.configuration import ElementRefused
from turnup.contracts.provisioning import LiveSession
from turnup.gateways.linux.reading import SHOW, parse
from turnup.gateways.transports.nas import NasAccess

_SHELL = "exec sh -s"


class LinuxSessions:
    """Implements contracts.provisioning.AaaGateway for elements whose driver is `linux`."""

    def __init__(self, nas: NasAccess) -> None:
        self._nas = nas

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
        """False: what is in force is what is configured."""
        return False

    def disconnect(self, nas: str, username: str, session_id: str | None, *, deadline_s: float) -> bool:
        """False: there is no session to end; without configuration nothing of hers is forwarded."""
        return False

    def live_session(self, nas: str, username: str, *, deadline_s: float) -> LiveSession | None:
        """What the gateway enforces for her now, None where it knows nothing of her."""
        answer = self._nas.ask(nas, _SHELL, deadline_s, given=SHOW)
        try:
            services = parse(answer.stdout).services.values()
        except (ValueError, KeyError, TypeError) as error:
            raise ElementRefused(f"{nas} says what cannot be read: {error}") from error
        for held in services:
            if held.present and held.known.get("username") == username:
                return LiveSession(
                    down_kbps=held.down_kbps or 0, up_kbps=held.up_kbps or 0, walled=held.walled == "yes"
                )
        return None
