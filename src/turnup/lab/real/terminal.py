"""The subscriber's end of a line, whatever the line is: measuring what she gets. Real packets only."""

import json
import re
import socket
import struct
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from turnup.lab.real.machine import RealLabError, run, succeeds

_KBITS = re.compile(r"([0-9.]+) Kbits/sec")
_FREE_S = 20.0
"""iperf3 of the core takes one at a time, and hears late of the end of the one before: asked again so
long."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An HTTP answer."""

    status: int
    text: str


class Terminal(ABC):
    """Where commands are run as if at her place; `folder` is seen from there under the same path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @abstractmethod
    def at_her_place(self, *command: str | Path) -> list[str]:
        """The command line on this machine that runs a program at her place."""

    def pings(self, address: str, *, source: str | None = None, seconds: float = 1.0) -> bool:
        """Whether one echo request is answered."""
        chosen = ["-I", source] if source else []
        return succeeds(self.at_her_place("ping", "-n", "-c1", f"-W{seconds}", *chosen, address), seconds + 5)

    def throughput_bps(
        self, address: str, *, down: bool, seconds: int = 4, source: str | None = None
    ) -> float:
        """TCP goodput of iperf3 as the receiver counts it, the first second (slow start) left out."""
        chosen = ["--bind", source] if source else []
        words = self.at_her_place(
            "iperf3", "--json", "--client", address, "--time", str(seconds),
            "--omit", "1", *(["--reverse"] if down else []), *chosen,
        )  # fmt: skip
        until = time.monotonic() + _FREE_S
        while True:
            try:
                said = run(*words, timeout_s=seconds + 20.0)
                break
            except RealLabError as reason:
                if "busy" not in str(reason) or time.monotonic() > until:
                    raise
        return float(json.loads(said)["end"]["sum_received"]["bits_per_second"])

    def start_transfer(self, address: str, seconds: int) -> "Transfer":
        """A download that goes on meanwhile, over one TCP connection."""
        log = self._folder / "transfer.log"
        words = self.at_her_place(
            "iperf3", "--client", address, "--time", str(seconds), "--reverse",
            "--format", "k", "--forceflush", "--logfile", log,
        )  # fmt: skip
        until = time.monotonic() + _FREE_S
        while True:
            log.unlink(missing_ok=True)
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            transfer = Transfer(process, log)
            while transfer.running and not transfer.last_bps():
                time.sleep(0.05)
            if transfer.running or time.monotonic() > until:
                return transfer

    def fetch(self, url: str, *, timeout_s: float = 3.0) -> Fetched | None:
        """GET over plain HTTP from her namespace; None when nobody answers."""
        code = (
            "import sys,urllib.request,urllib.error\n"
            "try:\n r=urllib.request.urlopen(sys.argv[1],timeout=float(sys.argv[2]))\n"
            "except urllib.error.HTTPError as e:\n r=e\n"
            "sys.stdout.write(str(r.status)+'\\n'+r.read().decode())"
        )
        done = subprocess.run(
            self.at_her_place(sys.executable, "-c", code, url, str(timeout_s)),
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
        return succeeds(self.at_her_place(sys.executable, "-c", code, query.hex(), server))


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
