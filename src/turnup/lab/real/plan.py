"""What the real lab is made of: names, addresses and folders. Data only; nothing is started here.

    subscribers tl-s1 … tl-sN ──p1 … pN── tl-agw ──up0── tl-core (the internet, payment page, DNS)
                                             │
    this machine ────────── management bridge 198.18.0.0/24 (RFC 2544) ── tl-kea, tl-aaa1, tl-aaa2
                                             │
    router1 … routerN ──VLAN 100── bng1 (guests in tl-ppp, where PPPoE is wanted) ── tl-core

Addresses are of documentation and benchmarking ranges (RFC 5737, RFC 3849, RFC 2544) and of the shared space
for access networks (RFC 6598), so that the lab hides no real network.
"""

from dataclasses import dataclass
from pathlib import Path

HOME = Path("/run/turnup-lab")
"""Everything the lab writes. Gone after a reboot, like the namespaces."""

BRIDGE = "tl-mgmt"
GATEWAY = "tl-agw"
CORE = "tl-core"
KEA = "tl-kea"
AAA = ("tl-aaa1", "tl-aaa2")

PPPOE = "tl-ppp"
"""Where the guests of the PPPoE access run, with the cables between them."""
BNG = "bng1"

MANAGEMENT_NET = "198.18.0.0/24"
THIS_MACHINE = "198.18.0.1"
MANAGED = {GATEWAY: "198.18.0.2", KEA: "198.18.0.3", AAA[0]: "198.18.0.4", AAA[1]: "198.18.0.5"}
BNG_HOST = "198.18.0.6"

GATEWAY6, KEA6 = "fd19:818::2", "fd19:818::3"
"""Management by IPv6 (RFC 4193) where DHCPv6 needs it."""

UPLINK = "up0"
UPLINK4, UPLINK6 = "203.0.113.1/24", "2001:db8:f::1/64"
INTERNET4, INTERNET6 = "203.0.113.10", "2001:db8:f::10"
GARDEN4, GARDEN6 = "203.0.113.20", "2001:db8:f::20"
"""What a walled subscriber reaches: payment page and DNS."""
PAYMENT_HOST = "pay.lab.example"
PORTAL_URL = f"http://{PAYMENT_HOST}/captive-portal"
"""The captive-portal API (RFC 8908), as DHCP announces it (RFC 8910)."""

SUBNETS4 = {1: "100.64.0.0/20", 2: "198.51.100.0/24"}
"""Kea's subnet ids; the first host of each is the gateway."""
ROUTERS4 = ("100.64.0.1", "198.51.100.1")
WAN6 = {1: "2001:db8:1::/48"}
RELAY6 = "2001:db8:1::1"
"""The relay's link-address (RFC 8415): names the subnet to Kea, is nobody's."""
DELEGATED6 = "2001:db8:100::/40"

PPPOE_NET4, PPPOE_ROUTER4 = "100.64.16.0/20", "100.64.16.1"
PPPOE_UNUSED4 = "100.64.31.1"
"""Where pppoe-server would count from if RADIUS gave no address; it always does."""
PPPOE_WAN6, PPPOE_DELEGATED6 = "2001:db8:2::/48", "2001:db8:200::/40"
BNG_UPLINK4, BNG_CORE4 = "192.0.2.2/30", "192.0.2.1/30"
BNG_UPLINK6, BNG_CORE6 = "2001:db8:e::2/64", "2001:db8:e::1/64"
BNG_TAPS = ("bng-access", "bng-core", "bng-mgmt")
"""Its network cards, in the order the guest has them."""

DHCP_RENEW_S, DHCP_VALID_S = 4, 120


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the lab is."""

    subscribers: int = 2
    pppoe: int = 0
    """Subscribers on PPPoE, each with a router that is a guest of about 200 MB; 0: no BNG either."""

    def __post_init__(self) -> None:
        if not 1 <= self.subscribers <= 200:
            raise ValueError("a lab has 1 to 200 subscribers")
        if not 0 <= self.pppoe <= 16:
            raise ValueError("a lab has 0 to 16 subscribers on PPPoE")

    @property
    def namespaces(self) -> list[str]:
        pppoe = [PPPOE] if self.pppoe else []
        return [GATEWAY, CORE, KEA, *AAA, *pppoe, *(subscriber(n) for n in self.numbers)]

    @property
    def numbers(self) -> range:
        return range(1, self.subscribers + 1)

    @property
    def pppoe_numbers(self) -> range:
        return range(1, self.pppoe + 1)


def subscriber(n: int) -> str:
    """The namespace of the n-th subscriber."""
    return f"tl-s{n}"


def port(n: int) -> str:
    """The gateway's interface to the n-th subscriber."""
    return f"p{n}"


def router(n: int) -> str:
    """The guest that is the n-th PPPoE subscriber's router."""
    return f"router{n}"


def router_tap(n: int) -> str:
    return f"r{n}-wan"
