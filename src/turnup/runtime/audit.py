"""Who changed what: audit entries, written in the transaction of the change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert

from turnup.runtime import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`before` and `after` are JSON-able; no secrets, no personal data."""

    action: str
    subject: str
    before: object
    after: object


def write_audit(
    connection: Connection, entries: Sequence[AuditEntry], *, at: datetime, component: str, actor: str
) -> None:
    connection.execute(
        insert(tables.audit),
        [
            {
                "at": at,
                "component": component,
                "actor": actor,
                "action": entry.action,
                "subject": entry.subject,
                "before": entry.before,
                "after": entry.after,
            }
            for entry in entries
        ],
    )
