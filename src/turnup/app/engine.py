"""Which database an installation uses: its own embedded PostgreSQL, or the one its settings name.

Nothing falls back silently; `turnup doctor` says what runs where.
"""

from dataclasses import dataclass

from turnup.runtime.embedded import attach, create_database, ensure_running
from turnup.runtime.settings import Settings

MAIN_DATABASE = "turnup"
AAA_DATABASE = "aaa"


@dataclass(frozen=True, slots=True)
class Engine:
    """SQLAlchemy URL of the main database; libpq URL of the AAA servers' own."""

    url: str
    aaa_url: str
    embedded: bool


def attach_engine(settings: Settings) -> Engine:
    """The engine of a running installation. Raises Unavailable with the remedy when it does not run."""
    if settings.database_url is not None:
        return _external(settings)
    info = attach(settings.data_dir)
    return Engine(
        info.url(MAIN_DATABASE), _aaa(settings) or info.url(AAA_DATABASE, driver="postgresql"), embedded=True
    )


def start_engine(settings: Settings, *, until_pid: int | None = None) -> Engine:
    """The same, starting embedded PostgreSQL and creating its databases where needed."""
    if settings.database_url is not None:
        return _external(settings)
    info = ensure_running(settings.data_dir, account=settings.postgres_account, until_pid=until_pid)
    for database in (MAIN_DATABASE, AAA_DATABASE):
        create_database(info, database)
    return attach_engine(settings)


def _external(settings: Settings) -> Engine:
    assert settings.database_url is not None
    plain = settings.database_url.get_secret_value().replace("postgresql+psycopg://", "postgresql://", 1)
    plain = plain.replace("postgres://", "postgresql://", 1)
    aaa = _aaa(settings)
    if aaa is None:
        base, _, query = plain.partition("?")
        aaa = base.rsplit("/", 1)[0] + f"/{AAA_DATABASE}" + (f"?{query}" if query else "")
    return Engine(plain.replace("postgresql://", "postgresql+psycopg://", 1), aaa, embedded=False)


def _aaa(settings: Settings) -> str | None:
    if settings.aaa_database_url is None:
        return None
    return settings.aaa_database_url.get_secret_value().replace("postgresql+psycopg://", "postgresql://", 1)
