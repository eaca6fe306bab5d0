"""Brings an installation's databases to what this version needs: `turnup migrate`."""

from sqlalchemy import create_engine, inspect

from turnup.app.engine import Engine
from turnup.app.house import schemas
from turnup.gateways.aaa_database.database import create_schema
from turnup.runtime import schema


def migrate(engine: Engine) -> bool:
    """Lay out an empty database, or bring an older one forward. True if anything was to be done."""
    create_schema(engine.aaa_url)
    sql = create_engine(engine.url)
    try:
        if inspect(sql).has_table("event", schema="runtime"):
            return False
        schema.install(sql, engine.url, schemas())
        return True
    finally:
        sql.dispose()
