"""A connector's document: YAML as a person wrote it becomes a checked Connector, or an error names the field.

The reference of every field is docs/reference/connectors.md.
"""

import codecs
import re
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from turnup.integration.mediation.model import (
    DIRECTION_OF,
    Column,
    Connector,
    Direction,
    Mode,
    Ready,
    RecordKind,
    Schedule,
    TextFormat,
)
from turnup.integration.mediation.rules.names import (
    below,
    check_apart,
    check_folder,
    check_pattern,
    is_safe_name,
)
from turnup.kernel.errors import InvalidInput

APPLY = ("trim", "upper", "lower", "digits", "collapse")
TYPES = ("text", "integer", "decimal", "date", "boolean", "phone", "country")
CHARACTERISTIC_PREFIX = "char."

FIELDS: Mapping[RecordKind, tuple[frozenset[str], frozenset[str]]] = {
    RecordKind.CUSTOMERS: (
        frozenset({"external_id", "name"}),
        frozenset(
            {"kind", "email", "phone", "language", "street", "postcode", "city", "country"}
            | {"latitude", "longitude", "bill_cycle_day"}
        ),
    ),
    RecordKind.ORDERS: (
        frozenset({"external_id", "action", "product"}),
        frozenset({"customer", "account", "offering", "site", "requested_start", "reason"}),
    ),
    RecordKind.INVOICES: (
        frozenset(),
        frozenset(
            {"number", "account", "customer", "kind", "invoice_date", "due_date", "period_from", "period_to"}
            | {"currency", "net", "tax", "total"}
        ),
    ),
    RecordKind.PAYMENTS: (
        frozenset(),
        frozenset({"payment", "account", "customer", "amount", "currency", "received_at"}),
    ),
    RecordKind.SERVICE_STATES: (
        frozenset(),
        frozenset({"service", "account", "customer", "product", "state", "at"}),
    ),
}
"""Canonical fields by kind: those a document must fill, and those it may."""

CONTROL_SUM_OF = {RecordKind.INVOICES: "total", RecordKind.PAYMENTS: "amount"}
"""The amount that an outgoing file's trailer sums; service states have none (0)."""

_RESERVED = frozenset({"files", "quarantine"})
_NAME = re.compile(r"[a-z][a-z0-9-]{1,62}")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_FILE_NAME = re.compile(r"[^{}]*\{number(:0?[0-9]{1,2}d?)?\}[^{}]*")
_HOST_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]+")
_TOP = frozenset(
    {"name", "kind", "direction", "mode", "system", "sftp", "folder", "pattern", "file_name", "done"}
    | {"failed", "ack", "schedule", "ready", "format", "key", "key_within", "columns", "bytes_max", "since"}
)
_BYTES_MAX = 64 * 1024 * 1024


def connector(document: object, version: int) -> Connector:
    """The checked document. Raises InvalidInput with the path of the field at fault."""
    top = _Part(document, "", _TOP)
    kind = RecordKind(top.one_of("kind", [each.value for each in RecordKind]))
    direction = DIRECTION_OF[kind]
    if top.text("direction", direction.value) != direction.value:
        raise InvalidInput(f"{kind} go {direction}", field="direction", remedy=f"write {direction}")
    name = top.matching("name", _NAME, "small letters, digits and dashes")
    if name in _RESERVED:
        raise InvalidInput(f"{name} means something else", field="name", remedy="choose another name")
    sftp = top.part("sftp", frozenset({"host", "port", "host_key", "username"}))
    columns = _columns(top, kind)
    incoming = direction is Direction.IN
    folder = check_folder(top.text("folder"), "folder")
    done = check_folder(top.text("done", "done"), "done")
    failed = check_folder(top.text("failed", "failed"), "failed")
    ack = check_folder(top.text("ack"), "ack") if top.has("ack") else None
    moved = {"done": below(folder, done), "failed": below(folder, failed)}
    check_apart(folder, moved if ack is None else {**moved, "ack": ack})
    return Connector(
        name=name,
        version=version,
        kind=kind,
        mode=Mode(top.one_of("mode", [each.value for each in Mode])),
        system=top.text("system", "import"),
        host=sftp.matching("host", _HOST, "a name or an address"),
        port=sftp.integer("port", 22, 1, 65_535),
        host_key=sftp.matching("host_key", _HOST_KEY, "the server's public host key, as in known_hosts"),
        username=sftp.text("username"),
        folder=folder,
        pattern=check_pattern(top.text("pattern") if incoming else "*", "pattern"),
        file_name="" if incoming else _file_name(top),
        done=done,
        failed=failed,
        ack=ack,
        schedule=_schedule(top),
        ready=_ready(top),
        format=_format(top),
        key=_key(top, kind, columns),
        key_within=top.one_of("key_within", ["connector", "file"], "connector"),
        columns=columns,
        bytes_max=top.integer("bytes_max", _BYTES_MAX, 1, _BYTES_MAX),
        since=top.one_of("since", ["beginning", "now"], "beginning"),
    )


