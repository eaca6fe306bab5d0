"""Words and tones for states: the same word for the same thing on every page."""

from enum import Enum

from markupsafe import Markup

from turnup.console.texts import _

GOOD, BAD, BUSY, QUIET, NOTE = "good", "bad", "busy", "quiet", "note"

_TONES = {
    "active": GOOD, "accepted": GOOD, "online": GOOD, "completed": GOOD, "settled": GOOD, "yes": GOOD,
    "reachable": GOOD, "done": GOOD,
    "inProgress": BUSY, "acknowledged": BUSY, "pending": BUSY, "pendingActive": BUSY, "reserved": BUSY,
    "pendingTerminate": BUSY, "assessingCancellation": BUSY, "pendingCancellation": BUSY,
    "configured": BUSY, "configured_awaiting_equipment": BUSY, "partial": BUSY, "open": BUSY,
    "suspended": BAD, "held": BAD, "failed": BAD, "rejected": BAD, "offline": BAD, "overdue": BAD,
    "critical": BAD, "major": BAD, "unreachable": BAD, "no": BAD, "problem": BAD, "owes": BAD,
    "minor": BUSY, "warning": BUSY, "frozen": NOTE,
}  # fmt: skip
_WORDS = {
    "inProgress": "in progress",
    "pendingActive": "being set up",
    "pendingTerminate": "being ended",
    "assessingCancellation": "cancellation asked",
    "pendingCancellation": "being undone",
    "configured_awaiting_equipment": "waits for equipment",
    "held": "stopped",
}


def word(state: str | Enum) -> str:
    value = str(state.value if isinstance(state, Enum) else state)
    return _(_WORDS.get(value, value.replace("_", " ")))


def badge(state: str | Enum, text: str | None = None) -> Markup:
    """The state as a coloured word; the word says it all, the colour only helps."""
    value = str(state.value if isinstance(state, Enum) else state)
    return Markup('<span class="tone tone-{}">{}</span>').format(
        _TONES.get(value, QUIET), text or word(value)
    )
