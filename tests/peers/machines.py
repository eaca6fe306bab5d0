"""Single machines with a management address, each in a namespace of its own, for tests of one gateway.

Whatever is made is removed at the end; what runs inside is ended by process id.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from turnup.lab.real.machine import RealLabError, inside, run, start, wait_for

_MANAGER = "198.18.8.1"
MANAGED = "198.18.8.2"
"""Where the machine is managed; one machine at a time."""
_LINK = "tm-link"
NAMESPACE = "tm-peer"


class Machine:
    """A namespace with `lo` and `mgmt` up, reached over a cable from here."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def console(self, script: str) -> str:
        return run(*inside(NAMESPACE, "sh", "-c", script))

    def daemon(self, name: str, *command: str | Path) -> Path:
        """Start a daemon; its log."""
        log = self.home / f"{name}.log"
        start(NAMESPACE, log, *command)
        return log


@contextmanager
def machine(home: Path) -> Iterator[Machine]:
    _remove()
    run("ip", "netns", "add", NAMESPACE)
    try:
        run("ip", "link", "add", _LINK, "type", "veth", "peer", "name", "mgmt", "netns", NAMESPACE)
        run("ip", "addr", "add", f"{_MANAGER}/24", "dev", _LINK)
        run("ip", "link", "set", _LINK, "up")
        made = Machine(home)
        made.console(f"ip link set lo up; ip addr add {MANAGED}/24 dev mgmt; ip link set mgmt up")
        yield made
    finally:
        _remove()


def _remove() -> None:
    there = {line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.strip()}
    if NAMESPACE in there:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in _pids():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
            try:
                wait_for(lambda: not _pids(), "the machine is quiet", timeout_s=3.0)
                break
            except RealLabError:
                continue
        run("ip", "netns", "delete", NAMESPACE)
    subprocess.run(["ip", "link", "delete", _LINK], capture_output=True, check=False)


def _pids() -> list[int]:
    return [int(line) for line in run("ip", "netns", "pids", NAMESPACE).split()]


def ssh_key(home: Path, name: str) -> tuple[str, str]:
    """(private key, public key) of a fresh pair, as text."""
    path = home / name
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
    return path.read_text(), " ".join(path.with_suffix(".pub").read_text().split()[:2])


def sshd(host: Machine, port: int, extra: str, *, place: Path | None = None) -> dict[str, str]:
    """An OpenSSH server that lets in root by one key; what its clients need. `place`: where its files are, as
    the server sees it."""
    private, public = ssh_key(host.home, "client")
    _, host_key = ssh_key(host.home, "host")
    (host.home / "authorized").write_text(f"restrict,pty {public}\n")
    where = place or host.home
    Path("/run/sshd").mkdir(exist_ok=True)
    (host.home / "sshd.conf").write_text(
        f"Port {port}\nListenAddress {MANAGED}\nHostKey {where}/host\nPidFile none\n"
        f"AuthorizedKeysFile {where}/authorized\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
        f"PermitRootLogin prohibit-password\nLogLevel VERBOSE\n{extra}\n"
    )
    return {"private_key": private, "host_key": host_key}