def _columns(top: "_Part", kind: RecordKind) -> tuple[Column, ...]:
    given = top.sequence("columns")
    known = ("to", "from", "constant", "apply", "values", "type", "default")
    incoming = DIRECTION_OF[kind] is Direction.IN
    columns = tuple(
        _column(_Part(entry, f"columns[{n}]", frozenset(known)), incoming=incoming)
        for n, entry in enumerate(given)
    )
    needed, allowed = FIELDS[kind]
    made = [(column.to if incoming else column.source) for column in columns]
    for n, name in enumerate(made):
        if name is None and not incoming:
            continue  # a constant column of an outgoing file
        characteristic = kind is RecordKind.ORDERS and str(name).startswith(CHARACTERISTIC_PREFIX)
        if name not in needed | allowed and not characteristic:
            raise InvalidInput(
                f"{kind} have no field {name!r}",
                field=f"columns[{n}].{'to' if incoming else 'from'}",
                remedy=f"one of: {', '.join(sorted(needed | allowed))}",
            )
    targets = [column.to for column in columns]
    twice = next((name for name in targets if targets.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"{twice} is filled twice", field="columns", remedy="keep one of them")
    for name in sorted(needed - set(made) if incoming else ()):
        raise InvalidInput(
            f"nothing fills {name}", field="columns", remedy=f"add {{to: {name}, from: THEIR COLUMN}}"
        )
    return columns


def _column(part: "_Part", *, incoming: bool) -> Column:
    if part.has("from") == part.has("constant"):
        raise InvalidInput(
            "a column has either from or constant", field=part.path, remedy="give exactly one of them"
        )
    values = part.raw.get("values")
    if values is not None and not isinstance(values, Mapping):
        raise InvalidInput("is no mapping", field=f"{part.path}.values", remedy="write {theirs: ours}")
    apply = tuple(str(each) for each in part.sequence("apply")) if part.has("apply") else ()
    for each in apply:
        if each not in APPLY:
            raise InvalidInput(
                f"no transformation {each!r}",
                field=f"{part.path}.apply",
                remedy=f"one of: {', '.join(APPLY)}",
            )
    if not incoming and (apply or values is not None or part.has("type")):
        raise InvalidInput(
            "outgoing values are written as they are", field=part.path, remedy="leave from, constant and to"
        )
    return Column(
        to=part.text("to"),
        source=part.text("from") if part.has("from") else None,
        constant=part.text("constant") if part.has("constant") else None,
        apply=apply,
        values=None if values is None else {str(key): str(value) for key, value in values.items()},
        type=part.one_of("type", list(TYPES), "text"),
        default=part.text("default", strip=False) if part.has("default") else None,
    )


def _key(top: "_Part", kind: RecordKind, columns: Sequence[Column]) -> tuple[str, ...]:
    if DIRECTION_OF[kind] is Direction.OUT:
        return ()
    key = tuple(str(each) for each in top.sequence("key")) if top.has("key") else ("external_id",)
    for name in key:
        if name not in {column.to for column in columns}:
            raise InvalidInput(
                f"the key {name!r} is filled by no column", field="key", remedy="name canonical fields"
            )
    return key


def _file_name(top: "_Part") -> str:
    name = top.text("file_name")
    if not _FILE_NAME.fullmatch(name) or not is_safe_name(name.format(number=1)):
        raise InvalidInput(
            "each file needs a name of its own",
            field="file_name",
            remedy="write the number into it: invoices-{number:06}.csv",
        )
    return name


def _schedule(top: "_Part") -> Schedule:
    part = top.part("schedule", frozenset({"every_seconds", "daily_at", "time_zone"}))
    if part.has("every_seconds") == part.has("daily_at"):
        raise InvalidInput(
            "either every_seconds or daily_at", field="schedule", remedy="give exactly one of them"
        )
    zone = part.text("time_zone", "UTC")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"{zone!r} is no time zone", field="schedule.time_zone", remedy="IANA: Europe/Berlin"
        ) from error
    if part.has("every_seconds"):
        return Schedule(every_s=part.integer("every_seconds", 0, 1, 86_400), time_zone=zone)
    try:
        return Schedule(daily_at=time.fromisoformat(part.text("daily_at")), time_zone=zone)
    except ValueError as error:
        raise InvalidInput("is no time of day", field="schedule.daily_at", remedy='write "02:30"') from error


