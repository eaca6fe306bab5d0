"""Runs Alembic without its command line or a configuration file."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from turnup.kernel.errors import Conflict
from turnup.runtime import durable, schema
from turnup.runtime.health import VERSION_SCHEMA, VERSION_TABLE

HERE = Path(__file__).parent


def upgrade(url: str) -> bool:
    """Bring the database to the newest revision; True if anything was done. Safe to run from several at once.

    Raises Conflict for a database that was laid out without migrations, or by a newer Turnup.
    """
    engine = create_engine(url)
    try:
        durable.migrate(url)
        with engine.begin() as connection:
            schema.lock_setup(connection)
            present = _present(connection)
            if present == head():
                return False
            _refuse_strangers(connection, present)
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}"))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return True
    finally:
        engine.dispose()


def head() -> str:
    """The revision this version of Turnup needs."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    if found is None:
        raise LookupError("this installation carries no migrations")
    return found


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("path_separator", "os")
    return config


def _present(connection: Connection) -> str | None:
    options = {"version_table_schema": VERSION_SCHEMA, "version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _refuse_strangers(connection: Connection, present: str | None) -> None:
    if present is None and inspect(connection).has_table("event", schema="runtime"):
        raise Conflict(
            "this database was laid out by a development version, without migrations",
            field="database_url",
            remedy="start with an empty database or another TURNUP_DATA_DIR",
        )
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if present is not None and present not in known:
        raise Conflict(
            f"this database is at revision {present}, which this version of Turnup does not know",
            field="database_url",
            remedy="run the newer version of Turnup",
        )
