"""Places where a test may end the process, to prove that nothing is lost or doubled.

`TURNUP_KILL_AT=name` (exact, or with a trailing ``*``) kills the process with SIGKILL the first time the
point is reached; `TURNUP_STOP_AT` stops it with SIGSTOP instead. `TURNUP_FAULT_MARK` names a file that is
created at that moment, so that a restarted process with the same environment passes on. Unset, a point costs
one comparison.
"""

import os
import signal
from fnmatch import fnmatch
from pathlib import Path

_KILL_AT = os.environ.get("TURNUP_KILL_AT")
_STOP_AT = os.environ.get("TURNUP_STOP_AT")


def reach(name: str) -> None:
    """Pass a named point; see the module for what a test may make of it."""
    if _KILL_AT is None and _STOP_AT is None:
        return
    for wanted, with_signal in ((_KILL_AT, signal.SIGKILL), (_STOP_AT, signal.SIGSTOP)):
        if wanted is not None and fnmatch(name, wanted) and _first_time():
            os.kill(os.getpid(), with_signal)


def _first_time() -> bool:
    mark = os.environ.get("TURNUP_FAULT_MARK")
    if mark is None:
        return True
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
