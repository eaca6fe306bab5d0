"""One subscriber of the real lab: her DHCP clients, and measuring what she gets. Real packets only."""

import ipaddress
import json
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from turnup.lab.real import plan
from turnup.lab.real.machine import inside, run, start, succeeds, write
from turnup.lab.real.namespaces import processes

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
_KBITS = re.compile(r"([0-9.]+) Kbits/sec")


@dataclass(frozen=True, slots=True)
class Fetched:
    """An HTTP answer."""

    status: int
    text: str


class Subscriber:
    """The n-th subscriber, counted from 1."""

    def __init__(self, n: int, home: Path = plan.HOME) -> None:
        self.namespace = plan.subscriber(n)
        self.port = plan.port(n)
        self._folder = home / self.namespace

    # --- leases -------------------------------------------------------------------------------------------

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

    # --- traffic ------------------------------------------------------------------------------------------

    def pings(self, address: str, *, source: str | None = None, seconds: float = 1.0) -> bool:
        """Whether one echo request is answered."""
        chosen = ["-I", source] if source else []
        return succeeds(
            inside(self.namespace, "ping", "-n", "-c1", f"-W{seconds}", *chosen, address), seconds + 5
        )

    def throughput_bps(
        self, address: str, *, down: bool, seconds: int = 4, source: str | None = None
    ) -> float:
        """TCP goodput of iperf3 as the receiver counts it, the first second (slow start) left out."""
        chosen = ["--bind", source] if source else []
        said = run(
            *inside(
                self.namespace, "iperf3", "--json", "--client", address, "--time", str(seconds),
                "--omit", "1", *(["--reverse"] if down else []), *chosen,
            ),
            timeout_s=seconds + 20.0,
        )  # fmt: skip
        return float(json.loads(said)["end"]["sum_received"]["bits_per_second"])

    def start_transfer(self, address: str, seconds: int) -> "Transfer":
        """A download that goes on meanwhile, over one TCP connection."""
        log = self._folder / "transfer.log"
        log.unlink(missing_ok=True)
        words = inside(
            self.namespace, "iperf3", "--client", address, "--time", str(seconds), "--reverse",
            "--format", "k", "--forceflush", "--logfile", log,
        )  # fmt: skip
        return Transfer(
            subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ),
            log,
        )

    def fetch(self, url: str, *, timeout_s: float = 3.0) -> Fetched | None:
        """GET over plain HTTP from her namespace; None when nobody answers."""
        code = (
            "import sys,urllib.request,urllib.error\n"
            "try:\n r=urllib.request.urlopen(sys.argv[1],timeout=float(sys.argv[2]))\n"
            "except urllib.error.HTTPError as e:\n r=e\n"
            "sys.stdout.write(str(r.status)+'\\n'+r.read().decode())"
        )
        done = subprocess.run(
            inside(self.namespace, sys.executable, "-c", code, url, str(timeout_s)),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_s + 10,
        )  # fmt: skip
        if done.returncode != 0:
            return None
        status, _, text = done.stdout.partition("\n")
        return Fetched(int(status), text)

    def resolves(self, name: str, server: str) -> bool:
        """Whether this DNS server answers her (an A question over UDP)."""
        question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
        query = b"\x12\x34" + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + question + struct.pack("!HH", 1, 1)
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        code = (
            "import socket,sys\n"
            f"s=socket.socket({int(family)},socket.SOCK_DGRAM);s.settimeout(2)\n"
            "s.sendto(bytes.fromhex(sys.argv[1]),(sys.argv[2],53))\n"
            "a=s.recv(4096);sys.exit(0 if a[:2]==bytes.fromhex('1234') and a[7]>0 else 1)"
        )
        return succeeds(inside(self.namespace, sys.executable, "-c", code, query.hex(), server))

    def processes(self) -> list[int]:
        """What runs at her place: the DHCP clients, transfers."""
        return processes(self.namespace)


class Transfer:
    """A running download."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def last_bps(self) -> float:
        """The goodput of the last second; 0 before the first."""
        text = self._log.read_text(encoding="utf-8") if self._log.exists() else ""
        found = _KBITS.findall(text)
        return float(found[-1]) * 1000 if found else 0.0

    def stop(self) -> None:
        """Hang up."""
        self._process.terminate()
        self._process.wait(10)
