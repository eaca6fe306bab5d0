"""Rows of a file: read as CSV, mapped to canonical fields. Every data row comes out once, good or bad."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

from turnup.integration.mediation.model import Column, Connector, RawRow, Record, TextFormat
from turnup.integration.mediation.rules.documents import FIELDS
from turnup.kernel.errors import InvalidInput

_FIELD_BYTES_MAX = 1_000_000
ROWS_MAX = 100_000
"""In one file: all of them are held in memory, and kept in one transaction."""
_COLUMNS_MAX = 1_000
_SPACES = re.compile(r"\s+")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_TRUE, _FALSE = frozenset({"true", "yes", "1", "y"}), frozenset({"false", "no", "0", "n"})


def read_rows(content: bytes, columns: Sequence[Column], form: TextFormat) -> list[RawRow]:
    """The data rows of a file with a header line. A row of another length is kept and marked `broken`; blank
    lines are no rows. Raises InvalidInput where the file as a whole cannot be used: encoding, header, a
    trailer that is missing or counts another number of rows (an upload that broke off)."""
    text = _decoded(content, form.encoding)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=form.delimiter, strict=True)
    csv.field_size_limit(_FIELD_BYTES_MAX)
    lines: list[tuple[int, list[str]]] = []
    try:
        for line in reader:
            if line and any(cell.strip() for cell in line):
                lines.append((reader.line_num, line))
            if len(lines) > ROWS_MAX + 2:  # header and trailer
                raise InvalidInput(
                    f"the file has more than {ROWS_MAX} rows", field="file", remedy="send smaller files"
                )
    except csv.Error as error:
        raise InvalidInput(
            f"line {reader.line_num} is no CSV: {error}", field="file", remedy="quote values as RFC 4180 says"
        ) from error
    if not lines:
        raise InvalidInput("the file is empty", field="file", remedy="send at least the header line")
    header = [cell.strip() for cell in lines[0][1]]
    _check_header(header, columns)
    data = lines[1:]
    if form.trailer is not None:
        data = _without_trailer(data, form.trailer)
    return [_row(n, header, cells) for n, cells in data]


def _decoded(content: bytes, encoding: str) -> str:
    try:
        text = content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"byte {error.start} is not {encoding}",
            field="format.encoding",
            remedy="correct the encoding in the connector's document, or the file",
        ) from error
    if "\0" in text:
        raise InvalidInput(
            "the file holds a NUL character", field="file", remedy="send text, in the encoding agreed"
        )
    return text


def _check_header(header: Sequence[str], columns: Sequence[Column]) -> None:
    if len(header) > _COLUMNS_MAX:
        raise InvalidInput(
            f"{len(header)} columns", field="file", remedy="check the delimiter; a table has fewer"
        )
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"the column {twice!r} is there twice", field=twice, remedy="rename one")
    for column in columns:
        if column.source is not None and column.source not in header and column.default is None:
            raise InvalidInput(
                f"the file has no column {column.source!r}",
                field=column.source,
                remedy="correct the header line, or the connector's document",
            )


def _without_trailer(data: list[tuple[int, list[str]]], mark: str) -> list[tuple[int, list[str]]]:
    if not data or data[-1][1][0].strip() != mark:
        raise InvalidInput(
            f"the last line is no trailer ({mark})", field="file", remedy="send the file again, whole"
        )
    rows, trailer = data[:-1], data[-1][1]
    counted = trailer[1].strip() if len(trailer) > 1 else ""
    if not counted.isdecimal() or int(counted) != len(rows):
        raise InvalidInput(
            f"the trailer counts {counted or 'nothing'}, the file holds {len(rows)} rows",
            field="file",
            remedy="send the file again, whole",
        )
    return rows


def _row(n: int, header: Sequence[str], cells: Sequence[str]) -> RawRow:
    raw = dict(zip(header, cells, strict=False))
    if len(cells) == len(header):
        return RawRow(n, raw)
    if len(cells) > len(header):
        raw["+"] = json.dumps(cells[len(header) :], ensure_ascii=False)
    what = "more" if len(cells) > len(header) else "fewer"
    return RawRow(n, raw, broken=f"{what} values than columns ({len(cells)} for {len(header)})")


def record_of(row: RawRow, connector: Connector) -> Record:
    """The row in canonical fields, empty ones left out. Raises InvalidInput naming the source column."""
    if row.broken is not None:
        raise InvalidInput(row.broken, field="row", remedy="quote values that hold the delimiter")
    values: dict[str, str] = {}
    for column in connector.columns:
        value = _value(column, row.raw, connector.format)
        if value:
            values[column.to] = value
    needed = (*connector.key, *sorted(FIELDS[connector.kind][0]))
    missing = next((name for name in needed if name not in values), None)
    if missing is not None:
        column = next(each for each in connector.columns if each.to == missing)
        raise InvalidInput(f"{missing} is empty", field=column.source or missing, remedy="fill it in")
    parts = [values[name] for name in connector.key]
    key = parts[0] if len(parts) == 1 else json.dumps(parts, ensure_ascii=False)
    return Record(key=key, values=values, digest=digest_of(values))


def digest_of(values: Mapping[str, str]) -> str:
    """Equal canonical fields, equal digest, whatever the order of columns."""
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()


def _value(column: Column, raw: Mapping[str, str], form: TextFormat) -> str:
    if column.constant is not None:
        return column.constant
    name = column.source or ""
    value = raw.get(name, "").strip()
    for step in column.apply:
        value = _APPLY[step](value)
    if not value:
        return column.default or ""
    if column.values is not None:
        if value not in column.values:
            raise InvalidInput(
                f"{value!r} is not one of {', '.join(sorted(column.values))}",
                field=name,
                remedy="add it to `values` in the connector's document, or correct the row",
            )
        value = column.values[value]
    try:
        return _typed(column.type, value, form)
    except (ValueError, InvalidOperation) as error:
        raise InvalidInput(
            f"{value!r} is no {column.type}", field=name, remedy=f"write a {column.type}"
        ) from error


_APPLY: Mapping[str, Callable[[str], str]] = {
    "trim": str.strip,
    "upper": str.upper,
    "lower": str.lower,
    "digits": lambda value: "".join(each for each in value if each in "0123456789"),
    "collapse": lambda value: _SPACES.sub(" ", value).strip(),
}


def _typed(kind: str, value: str, form: TextFormat) -> str:
    """Canonical text: numbers with a point, dates as ISO 8601."""
    if kind == "integer":
        if not _INTEGER.fullmatch(value):  # int() takes 1_000 as well
            raise ValueError(value)
        return str(int(value))
    if kind == "decimal":
        return _decimal(value, form.decimal)
    if kind == "date":
        return datetime.strptime(value, form.date).date().isoformat()  # noqa: DTZ007 - a date, no instant
    if kind == "boolean":
        return _boolean(value)
    if kind == "country":
        if not re.fullmatch("[A-Za-z]{2}", value):
            raise ValueError(value)
        return value.upper()
    if kind == "phone":
        return "+" + value[2:] if value.startswith("00") else value
    return value


def _decimal(value: str, point: str) -> str:
    """Thousands may be grouped by the other sign or by spaces, in threes."""
    whole, mark, fraction = value.partition(point)
    group = next((each for each in ("," if point == "." else ".", " ", "\u00a0") if each in whole), None)
    parts = whole.split(group) if group else [whole]
    if any(len(part) != 3 for part in parts[1:]) or (group and len(parts[0].lstrip("+-")) > 3):
        raise ValueError(value)
    plain = "".join(parts) + (f".{fraction}" if mark else "")
    if not _NUMBER.fullmatch(plain):
        raise ValueError(value)
    return str(Decimal(plain))


def _boolean(value: str) -> str:
    if value.lower() in _TRUE:
        return "true"
    if value.lower() in _FALSE:
        return "false"
    raise ValueError(value)
