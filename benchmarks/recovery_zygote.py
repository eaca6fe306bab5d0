"""Forks processes of an installation from one that has imported everything: a worker in milliseconds.

Reads requests as JSON lines on standard input, answers on standard output. A child is as if started by
`turnup run NAME` with this environment; it is in a session of its own. Not part of the product.
"""

import json
import os
import sys
from typing import Any

from turnup.app.server import serve
from turnup.app.worker import run_collector, run_worker
from turnup.runtime import faultpoint
from turnup.runtime.settings import load_settings

_RUN = {"worker": run_worker, "collector": run_collector, "server": serve}


def main() -> None:
    status: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "start":
            answer: Any = _fork(request)
        else:
            answer = _poll(int(request["pid"]), status)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _fork(request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for new, old in ((null, 0), (log, 1), (log, 2)):
            os.dup2(new, old)
        os.environ.update(request["environment"])
        faultpoint._KILL_AT = request["environment"].get("TURNUP_KILL_AT")
        faultpoint._STOP_AT = request["environment"].get("TURNUP_STOP_AT")
        _RUN[request["name"]](load_settings())
    except BaseException as error:  # noqa: BLE001  nothing may fall back into the zygote loop
        os.write(2, f"{error!r}\n".encode())
        os._exit(1)
    os._exit(0)


def _poll(pid: int, status: dict[int, int]) -> int | None:
    """The exit code (negative: the signal), None while it lives."""
    if pid not in status:
        found, raw = os.waitpid(pid, os.WNOHANG)
        if not found:
            return None
        status[pid] = os.waitstatus_to_exitcode(raw)
    return status[pid]


if __name__ == "__main__":
    main()
