"""The sessions of a BNG: what RADIUS said of each, and which are meant by a request. Pure.

pppd's own Acct-Session-Id repeats within a second, so a session is known by its line (PPPoE session and MAC)
and gets an id of the BNG's own, unique over its boots.
"""

import ipaddress
from dataclasses import dataclass

from pyrad.packet import Packet

from turnup.lab.radius import WALLED, one, text_of

UNLIMITED_BPS = 1_000_000_000


@dataclass(slots=True)
class Session:
    """One subscriber's session; addresses and prefixes are empty where RADIUS gave none."""

    ident: str
    line: str
    """``7:02:00:00:00:01:01``: PPPoE session and MAC of her router."""
    username: str
    ipv4: str = ""
    wan6: str = ""
    pd6: str = ""
    down_bps: int = UNLIMITED_BPS
    up_bps: int = UNLIMITED_BPS
    filter_id: str = ""
    service_class: bytes | None = None
    interface: str | None = None
    ended_by: str | None = None
    """Acct-Terminate-Cause where it was not she who hung up."""

    @property
    def walled(self) -> bool:
        return self.filter_id == WALLED

    @property
    def mac(self) -> str:
        return self.line.partition(":")[2]

    @property
    def unit(self) -> int:
        """The number of her interface: 3 of ``ppp3``."""
        assert self.interface is not None
        return int(self.interface.removeprefix("ppp"))

    def take(self, packet: Packet) -> None:
        """What an Access-Accept or a CoA-Request says of rates and walls; what it leaves out stays."""
        self.down_bps = one(packet, "WISPr-Bandwidth-Max-Down", self.down_bps)
        self.up_bps = one(packet, "WISPr-Bandwidth-Max-Up", self.up_bps)
        if "Filter-Id" in packet:
            self.filter_id = text_of(packet, "Filter-Id")


class Sessions:
    """All sessions by line. `boot` makes ids unique over boots."""

    def __init__(self, boot: int) -> None:
        self._boot = boot
        self._count = 0
        self._by_line: dict[str, Session] = {}

    def authorized(self, line: str, username: str, accept: Packet) -> Session:
        """The AAA server accepted her on this line."""
        self._count += 1
        session = Session(
            ident=f"{self._boot:08x}-{self._count:06d}",
            line=line,
            username=username,
            ipv4=text_of(accept, "Framed-IP-Address"),
            wan6=_prefix(text_of(accept, "Framed-IPv6-Prefix")),
            pd6=_prefix(text_of(accept, "Delegated-IPv6-Prefix")),
            service_class=one(accept, "Class", None),
        )
        session.take(accept)
        self._by_line[line] = session
        return session

    def on(self, line: str) -> Session | None:
        return self._by_line.get(line)

    def of_user(self, username: str) -> list[Session]:
        return [session for session in self._by_line.values() if session.username == username]

    def meant(self, ident: str, username: str) -> list[Session]:
        """Those a request names by Acct-Session-Id, User-Name or both (RFC 5176, section 3)."""
        return [
            session
            for session in self._by_line.values()
            if ident in ("", session.ident) and username in ("", session.username)
        ]

    def on_interface(self, interface: str) -> list[Session]:
        return [session for session in self._by_line.values() if session.interface == interface]

    def forget(self, line: str) -> Session | None:
        return self._by_line.pop(line, None)


def _prefix(text: str) -> str:
    return str(ipaddress.IPv6Network(text, strict=False)) if text else ""
