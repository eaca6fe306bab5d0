"""What kinds of data there are about people, and how long each is kept; pure."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum

from turnup.kernel.errors import InvalidInput


class DataClass(StrEnum):
    """What a column holds. Every column of every table has exactly one class."""

    NONE = "none"
    """Nothing about a person: configuration, counters, states, instants of our own work."""
    PSEUDONYM = "pseudonym"
    """An id or number that leads to a person only through crm."""
    IDENTITY = "identity"
    """Who somebody is: names, the id in a former system, a login."""
    CONTACT = "contact"
    """How and where to reach somebody, and what was written there."""
    TRAFFIC = "traffic"
    """Who was online when, under which address, and how much came and went."""
    CONTRACT = "contract"
    """What somebody ordered, has and had."""
    BILLING = "billing"
    """What somebody owes, was billed and paid."""
    TEXT = "text"
    """Free text, by people or quoting what came in: may hold anything."""
    STAFF = "staff"
    """Which member of staff did something."""
    SECRET = "secret"
    """Keys, passwords and their hashes; never exported."""


PERSONAL = frozenset(
    {
        DataClass.IDENTITY,
        DataClass.CONTACT,
        DataClass.TRAFFIC,
        DataClass.CONTRACT,
        DataClass.BILLING,
        DataClass.TEXT,
    }
)
"""Of a customer. Whatever table holds some says how it is exported, erased or when it goes."""

Classes = Mapping[str, Mapping[DataClass, str]]
"""Table -> class -> its columns, with blanks between."""

RETENTION_DAYS: Mapping[str, int] = {
    "traffic": 180,
    "measurements": 400,
    "messages": 730,
    "imports": 90,
    "operations": 1095,
    "events": 1095,
    "workflows": 180,
    "logins": 90,
    "logs": 30,
    "element_backups": 400,
    "audit": 3653,
    "documents": 3653,
}
"""Days from when it was over. `documents`: counted from the end of the year, as tax law does."""

FOR_EVER = 0
"""Days: this kind is never purged."""


def retention(given: Mapping[str, int]) -> Mapping[str, int]:
    """The defaults with what an installation has set otherwise. Raises InvalidInput naming the kind."""
    for kind, days in given.items():
        if kind not in RETENTION_DAYS:
            raise InvalidInput(
                f"{kind!r} is no kind of data",
                field=f"retention_days.{kind}",
                remedy=", ".join(RETENTION_DAYS),
            )
        if days < 0:
            raise InvalidInput(
                f"{days} days", field=f"retention_days.{kind}", remedy="days, or 0 to keep it for ever"
            )
    return {**RETENTION_DAYS, **given}


def horizon(days: int, now: datetime) -> datetime | None:
    """What was over before this is due; None where it is kept for ever."""
    return None if days == FOR_EVER else now - timedelta(days=days)


def keep_documents_until(last_document: date, days: int) -> date:
    """How long law wants a document's recipient: the days from the end of the document's year."""
    if days == FOR_EVER:
        return date.max
    return date(last_document.year, 12, 31) + timedelta(days=days)


def class_of(classes: Classes, table: str, column: str) -> DataClass | None:
    """None for a column that nobody has classed."""
    for kind, columns in classes.get(table, {}).items():
        if column in columns.split():
            return kind
    return None