def _ready(top: "_Part") -> Ready:
    if not top.has("ready"):
        return Ready()
    part = top.part("ready", frozenset({"by", "seconds", "suffix"}))
    return Ready(
        by=part.one_of("by", ["stable", "marker", "rename"]),
        seconds=part.integer("seconds", 60, 1, 86_400),
        suffix=_suffix(part),
    )


def _suffix(part: "_Part") -> str:
    suffix = part.text("suffix", ".done")
    if not is_safe_name(f"a{suffix}"):
        raise InvalidInput(f"{suffix!r} ends no name of a file", field="ready.suffix", remedy="write .done")
    return suffix


def _format(top: "_Part") -> TextFormat:
    if not top.has("format"):
        return TextFormat()
    part = top.part("format", frozenset({"delimiter", "encoding", "decimal", "date", "trailer"}))
    found = TextFormat(
        delimiter=part.text("delimiter", ",", strip=False),
        encoding=part.text("encoding", "utf-8"),
        decimal=part.one_of("decimal", [".", ","], "."),
        date=part.text("date", "%Y-%m-%d"),
        trailer=part.text("trailer") if part.has("trailer") else None,
    )
    if len(found.delimiter) != 1 or found.delimiter in '"\r\n':
        raise InvalidInput("is no delimiter", field="format.delimiter", remedy='one character: ";" or "\\t"')
    try:
        codecs.lookup(found.encoding)
        "a".encode(found.encoding)
    except (LookupError, UnicodeError) as error:
        raise InvalidInput(
            f"no encoding {found.encoding!r}", field="format.encoding", remedy="utf-8, cp1252, iso-8859-15"
        ) from error
    sample = date(2031, 12, 27)
    if sample.strftime(found.date) == date(2031, 11, 28).strftime(found.date) or "%" not in found.date:
        raise InvalidInput("is no date format", field="format.date", remedy="as strftime: %d.%m.%Y")
    return found


class _Part:
    """A mapping of the document, read field by field."""

    def __init__(self, given: object, path: str, known: frozenset[str]) -> None:
        if not isinstance(given, Mapping):
            raise InvalidInput(
                "is no mapping", field=path or "document", remedy="see docs/reference/connectors.md"
            )
        self.raw: Mapping[str, Any] = given
        self.path = path
        for name in given:
            if name not in known:
                raise InvalidInput(
                    "is not known", field=self._at(str(name)), remedy=f"one of: {', '.join(sorted(known))}"
                )

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        return self.raw.get(name) is not None

    def text(self, name: str, default: str | None = None, *, strip: bool = True) -> str:
        value = self.raw.get(name)
        if value is None:
            if default is None:
                raise InvalidInput("is missing", field=self._at(name), remedy="fill it in")
            return default
        if not isinstance(value, str | int | bool | float) or (strip and not str(value).strip()):
            raise InvalidInput("is no text", field=self._at(name), remedy="fill it in")
        return str(value).strip() if strip else str(value)

    def matching(self, name: str, pattern: re.Pattern[str], what: str) -> str:
        value = self.text(name)
        if not pattern.fullmatch(value):
            raise InvalidInput(f"{value!r} is not {what}", field=self._at(name), remedy=f"write {what}")
        return value

    def one_of(self, name: str, allowed: Sequence[str], default: str | None = None) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise InvalidInput(
                f"{value!r} is not known", field=self._at(name), remedy=f"one of: {', '.join(allowed)}"
            )
        return value

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self.raw.get(name, default)
        if type(value) is not int or not least <= value <= most:
            raise InvalidInput(
                f"{value!r} is no whole number from {least} to {most}",
                field=self._at(name),
                remedy=f"write {least} to {most}",
            )
        return value

    def part(self, name: str, known: frozenset[str]) -> "_Part":
        return _Part(self.raw.get(name), self._at(name), known)

    def sequence(self, name: str) -> Sequence[Any]:
        value = self.raw.get(name)
        if not isinstance(value, list) or not value:
            raise InvalidInput("is no list", field=self._at(name), remedy="write at least one entry")
        return value
