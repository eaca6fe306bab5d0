"""One PPPoE subscriber of the real lab: her router dials in when told to, and she measures what she gets."""

import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from turnup.lab.real import plan
from turnup.lab.real.machine import run
from turnup.lab.real.pppoe.access import router_folder
from turnup.lab.real.pppoe.guest import in_guest
from turnup.lab.real.terminal import Terminal

_LOG = "/run/pppd.log"
_DIAL = """umask 077
printf '%s\\n' {secrets} >/etc/ppp/chap-secrets
setsid pppd plugin rp-pppoe.so wan0 user {login} noauth defaultroute replacedefaultroute +ipv6 \\
    mtu 1492 mru 1492 persist maxfail 0 holdoff 1 lcp-restart 1 nodetach </dev/null >>/run/pppd.log 2>&1 &
echo $! >/run/dialling
"""
_HANG_UP = """pid=$(cat /run/dialling 2>/dev/null) || exit 0
kill -TERM "$pid" 2>/dev/null
for tenth in {1..50}; do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
done
# looking for a BNG, pppd hears no SIGTERM for half a minute; then it has no session to take leave of
kill -KILL "$pid" 2>/dev/null
rm -f /run/dialling
"""
_COUNTED = re.compile(r"Sent (\d+) bytes, received (\d+) bytes")


@dataclass(frozen=True, slots=True)
class Addresses:
    """What her router has now; empty where it has none."""

    ipv4: str = ""
    wan6: str = ""
    """Made by her router from the WAN prefix."""
    lan6: str = ""
    """Of the delegated prefix, on the side of her home."""

    @property
    def complete(self) -> bool:
        return bool(self.ipv4 and self.wan6 and self.lan6)


class PppoeSubscriber(Terminal):
    """The n-th subscriber on PPPoE, counted from 1."""

    def __init__(self, n: int, home: Path = plan.HOME) -> None:
        super().__init__(router_folder(n, home))

    def at_her_place(self, *command: str | Path) -> list[str]:
        return in_guest(self._folder, *command)

    def dial(self, login: str, password: str) -> None:
        """Her router dials from now on, again after every end, until `hang_up`."""
        secrets = f"{_quoted(login)} * {_quoted(password)} *"
        self._shell(_DIAL.format(login=shlex.quote(login), secrets=shlex.quote(secrets)))

    def hang_up(self) -> None:
        """Take leave of the BNG and stay offline; returns when her session has ended."""
        self._shell(_HANG_UP)

    def addresses(self) -> Addresses:
        """Of ppp0 and of her network at home."""
        listed = json.loads(self._shell("ip -j addr show"))
        held = {
            link["ifname"]: [
                each["local"] for each in link["addr_info"] if each["scope"] == "global" and "local" in each
            ]
            for link in listed
            if "ifname" in link
        }
        wan, lan = held.get("ppp0", []), held.get("lan0", [])
        return Addresses(
            ipv4=next((each for each in wan if ip_address(each).version == 4), ""),
            wan6=next((each for each in wan if ip_address(each).version == 6), ""),
            lan6=next((each for each in lan if ip_address(each).version == 6), ""),
        )

    def times_in(self) -> int:
        """How often her router was let in so far: unchanged means that her session has not dropped."""
        return self._log().count("CHAP authentication succeeded\n")

    def times_refused(self) -> int:
        """How often her router was turned away."""
        return self._log().count("CHAP authentication failed")

    def counted(self) -> tuple[int, int]:
        """(sent, received) octets of the last session that has ended, as her own router counted them."""
        found = _COUNTED.findall(self._log())
        return (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)

    def start_pinging(self, address: str, log: str) -> "subprocess.Popen[bytes]":
        """Echo requests every 50 ms until the process is ended; `log` (in her folder) says what came back."""
        words = self.at_her_place(
            "sh", "-c",
            f"while :; do ping -n -i 0.05 {address}; sleep 0.05; done >>{self._folder / log} 2>&1",
        )  # fmt: skip
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def replies(self, log: str) -> int:
        """How many echo requests of `start_pinging` were answered by whom they were for."""
        text = (self._folder / log).read_text(encoding="utf-8", errors="replace")
        return text.count("bytes from")

    def _log(self) -> str:
        return self._shell(f"cat {_LOG} 2>/dev/null || true")

    def _shell(self, script: str) -> str:
        return run(*self.at_her_place("bash", "-c", script))


def _quoted(text: str) -> str:
    """A word of pppd's secrets file (pppd(8))."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
