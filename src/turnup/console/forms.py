"""Forms: what came from one, and the page that asks before something happens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response

from turnup.console.rendering import show
from turnup.kernel.errors import InvalidInput, TurnupError
from turnup.runtime.auth import Caller

_FIELDS_MAX = 200


async def _read(request: Request) -> Mapping[str, str]:
    """Kept with the request, too: when the session has run out, the form comes back after the login."""
    try:
        text = (await request.body()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        raise InvalidInput("the form cannot be read", field="body", remedy="send it from its page") from error
    request.state.form = {name: value.strip() for name, value in pairs}
    return dict(request.state.form)


FORM = Depends(_read)


def form_of(request: Request) -> Mapping[str, str]:
    """What a form that was sent with this request held; nothing where none was."""
    return getattr(request.state, "form", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    name: str
    label: str
    value: str = ""
    hint: str = ""
    required: bool = False
    options: Sequence[tuple[str, str]] = ()
    """(value, label): a choice; none: a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A page that says what will happen, and asks. `effects`: in the order in which they come. `facts`: what
    it is about, (name, text)."""

    title: str
    act: str
    back: str
    effects: Sequence[str]
    facts: Sequence[tuple[str, str]] = ()
    fields: Sequence[Field] = field(default_factory=tuple)
    dangerous: bool = False


def ask(request: Request, caller: Caller, question: Question, error: TurnupError | None = None) -> Response:
    """The page of a question. Its fields keep what was typed: sent with the form, or come back with the
    address after a login."""
    typed = {**request.query_params, **form_of(request)}
    values = {each.name: typed.get(each.name, each.value) for each in question.fields}
    status = 200 if error is None else error.status
    return show(
        request, "question.html", caller=caller, status=status, question=question, values=values, error=error
    )
