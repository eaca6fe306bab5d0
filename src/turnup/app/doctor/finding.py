"""What a check says: how it stands, and what to do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `remedy` says what to do; None where nothing is to be done."""

    check: str
    ok: bool
    detail: str
    remedy: str | None = None


def good(check: str, detail: str, remedy: str | None = None) -> Finding:
    return Finding(check=check, ok=True, detail=detail, remedy=remedy)


def bad(check: str, detail: str, remedy: str | None) -> Finding:
    return Finding(check=check, ok=False, detail=detail, remedy=remedy)


def judged(check: str, detail: str, remedy: str, *, ok: bool) -> Finding:
    return Finding(check=check, ok=ok, detail=detail, remedy=None if ok else remedy)


def first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
