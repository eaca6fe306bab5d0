"""What is marked dangerous: use cases that may need four eyes, named in a component's manifest.

A route or command hands its arguments to `turnup.runtime.access.four_eyes`, which runs the use case at once,
or keeps the request until a second person has approved it (setting `four_eyes`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from turnup.runtime.unit_of_work import UnitOfWork

Arguments = Mapping[str, Any]
"""JSON-able, no secrets: they are stored and shown to the second person."""


def as_given(arguments: Arguments) -> Arguments:
    return arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Dangerous:
    """One use case. `what` tells the second person what will happen.

    `run` gets a unit of `component` (None: of the runtime's own tables) in the transaction that notes the
    execution, so that both or neither happen. `pin` settles, when the request is kept, what it is about:
    "all that wait" must not grow between the first pair of eyes and the second.
    """

    action: str
    scope: str
    component: str | None
    what: Callable[[Arguments], str]
    run: Callable[[UnitOfWork, Arguments], Mapping[str, Any]]
    pin: Callable[[Arguments], Arguments] = as_given


@dataclass(frozen=True, slots=True, kw_only=True)
class DangerousOutside:
    """One that is more than a transaction (it writes a file, several components): started at most once; `run`
    gets the actor. What breaks off stays `started`, and a person finishes it."""

    action: str
    scope: str
    what: Callable[[Arguments], str]
    run: Callable[[str, Arguments], Mapping[str, Any]]
    pin: Callable[[Arguments], Arguments] = as_given
