"""Brings an installation's databases to what this version needs: `turnup migrate`."""

from turnup.app.engine import Engine
from turnup.app.migrations.runner import upgrade
from turnup.gateways.aaa_database.database import create_schema


def migrate(engine: Engine) -> bool:
    """Lay out an empty database, or bring an older one forward. True if anything was to be done."""
    create_schema(engine.aaa_url)
    return upgrade(engine.url)
