"""A User-Mode-Linux guest on this machine's own file system, and running commands in it.

``python -m turnup.lab.real.pppoe.guest FOLDER COMMAND…`` runs one command in the guest of that folder: its
output and exit status are those of the command in the guest; ended by SIGTERM, it ends it there, too. A
folder is shared with the guest under the same path; what is to be run lies in `in`, what came of it in `out`.
"""

import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from types import FrameType

from turnup.lab.real import plan
from turnup.lab.real.machine import RealLabError, start, wait_for, write

KERNEL = "linux.uml"
PROGRAMS = (KERNEL, "busybox", "pppd", "pppoe-server", "dhcp6c", "radvd", "tc")
MODULES = Path("/usr/lib/uml/modules")
_COVERED = ("tmp", "run")
"""Folders of this machine that a guest covers by its own."""
_POLL_S = 0.01
_READY_S = 60.0


def require_guests() -> None:
    """Raises RealLabError unless guests can be run here."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or not MODULES.is_dir():
        raise RealLabError(f"not installed: {', '.join(missing) or 'user-mode-linux'}; run `make peers`")
    for place in (boot_file("bng.sh"), Path(sys.executable)):
        if place.parts[1] in _COVERED:
            raise RealLabError(f"guests do not see {place}: install Turnup outside of /tmp and /run")
    if not Path("/dev/net/tun").exists():
        raise RealLabError("PPPoE needs /dev/net/tun: `modprobe tun`, or give this container the device")


def boot_file(name: str) -> Path:
    """A script of the guests, as a file they see, too."""
    return Path(str(resources.files("turnup.lab.real.pppoe").joinpath("boot", name)))


def start_guest(
    folder: Path, name: str, *, init: str, memory_mb: int, cards: Sequence[tuple[str, str]], python: Path
) -> None:
    """Start a guest; `cards` are (tap, MAC) of its network cards, in order."""
    for part in ("in", "taken", "out"):
        (folder / part).mkdir(parents=True)
    start(
        plan.PPPOE, folder / "console.log", python, "-m", "turnup.lab.real.pppoe.guest_exec", KERNEL,
        f"mem={memory_mb}M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet",
        f"init={boot_file(init)}", "con=null", "con0=fd:0,fd:1", "con1=null",
        f"umid={name}", f"uml_dir={folder}/", f"FOLDER={folder}", f"NAME={name}", f"PYTHON={python}",
        *(
            f"vec{n}:transport=tap,ifname={tap},depth=128,mac={mac}"
            for n, (tap, mac) in enumerate(cards)
        ),
    )  # fmt: skip


def wait_until_ready(folder: Path) -> None:
    wait_for((folder / "ready").exists, f"the guest {folder.name} is up", timeout_s=_READY_S)


def in_guest(folder: Path, *command: str | Path) -> list[str]:
    """The command line on this machine that runs a program in the guest."""
    words = (os.fspath(part) for part in command)
    return [sys.executable, "-m", "turnup.lab.real.pppoe.guest", os.fspath(folder), *words]


def main() -> int:
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    name = f"{time.time_ns()}-{secrets.token_hex(4)}"
    script = write(folder / "in" / f"{name}.part", f"exec {shlex.join(command)}\n", mode=0o600)

    def end(number: int, frame: FrameType | None) -> None:
        (folder / "in" / f"{name}.kill").touch()

    signal.signal(signal.SIGTERM, end)
    script.rename(script.with_suffix(".sh"))
    status = folder / "out" / f"{name}.rc"
    while not status.exists():
        time.sleep(_POLL_S)
    output = folder / "out" / f"{name}.out"
    sys.stdout.write(output.read_text(encoding="utf-8", errors="replace"))
    code = int(status.read_text(encoding="utf-8"))
    for path in (status, output, folder / "taken" / f"{name}.sh"):
        path.unlink(missing_ok=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
