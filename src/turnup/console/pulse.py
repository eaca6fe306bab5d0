"""Tells open pages that something changed: asked at most once an interval for all of them together.

A page holds one stream of server-sent events; what changed it then fetches as it fetches everything. A stream
says nothing but "look again", so it needs no rights of its own beyond those of the page.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

from anyio import to_thread
from fastapi import Request

from turnup.kernel.errors import TurnupError

_EVERY_S = 2.0
_CHECK_EVERY = 15
"""Beats between two looks whether whoever listens may still."""
_BEAT = ": still here\n\n"


class Pulse:
    """`read` gives something that compares equal while nothing has changed."""

    def __init__(self, read: Callable[[], object], *, every_s: float = _EVERY_S) -> None:
        self._read = read
        self._every_s = every_s
        self._lock = threading.Lock()
        self._last: object = None
        self._read_at = float("-inf")
        self._version = 0

    def version(self) -> int:
        """Rises with every change; counts anew when the process does."""
        with self._lock:
            if time.monotonic() - self._read_at >= self._every_s:
                found = self._read()
                self._read_at = time.monotonic()
                if found != self._last:
                    self._last = found
                    self._version += 1
            return self._version

    async def events(self, request: Request, still_may: Callable[[], object]) -> AsyncIterator[str]:
        """The stream of one page: `changed` events, and comments that keep proxies from closing it. Ends when
        the reader goes, or may not look any more."""
        known = await to_thread.run_sync(self.version)
        yield f"retry: {int(self._every_s * 1000)}\n\n"
        beat = 0
        while not await request.is_disconnected():
            await asyncio.sleep(self._every_s)
            beat += 1
            try:
                if beat % _CHECK_EVERY == 0:
                    await to_thread.run_sync(still_may)
                found = await to_thread.run_sync(self.version)
            except TurnupError:
                return
            if found != known:
                known = found
                yield f"event: changed\ndata: {found}\n\n"
            elif beat % _CHECK_EVERY == 0:
                yield _BEAT
