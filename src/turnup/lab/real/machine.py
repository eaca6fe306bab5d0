"""Running programs on this machine, inside namespaces and as other accounts, and waiting for them."""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_PROGRAMS = (
    "ip", "nft", "tc", "sshd", "ssh-keygen", "iperf3", "radvd", "dhcrelay", "dhclient", "kea-dhcp4",
    "kea-dhcp6", "freeradius", "ping", "snmpd",
)  # fmt: skip
_POSTGRES = Path("/usr/lib/postgresql")


class RealLabError(Exception):
    """The real lab cannot do this; the text says why and what to do."""


def require() -> None:
    """Raises RealLabError unless this is root on a machine with the peers installed."""
    if os.geteuid() != 0:
        raise RealLabError("the real lab builds network namespaces: run it as root (sudo)")
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if not postgres_binaries():
        missing.append("postgresql")
    if missing:
        raise RealLabError(f"not installed: {', '.join(missing)}; run `make peers`")


def postgres_binaries() -> Path | None:
    """The newest of Debian's PostgreSQL installations."""
    found = sorted(_POSTGRES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def run(*command: str | Path, given: str | None = None, timeout_s: float = 60.0) -> str:
    """Run a program to its end; its output. RealLabError with what it complained of."""
    done = subprocess.run(
        [os.fspath(part) for part in command],
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode != 0:
        words = " ".join(os.fspath(part) for part in command)
        raise RealLabError(f"{words[:200]}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def inside(namespace: str, *command: str | Path) -> list[str]:
    """The command line that runs a program in a namespace; the program takes the place of `ip`."""
    return ["ip", "netns", "exec", namespace, *(os.fspath(part) for part in command)]


def start(namespace: str, log: Path, *command: str | Path, account: str | None = None) -> int:
    """Start a daemon in a namespace, all descriptors its own; its process id."""
    words = inside(namespace, *command)
    if account is not None:
        entry = pwd.getpwnam(account)
        drop = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
        words = inside(namespace, *drop, *command)
    with log.open("ab") as out:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/"
        )
    return process.pid


def wait_for(check: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Until `check()` is true; RealLabError after the time."""
    until = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > until:
            raise RealLabError(f"did not come true within {timeout_s:.0f} s: {what}")
        time.sleep(0.02)


def succeeds(command: Sequence[str | Path], timeout_s: float = 10.0) -> bool:
    try:
        done = subprocess.run(
            [os.fspath(part) for part in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def write(path: Path, text: str, *, mode: int = 0o644, owner: str | None = None) -> Path:
    """Write a file that never has a laxer mode than `mode`, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    if owner is not None:
        shutil.chown(path, owner, owner)
    return path
