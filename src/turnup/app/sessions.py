"""Live sessions of every kind of NAS, each asked by the gateway of its driver."""

from collections.abc import Callable, Mapping

from turnup.contracts.inventory import ElementView
from turnup.contracts.provisioning import AaaGateway, LiveSession
from turnup.kernel.errors import NotFound


class SessionsByDriver:
    """Implements contracts.provisioning.AaaGateway; `nas` is an element's code."""

    def __init__(
        self,
        element_by_code: Callable[[str], ElementView | None],
        gateways: Mapping[str, AaaGateway],
    ) -> None:
        self._element_by_code = element_by_code
        self._gateways = gateways

    def change_authorization(
        self, nas: str, username: str, wanted: LiveSession, *, deadline_s: float
    ) -> bool:
        return self._of(nas).change_authorization(nas, username, wanted, deadline_s=deadline_s)

    def disconnect(self, nas: str, username: str, *, deadline_s: float) -> bool:
        return self._of(nas).disconnect(nas, username, deadline_s=deadline_s)

    def reports_sessions(self, nas: str) -> bool:
        return self._of(nas).reports_sessions(nas)

    def live_session(self, nas: str, username: str, *, deadline_s: float) -> LiveSession | None:
        return self._of(nas).live_session(nas, username, deadline_s=deadline_s)

    def _of(self, nas: str) -> AaaGateway:
        element = self._element_by_code(nas)
        if element is None:
            raise NotFound(f"no element {nas}", field="nas")
        try:
            return self._gateways[element.driver]
        except KeyError as error:
            raise NotFound(
                f"{nas} has no live sessions that can be asked for: its driver is {element.driver}",
                field="driver",
                remedy=f"a NAS has one of: {', '.join(sorted(self._gateways))}",
            ) from error
