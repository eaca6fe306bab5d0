"""A way to PostgreSQL that falls silent: what the server sees of a client that was stopped (SIGSTOP).

The connection stays open, nothing more comes. Deterministic, where stopping a real process is luck.
"""

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Silence:
    """Passes on what a client sends, `after` pieces of it, and then nothing for as long as it is open.
    `fell` tells whether it came to that."""

    def __init__(self, server: Path, listener: socket.socket, after: int) -> None:
        self._server, self._listener, self._left = server, listener, after
        self._open: list[socket.socket] = [listener]
        self._guard = threading.Lock()
        self.fell = threading.Event()

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._open += [client, server]
                for way in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass_on, args=way, daemon=True).start()

    def close(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if counted and not self._may_pass():
                    self.fell.set()
                    return
                sink.sendall(data)

    def _may_pass(self) -> bool:
        with self._guard:
            self._left -= 1
            return self._left >= 0


@contextmanager
def silent_after(conninfo: str, pieces: int) -> Iterator[tuple[str, Silence]]:
    """What leads a libpq client to the same Unix socket, silent after so many pieces."""
    where = conninfo_to_dict(conninfo)
    name = f".s.PGSQL.{where['port']}"
    with tempfile.TemporaryDirectory() as folder:  # a short one: a socket's path has at most 107 characters
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{folder}/{name}")
        listener.listen()
        silence = Silence(Path(str(where["host"])) / name, listener, pieces)
        threading.Thread(target=silence.serve, daemon=True).start()
        try:
            yield make_conninfo(conninfo, host=folder), silence
        finally:
            silence.close()
