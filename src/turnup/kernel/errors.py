"""Errors a user can act on: a stable code, an HTTP status, the field at fault and the remedy.

Every public error is a subclass with its own code, listed in docs/reference/errors.md (a test checks it).
"""

import math
from typing import ClassVar


class TurnupError(Exception):
    """Base of all errors that reach a user.

    `field` is the path of the offending input (``items[0].offering``), `remedy` says what to do.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, field: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        then = f" ({self.remedy})" if self.remedy else ""
        return f"{where}{self.message}{then}"


class InvalidInput(TurnupError):
    """The input breaks a rule; nothing was done."""

    code = "invalid_input"
    status = 400


class NotFound(TurnupError):
    """No such thing."""

    code = "not_found"
    status = 404


class Conflict(TurnupError):
    """The present state does not allow it, or someone else was faster."""

    code = "conflict"
    status = 409


class NotAllowed(TurnupError):
    """The caller may not do this."""

    code = "not_allowed"
    status = 403


class Unauthenticated(TurnupError):
    """No valid credentials came with the request."""

    code = "unauthenticated"
    status = 401


class TooManyRequests(TurnupError):
    """Too many requests or attempts; `Retry-After` says when to come back."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, *, retry_after_s: float, field: str | None = None) -> None:
        self.retry_after_s = max(1, math.ceil(retry_after_s))
        super().__init__(message, field=field, remedy=f"come back in {self.retry_after_s} s")


class TooLarge(TurnupError):
    """The body of the request is larger than this installation takes."""

    code = "too_large"
    status = 413


class Exhausted(TurnupError):
    """A pool or a limit has nothing left to give."""

    code = "exhausted"
    status = 409


class Unavailable(TurnupError):
    """A system we depend on did not answer; trying again later may help."""

    code = "unavailable"
    status = 503
