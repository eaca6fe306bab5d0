"""What is in the event log."""

from typing import Any

from sqlalchemy import text

from turnup.runtime.component import Runtime


def stored_events(runtime: Runtime) -> list[tuple[str, Any]]:
    """(type, payload) in the order written."""
    with runtime.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT type, payload FROM runtime.event ORDER BY event_id"))
        return [tuple(row) for row in rows]  # type: ignore[misc]
