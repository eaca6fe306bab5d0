"""The gateway's base: one nftables table for any number of subscribers, laid out once and again when changed.

Who a packet belongs to is looked up in the maps `class4` and `class6`, which put its HTB class on it; who is
in `walled4` or `walled6` reaches the garden only and is led to the payment page. The text may be loaded again
at any time: it replaces the rules and leaves the subscribers' elements alone.
"""

import ipaddress
from dataclasses import dataclass

from turnup.contracts.configuration import ElementRefused
from turnup.contracts.inventory import ElementView

FOLDER = "/var/lib/turnup/gateway"
"""On the gateway: what each service holds, and what brings it all back after a reboot."""
ROUTE_PROTOCOL = 188
"""Marks our routes (``ip route show proto 188``)."""
_DEVICE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_DEVICE_LETTERS_MAX = 15


@dataclass(frozen=True, slots=True)
class Base:
    """What the element's management says of the gateway: keys `uplink` and `garden` (addresses, the first of
    each family is where the payment page is)."""

    uplink: str
    garden4: tuple[str, ...]
    garden6: tuple[str, ...]

    @classmethod
    def of(cls, element: ElementView) -> "Base":
        uplink = element.management.get("uplink", "")
        if not is_device(uplink):
            raise ElementRefused(
                f"{element.code} has no valid uplink",
                field="management.uplink",
                remedy="name the interface towards the internet",
            )
        try:
            garden = [ipaddress.ip_address(text) for text in element.management.get("garden", "").split()]
        except ValueError as error:
            raise ElementRefused(
                f"{element.code}: {error}",
                field="management.garden",
                remedy="write IP addresses with spaces between them",
            ) from error
        return cls(
            uplink,
            tuple(str(address) for address in garden if address.version == 4),
            tuple(str(address) for address in garden if address.version == 6),
        )

    def ruleset(self) -> str:
        """The table, for ``nft -f``."""
        lines = [
            "add table inet turnup",
            "add map inet turnup class4 { type ipv4_addr : classid; }",
            "add map inet turnup class6 { type ipv6_addr : classid; flags interval; }",
            "add set inet turnup walled4 { type ipv4_addr; }",
            "add set inet turnup walled6 { type ipv6_addr; flags interval; }",
            "add set inet turnup garden4 { type ipv4_addr; }",
            "add set inet turnup garden6 { type ipv6_addr; }",
            "flush set inet turnup garden4",
            "flush set inet turnup garden6",
            "add chain inet turnup forward { type filter hook forward priority filter; policy drop; }",
            "add chain inet turnup portal { type nat hook prerouting priority dstnat; policy accept; }",
            "flush chain inet turnup forward",
            "flush chain inet turnup portal",
            # nobody sends from an address that is not routed to where she is (BCP 38)
            f"add rule inet turnup forward iifname != {self.uplink} fib saddr . iif oif 0 drop",
        ]
        for family, suffix, garden in (("ip", "4", self.garden4), ("ip6", "6", self.garden6)):
            if garden:
                lines.append(f"add element inet turnup garden{suffix} {{ {', '.join(garden)} }}")
                lines.append(
                    f"add rule inet turnup portal iifname != {self.uplink} {family} saddr @walled{suffix} "
                    f"{family} daddr != @garden{suffix} tcp dport 80 dnat {family} to {_host(garden[0])}"
                )
            lines += self._direction(family, suffix, f"iifname {self.uplink}", "saddr", "daddr", "drop")
            lines += self._direction(
                family,
                suffix,
                f"oifname {self.uplink}",
                "daddr",
                "saddr",
                "reject with icmpx admin-prohibited",
            )
        return "\n".join(lines) + "\n"

    @staticmethod
    def _direction(family: str, suffix: str, way: str, theirs: str, hers: str, refusal: str) -> list[str]:
        """One family and direction: the garden for all subscribers, all else for those who are not walled."""
        shaped = f"meta priority set {family} {hers} map @class{suffix} accept"
        rule = f"add rule inet turnup forward {way}"
        return [
            f"{rule} {family} {theirs} @garden{suffix} {shaped}",
            f"{rule} {family} {hers} @walled{suffix} {refusal}",
            f"{rule} {shaped}",
        ]


def is_device(name: str) -> bool:
    """Whether it can be the name of an interface, and nothing else."""
    return (
        0 < len(name) <= _DEVICE_LETTERS_MAX and not set(name) - _DEVICE_LETTERS and name not in (".", "..")
    )


def _host(address: str) -> str:
    return f"[{address}]:80" if ":" in address else f"{address}:80"
