"""Names of files and folders on another system: what is refused, which file is complete, when to look next.

A name comes from the other side's listing: it may try to leave its folder (`../x`), or to write to a
terminal or a log (control characters). Such a name is never used for anything.
"""

import re
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from turnup.contracts.mediation import RemoteFile
from turnup.integration.mediation.model import Ready, Schedule
from turnup.kernel.errors import InvalidInput

_NAME_BYTES_MAX = 200
"""File systems end at 255; an acknowledgement's temporary name is longer than its file's."""
_BAD = re.compile(r"[/\\\x00-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069]")
TEMPORARY = ".part"
"""Ends the name of a file that we are still writing."""


def is_safe_name(name: str) -> bool:
    """Whether this names a file of the folder it was listed in, and nothing else."""
    size = len(name.encode("utf-8", errors="replace"))
    return 0 < size <= _NAME_BYTES_MAX and not name.startswith(".") and not _BAD.search(name)


def check_folder(folder: str, field: str) -> str:
    """A folder as a person wrote it, without its last slash. Raises InvalidInput for one that climbs."""
    parts = folder.split("/")
    if {"..", "."} & set(parts) or any(_BAD.search(part) for part in parts) or "//" in folder:
        raise InvalidInput(
            f"{folder!r} is no folder to be used",
            field=field,
            remedy="write it out, without .., . and empty parts",
        )
    return folder.rstrip("/") or "/"


def below(folder: str, other: str) -> str:
    """`other` as it is when it starts at the root, else below the connector's folder."""
    return other if other.startswith("/") else f"{folder.rstrip('/')}/{other}"


def check_apart(folder: str, others: Mapping[str, str]) -> None:
    """What we write and move away must not lie where we take files in: they would come in again. `others`: by
    field. Raises InvalidInput."""
    for field, other in others.items():
        if other == folder:
            raise InvalidInput(
                f"{other!r} is the folder that files are taken from",
                field=field,
                remedy="name another folder",
            )


def check_pattern(pattern: str, field: str) -> str:
    if "/" in pattern or not pattern.strip():
        raise InvalidInput(f"{pattern!r} is no pattern of names", field=field, remedy="as in customers-*.csv")
    return pattern


def sort_out(listed: Sequence[RemoteFile], pattern: str, ready: Ready) -> tuple[list[RemoteFile], list[str]]:
    """(files that are meant, by name; names that are refused)."""
    refused = sorted(_printable(file.name) for file in listed if not is_safe_name(file.name))
    meant = [
        file
        for file in listed
        if is_safe_name(file.name)
        and fnmatchcase(file.name, pattern)
        and not file.name.endswith(TEMPORARY)
        and not (ready.by == "marker" and file.name.endswith(ready.suffix))
    ]
    return sorted(meant, key=lambda file: file.name), refused


def _printable(name: str) -> str:
    return name.encode("unicode_escape").decode()[:_NAME_BYTES_MAX]


def is_complete(
    file: RemoteFile,
    names: Set[str],
    before: Mapping[str, tuple[int, int, datetime]],
    ready: Ready,
    now: datetime,
) -> bool:
    """Whether nobody is still uploading it. `before`: (size, changed_at, seen since) by name, from earlier
    polls."""
    if ready.by == "rename":
        return True
    if ready.by == "marker":
        return file.name + ready.suffix in names
    seen = before.get(file.name)
    if seen is None:
        return False
    size, changed_at, since = seen
    return (size, changed_at) == (file.size, file.changed_at) and now - since >= timedelta(
        seconds=ready.seconds
    )


def next_run(schedule: Schedule, now: datetime) -> datetime:
    """The first instant after `now` at which to look again; missed ones are not made up for."""
    if schedule.every_s is not None:
        return now + timedelta(seconds=schedule.every_s)
    zone = ZoneInfo(schedule.time_zone)
    assert schedule.daily_at is not None
    local = now.astimezone(zone)
    day = local.date()
    while True:
        candidate = datetime.combine(day, schedule.daily_at, zone).astimezone(now.tzinfo)
        if candidate > now:
            return candidate
        day += timedelta(days=1)
