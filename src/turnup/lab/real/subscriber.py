"""One IPoE subscriber of the real lab and her DHCP clients."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from turnup.lab.real import plan
from turnup.lab.real.machine import inside, run, start, write
from turnup.lab.real.namespaces import processes
from turnup.lab.real.terminal import Terminal

_CLIENT = """
option captive-portal code 114 = text;
option dhcp6.captive-portal code 103 = text;
timeout 6;
retry 1;
initial-interval 1;
backoff-cutoff 1;
request subnet-mask, routers, domain-name-servers, captive-portal;
also request dhcp6.captive-portal, dhcp6.name-servers;
"""
# what dhclient calls at every event (dhclient-script(8)); the environment is also kept, to be looked at
_SCRIPT = """#!/bin/sh
here={folder}
case "$reason" in
BOUND|RENEW|REBIND|REBOOT)
    ip addr replace "$new_ip_address/32" dev "$interface"
    ip route replace "$new_routers" dev "$interface"
    ip route replace default via "$new_routers" src "$new_ip_address"
    env | grep -E '^(reason|new_)' >"$here/lease4.part" && mv "$here/lease4.part" "$here/lease4"
    echo "$reason $new_ip_address" >>"$here/events4" ;;
EXPIRE|FAIL|RELEASE|STOP)
    ip -4 addr flush dev "$interface"
    rm -f "$here/lease4"
    echo "$reason" >>"$here/events4" ;;
BOUND6|RENEW6|REBIND6)
    [ -n "$new_ip6_address" ] && ip -6 addr replace "$new_ip6_address/128" dev "$interface"
    [ -n "$new_ip6_prefix" ] && ip -6 addr replace "${{new_ip6_prefix%/*}}1/128" dev lo
    kind=$([ -n "$new_ip6_prefix" ] && echo pd || echo wan)
    env | grep -E '^(reason|new_)' >"$here/lease6.part" && mv "$here/lease6.part" "$here/lease6-$kind"
    echo "$reason $new_ip6_address$new_ip6_prefix" >>"$here/events6" ;;
esac
exit 0
"""


class Subscriber(Terminal):
    """The n-th subscriber, counted from 1."""

    def __init__(self, n: int, home: Path = plan.HOME) -> None:
        self.namespace = plan.subscriber(n)
        self.port = plan.port(n)
        super().__init__(home / self.namespace)

    def at_her_place(self, *command: str | Path) -> list[str]:
        return inside(self.namespace, *command)

    def start_dhcp(self, family: int) -> None:
        """Start her router's DHCP client (4 or 6), which goes on by itself."""
        self._folder.mkdir(mode=0o711, exist_ok=True)
        conf = write(self._folder / "dhclient.conf", _CLIENT)
        script = write(self._folder / "script", _SCRIPT.format(folder=self._folder), mode=0o755)
        what = ["-6", "-N", "-P"] if family == 6 else ["-4"]
        start(
            self.namespace, self._folder / f"dhclient{family}.log", "dhclient", *what, "-d", "-v",
            "-sf", script, "-cf", conf, "-lf", self._folder / f"leases{family}",
            "-pf", self._folder / f"dhclient{family}.pid", "eth0",
        )  # fmt: skip

    def lease(self, family: int) -> Mapping[str, str]:
        """What the DHCP server gave last, as dhclient-script(8) names it; empty without a lease."""
        names = ["lease4"] if family == 4 else ["lease6-wan", "lease6-pd"]
        found: dict[str, str] = {}
        for name in names:
            path = self._folder / name
            if path.exists():
                lines = path.read_text(encoding="utf-8").splitlines()
                found |= dict(line.split("=", 1) for line in lines if "=" in line)
        return found

    def lease_events(self, family: int) -> list[str]:
        """Every event of the client so far, ``BOUND 100.64.0.2``."""
        path = self._folder / f"events{family}"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def take(self, address: str, gateway: str) -> None:
        """Configure an address by hand, as a squatter would."""
        version = ipaddress.ip_address(address).version
        length = 32 if version == 4 else 128
        family = f"-{version}"
        run(*inside(self.namespace, "ip", family, "addr", "replace", f"{address}/{length}", "dev", "eth0"))
        if version == 4:
            run(*inside(self.namespace, "ip", "route", "replace", gateway, "dev", "eth0"))
        run(
            *inside(
                self.namespace, "ip", family, "route", "replace", "default", "via", gateway, "dev", "eth0"
            )
        )

    def forget(self) -> None:
        """Without address and route again, as after unplugging."""
        for family in ("-4", "-6"):
            run(*inside(self.namespace, "ip", family, "addr", "flush", "dev", "eth0", "scope", "global"))

    def processes(self) -> list[int]:
        """What runs at her place: the DHCP clients, transfers."""
        return processes(self.namespace)
