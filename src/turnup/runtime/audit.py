"""Who changed what: audit entries, written in the transaction of the change."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, text

from turnup.runtime import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`before` and `after` are JSON-able; no secrets, no personal data."""

    action: str
    subject: str
    before: object
    after: object


# one statement, however many: an order leaves a dozen
_INSERT = text("""
    INSERT INTO runtime.audit (at, component, actor, action, subject, before, after)
    SELECT :at, :component, :actor, action, subject, CAST(before AS jsonb), CAST(after AS jsonb)
    FROM unnest(CAST(:actions AS text[]), CAST(:subjects AS text[]), CAST(:befores AS text[]),
                CAST(:afters AS text[])) WITH ORDINALITY AS e (action, subject, before, after, n)
    ORDER BY n
""")


def write_audit(
    connection: Connection, entries: Sequence[AuditEntry], *, at: datetime, component: str, actor: str
) -> None:
    connection.execute(
        _INSERT,
        {
            "at": at,
            "component": component,
            "actor": actor,
            "actions": [entry.action for entry in entries],
            "subjects": [entry.subject for entry in entries],
            "befores": [json.dumps(entry.before) for entry in entries],
            "afters": [json.dumps(entry.after) for entry in entries],
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An entry as it is read. `link`: where it is sealed; None for the seconds until it is."""

    id: int
    at: datetime
    component: str
    actor: str
    action: str
    subject: str
    before: object
    after: object
    link: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries: all that is given must fit. `action` and `actor` may end in `*`; `below` is to page."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    component: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    below: int | None = None


def entries(connection: Connection, wanted: Wanted, limit: int) -> list[Audited]:
    """The newest first."""
    audit = tables.audit
    query = select(audit).order_by(audit.c.audit_id.desc()).limit(limit)
    for name in ("actor", "action"):
        value = getattr(wanted, name)
        if value is not None and value.endswith("*"):
            query = query.where(audit.c[name].startswith(value[:-1], autoescape=True))
        elif value is not None:
            query = query.where(audit.c[name] == value)
    if wanted.subject is not None:
        query = query.where(audit.c.subject == wanted.subject)
    if wanted.component is not None:
        query = query.where(audit.c.component == wanted.component)
    if wanted.since is not None:
        query = query.where(audit.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(audit.c.at < wanted.until)
    if wanted.below is not None:
        query = query.where(audit.c.audit_id < wanted.below)
    return [
        Audited(
            id=row.audit_id,
            at=row.at,
            component=row.component,
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            before=row.before,
            after=row.after,
            link=row.link,
        )
        for row in connection.execute(query)
    ]
