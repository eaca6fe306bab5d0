"""Live sessions changed and ended by dynamic authorization (RFC 5176), which is all a NAS of RADIUS offers.

The protocol has no question "which session have you got?": a NAS that is managed by nothing else proves a
change by acknowledging it.
"""

from turnup.contracts.provisioning import LiveSession
from turnup.gateways.radius.coa import CoaPeer, change_authorization, disconnect
from turnup.gateways.transports.nas import NasAccess
from turnup.kernel.errors import InvalidInput

_COA_PORT = "3799"


class CoaSessions:
    """What NASes of every driver that speak RFC 5176 share. `nas` is the element's code. Management keys:
    host, coa_port (3799). Credentials: coa_secret."""

    def __init__(self, nas: NasAccess) -> None:
        self._nas = nas

    def change_authorization(
        self, nas: str, username: str, wanted: LiveSession, *, deadline_s: float
    ) -> bool:
        return change_authorization(self._peer(nas), username, wanted, deadline_s=deadline_s)

    def disconnect(self, nas: str, username: str, *, deadline_s: float) -> bool:
        return disconnect(self._peer(nas), username, deadline_s=deadline_s)

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


class RadiusSessions(CoaSessions):
    """Implements contracts.provisioning.AaaGateway for elements whose driver is `radius`."""

    def reports_sessions(self, nas: str) -> bool:
        return False

    def live_session(self, nas: str, username: str, *, deadline_s: float) -> LiveSession | None:
        """Raises InvalidInput: RADIUS cannot ask."""
        raise InvalidInput(
            f"{nas} cannot be asked for its sessions",
            field="driver",
            remedy="look at her accounting: turnup service show",
        )
