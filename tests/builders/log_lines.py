"""What a process writes to its log, captured as JSON lines."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from turnup.runtime.observability import configure_logging

LogLines = Callable[[], list[dict[str, Any]]]


@contextmanager
def captured_log(process: str = "test", level: str = "info") -> Iterator[LogLines]:
    """Set logging up as a process does; the yielded function parses what was written so far."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    out = io.StringIO()
    configure_logging("json", level, process=process, stream=out)
    try:
        yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    finally:
        root.handlers, root.level = before
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
