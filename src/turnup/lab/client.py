"""A synchronous client of a lab's control channel, and a context manager that runs a lab as a process.

For tests, demos and `ctl`. Operations are called by name: `lab.power_off(device="olt1")`.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class LabError(Exception):
    """The lab refused an operation, or is not there."""


class LabClient:
    """Calls control operations; each is a method with keyword arguments (see docs/reference/lab.md)."""

    def __init__(self, state_dir: Path, timeout_s: float = 10.0) -> None:
        self._state = state_dir
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._file: Any = None

    @property
    def endpoints(self) -> dict[str, Any]:
        """The content of endpoints.json."""
        try:
            found: dict[str, Any] = json.loads((self._state / "endpoints.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise LabError(
                f"no lab in {self._state}: start one by `python -m turnup.lab --network FILE`"
            ) from None
        return found

    def call(self, op: str, **arguments: Any) -> Any:
        """Run one operation; LabError carries the lab's reason."""
        endpoints = self.endpoints
        request = {"token": endpoints["token"], "op": op, **arguments}
        try:
            if self._socket is None:
                self._socket = socket.create_connection(tuple(endpoints["control"]), timeout=self._timeout_s)
                self._file = self._socket.makefile("rwb")
            self._file.write(json.dumps(request).encode() + b"\n")
            self._file.flush()
            answer = json.loads(self._file.readline() or b'{"ok": false, "error": "the lab hung up"}')
        except OSError as error:
            self.close()
            raise LabError(f"the lab does not answer: {error}") from error
        if not answer["ok"]:
            raise LabError(answer["error"])
        return answer["result"]

    def __getattr__(self, op: str) -> Callable[..., Any]:
        if op.startswith("_"):
            raise AttributeError(op)
        return lambda **arguments: self.call(op, **arguments)

    def wait_for(self, check: Callable[["LabClient"], Any], timeout_s: float = 10.0) -> Any:
        """Repeat `check(self)` until it is true; returns its value. LabError after `timeout_s`."""
        end = time.monotonic() + timeout_s
        while not (found := check(self)):
            if time.monotonic() > end:
                raise LabError(f"did not come true within {timeout_s} s")
            time.sleep(0.02)
        return found

    def close(self) -> None:
        """Hang up; the next call connects anew."""
        if self._socket is not None:
            self._socket.close()
        self._socket = self._file = None


class LabProcess:
    """Runs `python -m turnup.lab` as a child: `with LabProcess(network, state) as lab: lab.client.status()`.

    The child also ends by itself when this process dies.
    """

    def __init__(
        self,
        network: Path,
        state_dir: Path,
        aaa_database_url: str | None = None,
        start_timeout_s: float = 20.0,
    ) -> None:
        self._command = [
            sys.executable, "-m", "turnup.lab",
            "--network", str(network), "--state-dir", str(state_dir), "--with-parent",
        ]  # fmt: skip
        if aaa_database_url:
            self._command += ["--aaa-database-url", aaa_database_url, "--init-aaa"]
        self.state_dir = state_dir
        self.client = LabClient(state_dir)
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoints(self) -> dict[str, Any]:
        return self.client.endpoints

    @property
    def pid(self) -> int:
        """The lab's process id; LabError when it is not running."""
        if self._process is None:
            raise LabError("the lab is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start the lab and wait until every port listens; LabError with its log when it does not come up."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        log = self.state_dir / "lab.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        end = time.monotonic() + self._start_timeout_s
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise LabError(f"the lab did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.02)
        return self

    def _is_up(self) -> bool:
        file = self.state_dir / "endpoints.json"
        return file.exists() and self.endpoints["pid"] == self.pid

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after three seconds."""
        self._end(graceful=True)

    def kill(self) -> None:
        """A power cut of everything."""
        self._end(graceful=False)

    def _end(self, *, graceful: bool) -> None:
        process, self._process = self._process, None
        self.client.close()
        if process is None:
            return
        if graceful:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
        else:
            process.kill()
        process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
