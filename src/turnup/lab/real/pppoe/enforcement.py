"""What a session may do, as commands of iproute2: rates by HTB, admission by routing rules. Pure.

Routing on the BNG starts out shut (boot/bng.sh); a session's rules open the way for her own addresses only,
to everywhere or, walled, to the garden. They stand before her link carries a packet. The kernel of
User-Mode-Linux has neither the families ip and ip6 of nftables nor NAT, so nobody is led to the payment
page: all else is refused.
"""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from turnup.lab.real.pppoe.sessions import Session

DOWNSTREAM, UPSTREAM, RULES_EACH = 1_000, 10_000, 20
"""Preferences of rules: those towards subscribers stand before any that lets a subscriber out, so that nobody
walled is reached from another subscriber either."""
FAMILIES = ("-4", "-6")
_BURST = "15k"
_QUEUE = "fq_codel"


def upload_device(interface: str) -> str:
    """Where a session's uploads are shaped: what comes from her interface is sent through it."""
    return f"up-{interface}"


def shaping(session: Session) -> tuple[list[str], list[str]]:
    """(lines for `ip -batch`, lines for `tc -batch`) that put both rates on a fresh interface."""
    interface = session.interface or ""
    device = upload_device(interface)
    links = [f"link add {device} type ifb", f"link set {device} up"]
    lines = [f"qdisc add dev {interface} handle ffff: ingress"]
    for name in (interface, device):
        lines.append(f"qdisc add dev {name} root handle 1: htb default 1")
    lines += rates(session, verb="add")
    lines += [f"qdisc add dev {name} parent 1:1 handle 10: {_QUEUE}" for name in (interface, device)]
    lines.append(
        f"filter add dev {interface} parent ffff: matchall action mirred egress redirect dev {device}"
    )
    return links, lines


def rates(session: Session, *, verb: str = "replace") -> list[str]:
    """Lines for `tc -batch`: both rates as they should be now; no packet in a queue is lost."""
    interface = session.interface or ""
    return [
        f"class {verb} dev {name} parent 1: classid 1:1 htb rate {bps}bit ceil {bps}bit "
        f"burst {_BURST} cburst {_BURST}"
        for name, bps in ((interface, session.down_bps), (upload_device(interface), session.up_bps))
    ]


def admission(session: Session, garden: Sequence[str]) -> dict[str, list[str]]:
    """Lines for `ip FAMILY -batch` by family: where she may send, and who may send to her."""
    return {family: list(_rules(session, garden, family)) for family in FAMILIES}


def shut(unit: int) -> list[str]:
    """Lines for `ip FAMILY -force -batch`: without the rules of this unit nothing is forwarded for her."""
    return [
        f"rule del pref {base + unit * RULES_EACH + n}"
        for base in (UPSTREAM, DOWNSTREAM)
        for n in range(RULES_EACH)
    ]


def prefix_routes(session: Session) -> list[str]:
    """Lines for `ip -6 -batch`: the way to her prefixes."""
    prefixes = [prefix for prefix in (session.wan6, session.pd6) if prefix]
    return [f"route replace {prefix} dev {session.interface}" for prefix in prefixes]


def advertisement(session: Session, resolver: str) -> str:
    """radvd's configuration for her link: the WAN prefix for her router's own address (RFC 4862)."""
    return (
        f"interface {session.interface} {{\n"
        "  AdvSendAdvert on;\n  AdvOtherConfigFlag on;\n  MinRtrAdvInterval 3;\n  MaxRtrAdvInterval 10;\n"
        f"  prefix {session.wan6} {{ AdvOnLink on; AdvAutonomous on; }};\n"
        f"  RDNSS {resolver} {{ }};\n}};\n"
    )


def _rules(session: Session, garden: Sequence[str], family: str) -> Iterator[str]:
    version = int(family[1:])
    hers = [str(ip_network(each)) for each in (session.ipv4, session.wan6, session.pd6) if each]
    hers = [each for each in hers if ip_network(each).version == version]
    open_to = [each for each in garden if ip_address(each).version == version]
    upstream = UPSTREAM + session.unit * RULES_EACH
    downstream = DOWNSTREAM + session.unit * RULES_EACH
    if not session.walled:
        for n, mine in enumerate(hers):
            yield f"rule add pref {upstream + n} iif {session.interface} from {mine} lookup main"
        return
    pairs = [(mine, other) for mine in hers for other in open_to]
    for n, (mine, other) in enumerate(pairs):
        yield f"rule add pref {upstream + n} iif {session.interface} from {mine} to {other} lookup main"
        yield f"rule add pref {downstream + n} from {other} to {mine} lookup main"
    for n, mine in enumerate(hers, start=len(pairs)):
        yield f"rule add pref {downstream + n} to {mine} prohibit"
