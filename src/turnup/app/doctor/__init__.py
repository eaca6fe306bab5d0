"""`turnup doctor`: looks at every part of an installation and says what is wrong and how to mend it.

It repairs and starts nothing. Each check stands alone: one that cannot look says so, the others go on.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from turnup.app.doctor import machine, people, safety, work
from turnup.app.doctor.connectors import connectors
from turnup.app.doctor.finding import Finding, bad, first_line
from turnup.app.engine import Engine, attach_engine
from turnup.kernel.errors import TurnupError
from turnup.runtime import health
from turnup.runtime.database import Database
from turnup.runtime.settings import Settings

__all__ = ["Finding", "examine"]


def examine(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Every finding, good and bad, in the order in which to mend them; never raises."""
    findings = [*machine.variables(environment), machine.zones(settings), *machine.data_dir(settings)]
    findings += [machine.key_file(settings), machine.clock(settings), *machine.mail(settings, environment)]
    try:
        engine = attach_engine(settings)
    except TurnupError as error:
        return [*findings, bad("database", error.message, error.remedy)]
    database = Database(engine.url, pool_size=1, application_name="turnup-doctor")
    findings += machine.backups(settings)
    try:
        return [*findings, *_database(database, settings, engine)]
    finally:
        database.close()


def _database(database: Database, settings: Settings, engine: Engine) -> Iterator[Finding]:
    try:
        with database.engine.connect() as connection:
            facts = health.server(connection)
    except Exception as error:  # noqa: BLE001  whatever keeps us out is the finding
        yield bad("database", f"does not let us in: {first_line(error)}", "check TURNUP_DATABASE_URL")
        return
    yield from work.server(facts, settings)
    if not facts.laid_out:
        yield bad("schema", "the database is empty", "run `turnup migrate`")
        return
    checks: tuple[tuple[str, Callable[[Database], Iterable[Finding]]], ...] = (
        ("schema", work.schema),
        ("workers", partial(work.workers, settings=settings)),
        ("workflows", work.workflows),
        ("events", work.events_wait),
        ("brake", partial(safety.safety, settings=settings, engine=engine)),
        ("restore", safety.restore),
        ("privacy", partial(safety.privacy, settings=settings, engine=engine)),
        ("audit", partial(safety.audit, settings=settings, engine=engine)),
        ("connectors", partial(connectors, settings=settings, engine=engine)),
        ("access", partial(people.access, settings=settings, engine=engine)),
    )
    for name, check in checks:
        try:
            yield from check(database)
        except Exception as error:  # noqa: BLE001  one check that cannot look does not blind the others
            yield bad(name, f"could not be examined: {first_line(error)}", "run `turnup migrate`")
