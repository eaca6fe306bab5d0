"""Syslog messages (RFC 5424 over UDP, RFC 5426) of the devices; fire and forget, as syslog is."""

import socket
from typing import Literal

from turnup.lab.clock import LabClock

_FACILITY_LOCAL7 = 23
_SEVERITY = {"error": 3, "warning": 4, "notice": 5, "info": 6}
Severity = Literal["error", "warning", "notice", "info"]


class Syslog:
    """Sends to one collector; without an address it sends nothing."""

    def __init__(self, clock: LabClock, address: tuple[str, int] | None) -> None:
        self._clock = clock
        self.address = address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003

    def send(self, host: str, msgid: str, text: str, severity: Severity = "notice") -> None:
        """One message from device `host`; MSGID is LINK_DOWN, LINK_UP, COMMIT, LOGIN and so on."""
        if self.address is None:
            return
        stamp = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        priority = _FACILITY_LOCAL7 * 8 + _SEVERITY[severity]
        line = f"<{priority}>1 {stamp} {host} tlos - {msgid} - {text}"
        try:
            self._socket.sendto(line.encode(), self.address)
        except OSError:
            return  # nobody listens or the buffer is full: a lost message is what UDP syslog promises

    def close(self) -> None:
        self._socket.close()
