"""The reference pages are what the code says now, and everything public says something of itself."""

from pathlib import Path

import pytest
import typer.main

from turnup.app import reference, reference_tmf
from turnup.app.cli.main import app
from turnup.runtime.events import event_types
from turnup.runtime.settings import Settings

DOCS = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", ["errors.md", "events.md", "settings.md", "cli.md", "tmf.md"])
def test_a_page_is_up_to_date(name: str) -> None:
    """Red? `python -m turnup.app.reference`"""
    assert (DOCS / name).read_text() == reference.pages()[name]


def test_every_page_is_checked() -> None:
    assert set(reference.pages()) == {"errors.md", "events.md", "settings.md", "cli.md", "tmf.md"}


def test_every_list_says_what_it_takes() -> None:
    """A resource whose list nobody can narrow, not even by id, was declared in haste."""
    resources = reference_tmf.declared()
    assert [each.path for each in resources if each.list is not None and "id" not in each.attributes] == [
        "/tmf-api/customerBillManagement/v5/appliedCustomerBillingRate"  # found by its bill
    ]


def test_every_error_says_what_it_means_under_a_code_of_its_own() -> None:
    kinds = reference.error_kinds()
    assert {kind.__name__ for kind in kinds if not (kind.__doc__ or "").strip()} == set()
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(f"| `{kind.code}` |" in (DOCS / "errors.md").read_text() for kind in kinds)


def test_every_event_says_what_happened() -> None:
    silent = {
        name
        for name, kind in event_types().items()
        if not (vars(kind).get("__doc__") or "").strip() or kind.__doc__.startswith(f"{kind.__name__}(")  # type: ignore[union-attr]
    }
    assert silent == set()


def test_every_setting_is_described() -> None:
    assert {name for name, field in Settings.model_fields.items() if not field.description} == set()


SPEAKS_NO_JSON = {
    "turnup up": "runs until it is told to stop",
    "turnup bench": "prints nothing but JSON",
}


def test_every_command_speaks_json() -> None:
    """What a person reads, a program can have, too."""
    silent = {
        path
        for path, command in reference.commands(typer.main.get_command(app), "turnup")
        if not hasattr(command, "commands") and not any("--json" in option.opts for option in command.params)
    }
    assert silent == set(SPEAKS_NO_JSON)


def test_every_command_has_help_and_so_have_its_options() -> None:
    silent = []
    for path, command in reference.commands(typer.main.get_command(app), "turnup"):
        if not (command.help or "").strip():
            silent.append(path)
        silent += [
            f"{path} --{parameter.name}"
            for parameter in command.params
            if parameter.param_type_name == "option" and not getattr(parameter, "help", None)
        ]
    assert silent == []
