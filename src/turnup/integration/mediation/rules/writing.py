"""Files we write: outgoing records with header and trailer, and acknowledgements. Same input, same bytes.

A cell of text that a spreadsheet would take for a formula (it begins with = + - @, also in full width, tab,
carriage return or line feed) gets an apostrophe in front (OWASP, CSV injection). Amounts are ours and stay
numbers, negative ones too.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal

from turnup.contracts.mediation import FileCounts, TakeoverLine
from turnup.integration.mediation.model import Column, Connector, Outcome, RawRow, TextFormat
from turnup.integration.mediation.rules.documents import CONTROL_SUM_OF
from turnup.kernel.clock import iso_utc
from turnup.kernel.errors import InvalidInput

HEADER_MARK, TRAILER_MARK = "H", "T"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_AMOUNTS = frozenset({"net", "tax", "total", "amount"})
_DATES = frozenset({"invoice_date", "due_date", "period_from", "period_to"})


def guarded(text: str) -> str:
    """The text as a spreadsheet shows it and does not run it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def outgoing(
    connector: Connector, number: int, records: Sequence[Mapping[str, str]], at: datetime
) -> tuple[bytes, str]:
    """(the file, its control sum): a header line `H, connector, number, instant`, the names of the columns, a
    line per record, a trailer `T, rows, control sum`. Amounts are decimals of the currency's main unit."""
    form = connector.format
    total = control_sum(connector, records)
    lines = [
        [HEADER_MARK, connector.name, str(number), iso_utc(at)],
        [guarded(column.to) for column in connector.columns],
        *([_cell(column, record, form) for column in connector.columns] for record in records),
        [TRAILER_MARK, str(len(records)), total.replace(".", form.decimal)],
    ]
    return _csv(lines, form), total


def control_sum(connector: Connector, records: Sequence[Mapping[str, str]]) -> str:
    """The sum over the amounts of a kind; 0 for a kind without."""
    name = CONTROL_SUM_OF.get(connector.kind)
    return str(sum((Decimal(record[name]) for record in records), Decimal(0)) if name else 0)


def _cell(column: Column, record: Mapping[str, str], form: TextFormat) -> str:
    if column.source is None:
        return guarded(column.constant or "")
    value = record.get(column.source, "")
    if column.source in _AMOUNTS:
        return value.replace(".", form.decimal)
    if column.source in _DATES and value:
        return guarded(datetime.fromisoformat(value).strftime(form.date))
    return guarded(value)


def acknowledgement(
    connector: Connector,
    name: str,
    sha256: str,
    counts: FileCounts | None,
    rejected: Sequence[tuple[RawRow, Outcome]],
    reason: str | None,
) -> bytes:
    """What became of their file: header, rejected rows with reasons and as they came, trailer with counts.
    A file refused as a whole has no counts, and its reason in the header."""
    raw_columns = list(dict.fromkeys(name for row, _ in rejected for name in row.raw))
    state = "refused" if counts is None else "taken"
    lines = [
        [HEADER_MARK, guarded(name), sha256, state, guarded(reason or "")],
        ["row", "key", "result", "field", "reason", "remedy", *map(guarded, raw_columns)],
    ]
    for row, outcome in rejected:
        about = [outcome.key, outcome.state.value, outcome.field, outcome.reason, outcome.remedy]
        cells = [*(each or "" for each in about), *(row.raw.get(column, "") for column in raw_columns)]
        lines.append([str(row.n), *map(guarded, cells)])
    if counts is not None:
        numbers = (counts.read, counts.applied, counts.unchanged, counts.quarantined, counts.discarded)
        lines.append([TRAILER_MARK, *map(str, numbers)])
    return _csv(lines, connector.format, errors="replace")


def takeover_csv(lines: Sequence[TakeoverLine]) -> bytes:
    """The report of a takeover, one line per service; UTF-8."""
    names = [each.name for each in fields(TakeoverLine)]
    cells = [[_plain(getattr(line, name)) for name in names] for line in lines]
    return _csv([names, *cells], TextFormat())


def _plain(value: str | int | None) -> str:
    return guarded(value) if isinstance(value, str) else "" if value is None else str(value)


def _csv(lines: Sequence[Sequence[str]], form: TextFormat, errors: str = "strict") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=form.delimiter, lineterminator="\r\n").writerows(lines)
    try:
        return out.getvalue().encode(form.encoding, errors)
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{error.object[error.start]!r} cannot be written in {form.encoding}",
            field="format.encoding",
            remedy="use utf-8 in the connector's document",
        ) from error
