"""The AAA server's own PostgreSQL: its schema, and connections to it."""

from importlib import resources

import psycopg

from turnup.gateways.transports.postgres import PeerDatabase


def libpq_url(url: str) -> str:
    """An SQLAlchemy URL as libpq wants it; others unchanged."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def schema_text() -> bytes:
    """Statements that lay out the schema `aaa`; safe to repeat and to run by several at once."""
    return resources.files("turnup.gateways.aaa_database").joinpath("schema.sql").read_bytes()


def create_schema(url: str) -> None:
    """Create the schema `aaa` where it is missing; safe to repeat and to run by several at once."""
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        connection.execute(schema_text())


def aaa_database(url: str, *, max_size: int = 4) -> PeerDatabase:
    """A small pool of connections to it."""
    return PeerDatabase(libpq_url(url), name="the AAA database", max_size=max_size)
