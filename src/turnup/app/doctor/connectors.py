"""Connectors: what failed, what is overdue, which rows wait for a person."""

from collections.abc import Iterator
from datetime import timedelta

from turnup.app.doctor.finding import Finding, good, judged
from turnup.app.engine import Engine
from turnup.app.house import assemble
from turnup.runtime.database import Database
from turnup.runtime.settings import Settings

_LATE = timedelta(minutes=10)


def connectors(_: Database, *, settings: Settings, engine: Engine) -> Iterator[Finding]:
    house = assemble(settings, engine, process="doctor")
    try:
        now, views, waiting = house.runtime.clock.now(), house.connectors.views(), house.files.waiting()
    finally:
        house.close()
    if not views:
        yield good("connectors", "there is none")
        return
    failed = [f"{view.name}: {view.last_error}" for view in views if view.last_error]
    yield judged(
        "connectors",
        "; ".join(failed) or f"{len(views)}, none failed the last time",
        "mend it, then `turnup connector run NAME`",
        ok=not failed,
    )
    late = [
        f"{view.name} since {view.next_at:%Y-%m-%d %H:%M}"
        for view in views
        if view.next_at is not None and view.next_at < now - _LATE
    ]
    yield judged(
        "connector schedules",
        f"overdue: {', '.join(late)}" if late else "none is overdue",
        "is a worker alive? workers look every few seconds",
        ok=not late,
    )
    yield judged(
        "connector quarantine",
        ", ".join(f"{n} rows of {name} wait" for name, n in sorted(waiting.items())) or "no row waits",
        "look at them: `turnup connector quarantine list`; then replay or discard",
        ok=not waiting,
    )
