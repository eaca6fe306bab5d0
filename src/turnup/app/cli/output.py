"""What the command line prints: tables for people, JSON for programs, errors for both."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from turnup.kernel.clock import iso_utc
from turnup.kernel.errors import TurnupError
from turnup.kernel.money import Money

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")]


def plain(value: Any) -> Any:
    """Views as JSON-able data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return iso_utc(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID | date):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Sequence | set | frozenset):
        return [plain(entry) for entry in value]
    return str(value)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def tell(sentence: str, facts: Mapping[str, object], *, as_json: bool) -> None:
    """What a command did: a sentence for people, its facts for programs."""
    if as_json:
        print_json(facts)
    else:
        console.print(sentence, soft_wrap=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Numbers to the right; an empty table says so. What is too long is folded, never cut: somebody has to
    type it again."""
    if not rows:
        console.print(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for n, column in enumerate(columns):
        numeric = all(isinstance(row[n], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)


def money(minor: int, currency: str) -> str:
    """An amount for reading."""
    return str(Money(minor, currency))


def fail(error: TurnupError, *, as_json: bool) -> None:
    if as_json:
        body = {"code": error.code, "message": error.message, "field": error.field, "remedy": error.remedy}
        sys.stderr.write(json.dumps(body) + "\n")
        return
    where = f" in [bold]{error.field}[/]" if error.field else ""
    errors.print(f"[red]Error[/]{where}: {error.message}")
    if error.remedy:
        errors.print(f"  Remedy: {error.remedy}")
