"""One event-loop thread per process, behind synchronous calls with a mandatory deadline (law 9)."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from turnup.kernel.errors import Unavailable

T = TypeVar("T")

_CANCEL_S = 2.0
"""How long cancelled work may take to clean up before we stop waiting for it."""


class _LoopThread:
    """Starts its thread at the first use, and again in a forked child, where threads do not survive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="gateways-loop", daemon=True)
                thread.start()
                self._loop, self._thread, self._pid = loop, thread, os.getpid()
            return self._loop

    @property
    def inside(self) -> bool:
        return threading.current_thread() is self._thread


_thread = _LoopThread()


def run(work: Coroutine[Any, Any, T], deadline_s: float, what: str = "the other system") -> T:
    """Run a coroutine in the event-loop thread and wait for it; raises Unavailable after `deadline_s` seconds
    (the work is cancelled). `what` names the peer in the message."""
    if _thread.inside:
        work.close()
        raise RuntimeError("a synchronous gateway was called from the event-loop thread")

    async def limited() -> T:
        async with asyncio.timeout(deadline_s):
            return await work

    future = asyncio.run_coroutine_threadsafe(limited(), _thread.loop())
    try:
        return future.result(deadline_s + _CANCEL_S)
    except (TimeoutError, FutureTimeout) as error:
        future.cancel()
        raise Unavailable(
            f"{what} did not answer within {deadline_s:g} s",
            remedy="see whether it is reachable and try again",
        ) from error
