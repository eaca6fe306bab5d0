"""Writes the reference pages from the code: errors, events, settings, commands, TM Forum
resources.

    python -m turnup.app.reference [DIRECTORY]      default docs/reference

Nothing on these pages is written by hand; a test fails when one is stale or something public says nothing of
itself.
"""

import dataclasses
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main

import turnup
from turnup.app.reference_page import page
from turnup.app.reference_tmf import tmf_page
from turnup.kernel.errors import TurnupError
from turnup.runtime.events import event_types
from turnup.runtime.settings import ENV_PREFIX, Settings

_ELSEWHERE = re.compile(r"turnup\.lab\b|turnup\.app\.migrations\b|.*__main__$")


def pages() -> Mapping[str, str]:
    """Every generated page by its file name."""
    writers: Mapping[str, Callable[[], str]] = {
        "errors.md": errors_page,
        "events.md": events_page,
        "settings.md": settings_page,
        "cli.md": cli_page,
        "tmf.md": tmf_page,
    }
    return {name: write() for name, write in writers.items()}


def errors_page() -> str:
    kinds = sorted(error_kinds(), key=lambda kind: (kind.status, kind.code))
    rows = [f"| `{kind.code}` | {kind.status} | {_text(kind)} |" for kind in kinds]
    return page(
        "Errors",
        "Every error names the field at fault and the remedy. In the HTTP API it is a TMF630 `Error` whose "
        "`code` is one of these, and `GET /errors/CODE` says the same as this page. On the command line the "
        "exit code is 2 where the caller can mend it (status below 500), else 1.",
        ["| code | HTTP status | meaning |", "|---|---|---|", *rows],
    )


def error_kinds() -> set[type[TurnupError]]:
    """Every public error of the house; a subclass without a code of its own is the same error to a user."""
    for module in pkgutil.walk_packages(turnup.__path__, "turnup."):
        if not _ELSEWHERE.match(module.name):
            importlib.import_module(module.name)
    ours = (kind for kind in _below(TurnupError) if kind.__module__.startswith("turnup."))
    return {kind for kind in ours if "code" in vars(kind)}


def _below(kind: type[TurnupError]) -> Iterator[type[TurnupError]]:
    yield kind
    for heir in kind.__subclasses__():
        yield from _below(heir)


def events_page() -> str:
    lines: list[str] = []
    for name, kind in sorted(event_types().items()):
        if kind.__subclasses__():
            continue  # a base, never emitted
        lines += [f"## {name}", "", _text(kind) or "", ""] if kind.__doc__ else [f"## {name}", ""]
        lines += [f"Schema version {kind.version}, ordered per `{kind.aggregate}`.", ""]
        lines += ["| field | type |", "|---|---|"]
        lines += [f"| `{field.name}` | {_type(field.type)} |" for field in dataclasses.fields(kind)]
        lines.append("")
    return page(
        "Events",
        "What components tell each other. Every event is stored in the transaction that caused it, gets the "
        "next version of its aggregate, and reaches each consumer exactly once, in order per aggregate.",
        lines,
    )


def settings_page() -> str:
    lines: list[str] = []
    for name, field in Settings.model_fields.items():
        default = "made from the working directory" if field.default_factory else field.default
        shown = "none" if default is None else f"`{default}`"
        lines += [
            f"## {name}",
            "",
            field.description or "",
            "",
            f"Variable `{ENV_PREFIX}{name.upper()}`; default {shown}.",
            "",
        ]
    return page(
        "Settings",
        "From the strongest: arguments, environment variables, `turnup.yaml` (the file named by "
        "`TURNUP_CONFIG`, else the one in the data directory), the defaults. `turnup doctor` names variables "
        "that mean nothing.",
        lines,
    )


def cli_page() -> str:
    from_typer = importlib.import_module("turnup.app.cli.main").app
    root = typer.main.get_command(from_typer)
    lines: list[str] = []
    for path, command in commands(root, "turnup"):
        lines += [f"## {path}", "", (command.help or "").strip(), ""]
        rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            lines += ["| argument or option | meaning |", "|---|---|", *rows, ""]
    return page(
        "Commands",
        "Every command takes `--help`. Those that show something take `--json` for machines. Exit codes: 0 "
        "done, 1 the installation's fault, 2 the caller's.",
        lines,
    )


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that can be run and is not hidden, with the words that run it. (Typer carries a click of
    its own, so these are not click's classes.)"""
    if hasattr(command, "commands"):
        for name, below in sorted(command.commands.items()):
            if not below.hidden:
                yield from commands(below, f"{path} {name}")
    else:
        yield path, command


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"| `{(parameter.name or '').upper()}` | {_cell(getattr(parameter, 'help', None))} |"
    spelled = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    shown = "" if default is None or default is False or callable(default) else f" Default {default}."
    return f"| {spelled} | {_cell(getattr(parameter, 'help', None))}{shown} |"


def _text(kind: type[Any]) -> str:
    own = vars(kind).get("__doc__") or ""
    return _cell(None if own.startswith(f"{kind.__name__}(") else own)


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    text = str(annotation) if "[" in str(annotation) or "|" in str(annotation) else text
    return _cell(re.sub(r"\b(\w+\.)+", "", text))


def write(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference"))
