"""The lies a device may tell, each for its next N operations.

A lie is asked for by `take` at the place where the truth would have been told; what it does there is the
business of that place (`cli`, `coa`).
"""

from dataclasses import dataclass
from typing import Literal, get_args

LieKind = Literal[
    "late_ack",
    "lost_ack",
    "half_applied",
    "stale_read",
    "reboot_after_commit",
    "refuse",
    "slow",
    "unreachable",
]
LIE_KINDS: tuple[str, ...] = get_args(LieKind)
On = Literal["commit", "show", "save", "coa", "any"]
_DEFAULT_ON: dict[str, On] = {"stale_read": "show", "slow": "any", "unreachable": "any"}


@dataclass(slots=True)
class Lie:
    """One kind of lie; `remaining` operations of sort `on` are still lied about."""

    kind: LieKind
    on: On
    remaining: int
    delay_ms: int = 0
    """late_ack, slow: how long the answer waits. reboot_after_commit: how long the device stays away."""
    keep: int = 1
    """half_applied: how many of the change's lines take effect."""
    report: Literal["error", "ok"] = "error"
    """half_applied: what the device says afterwards."""


class Lies:
    """The lies a device has still to tell."""

    def __init__(self) -> None:
        self._told: list[Lie] = []

    def add(
        self,
        kind: LieKind,
        *,
        count: int = 1,
        on: On | None = None,
        delay_ms: int = 0,
        keep: int = 1,
        report: Literal["error", "ok"] = "error",
    ) -> None:
        """Lie about the next `count` operations of sort `on` (default: the sort where the kind belongs)."""
        if kind not in LIE_KINDS:
            raise ValueError(f"kind: {kind} is none of {' '.join(LIE_KINDS)}")
        self._told.append(Lie(kind, on or _DEFAULT_ON.get(kind, "commit"), count, delay_ms, keep, report))

    def take(self, kind: LieKind, on: On) -> Lie | None:
        """The lie of this kind that applies to the present operation, used up by one."""
        for lie in self._told:
            if lie.kind == kind and lie.on in (on, "any"):
                lie.remaining -= 1
                if lie.remaining <= 0:
                    self._told.remove(lie)
                return lie
        return None

    def tells(self, kind: LieKind) -> bool:
        """Whether a lie of this kind is standing, without using it up."""
        return any(lie.kind == kind for lie in self._told)

    def clear(self, kind: LieKind | None = None) -> None:
        self._told = [lie for lie in self._told if kind is not None and lie.kind != kind]

    def standing(self) -> list[dict[str, object]]:
        return [{"kind": lie.kind, "on": lie.on, "remaining": lie.remaining} for lie in self._told]
