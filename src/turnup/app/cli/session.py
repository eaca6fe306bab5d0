"""How a command gets at the installation: attach to its engine, assemble the house, act as `cli:USER`."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from turnup.app.engine import attach_engine
from turnup.app.house import House, assemble
from turnup.runtime.observability import configure_logging
from turnup.runtime.settings import load_settings


@contextmanager
def house() -> Iterator[House]:
    """The house of the running installation. Raises Unavailable with the remedy when it does not run."""
    settings = load_settings()
    configure_logging("console", "warning", process="cli")
    assembled = assemble(settings, attach_engine(settings), process="cli")
    try:
        yield assembled
    finally:
        assembled.close()


def actor() -> str:
    return f"cli:{getpass.getuser()}"
