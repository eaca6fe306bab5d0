"""Running, candidate and startup configuration of one device: lock, commit, fencing, history, persistence.

The startup configuration is a file; running and history are memory and die with the device's power. The
highest generation seen of every stanza outlives its deletion (`# fence` lines in the file), so that a late
writer cannot bring back what a newer order removed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from turnup.lab.running import RunningConfig
from turnup.lab.stanzas import (
    Change,
    Leaves,
    Stanza,
    StanzaId,
    TlosError,
    config_lines,
    read_change,
    set_lines,
)

HISTORY = 10
FENCES_MAX = 20_000


@dataclass(slots=True, eq=False)
class Candidate:
    """The exclusive working copy of one CLI session: the lines given, and the stanzas they touch."""

    holder: str
    changes: list[Change] = field(default_factory=list)
    overlay: dict[StanzaId, Leaves | None] = field(default_factory=dict)
    fences: dict[StanzaId, int] = field(default_factory=dict)

    def clear(self) -> None:
        self.changes.clear()
        self.overlay.clear()
        self.fences.clear()


class Datastore:
    """The three configurations of a device."""

    def __init__(self, running: RunningConfig, startup_file: Path) -> None:
        self.running = running
        self.revision = 0
        self.unsaved = False
        self._startup_file = startup_file
        self._candidate: Candidate | None = None
        self._history: list[dict[StanzaId, Stanza]] = []
        self._fences: dict[StanzaId, int] = {}

    # ---- the candidate and its lock

    def lock(self, holder: str) -> Candidate:
        """Open the candidate for one session; TlosError names the present holder."""
        if self._candidate is not None:
            raise TlosError(f"configuration locked by {self._candidate.holder}")
        self._candidate = Candidate(holder)
        return self._candidate

    def unlock(self, candidate: Candidate) -> None:
        """Drop the candidate; harmless when it is no longer the present one."""
        if self._candidate is candidate:
            self._candidate = None

    @property
    def lock_holder(self) -> str | None:
        return self._candidate.holder if self._candidate else None

    def change(self, candidate: Candidate, change: Change) -> None:
        """Work one line into the candidate."""
        self._work_in(candidate.overlay, change)
        candidate.changes.append(change)
        if change.fence is not None:
            candidate.fences[change.ident] = change.fence

    def _work_in(self, overlay: dict[StanzaId, Leaves | None], change: Change) -> None:
        ident = change.ident
        present = self._present(overlay, ident)
        if not change.delete:
            overlay[ident] = {**(present or {}), **dict(change.pairs)}
        elif present is None:
            if change.fence is None:
                raise TlosError(f"not found: {ident[0]} {ident[1]}")
        elif not change.pairs:
            overlay[ident] = None
        else:
            gone = {leaf for leaf, _ in change.pairs}
            overlay[ident] = {leaf: value for leaf, value in present.items() if leaf not in gone}

    def _present(self, overlay: Mapping[StanzaId, Leaves | None], ident: StanzaId) -> Leaves | None:
        if ident in overlay:
            return overlay[ident]
        stanza = self.running.stanzas.get(ident)
        return dict(stanza.leaves) if stanza else None

    def replace(self, candidate: Candidate, lines: Iterable[str]) -> None:
        """Make the candidate exactly these lines."""
        read = [read_change(line, self.running.kinds) for line in config_lines(lines)]
        candidate.clear()
        for ident in self.running.stanzas:
            candidate.changes.append(Change(ident, delete=True))
            candidate.overlay[ident] = None
        for change in read:
            self.change(candidate, change)

    def roll_back(self, candidate: Candidate, steps: int) -> None:
        """0: the candidate is running again. n: the candidate is the configuration n commits ago."""
        if steps > len(self._history):
            raise TlosError(f"not found: rollback {steps}; {len(self._history)} kept")
        candidate.clear()
        if steps:
            old = self._history[-steps]
            self.replace(candidate, [line for stanza in old.values() for line in stanza.lines])

    def compare(self, candidate: Candidate) -> list[str]:
        """Candidate against running: `- set ...` and `+ set ...` lines, stanza by stanza."""
        out: list[str] = []
        for ident, leaves in candidate.overlay.items():
            stanza = self.running.stanzas.get(ident)
            old = list(stanza.lines) if stanza else []
            new = self._lines(ident, leaves) if leaves is not None else []
            out += [f"- {line}" for line in old if line not in new]
            out += [f"+ {line}" for line in new if line not in old]
        return out

    def _lines(self, ident: StanzaId, leaves: Leaves) -> list[str]:
        return set_lines(ident, leaves, self.running.kinds[ident[0]])

    # ---- commit

    def commit(self, candidate: Candidate, *, force: bool = False) -> list[StanzaId]:
        """Put the candidate in force, whole or not at all; the lock stays. Returns the changed ids."""
        if not force:
            self._check_generations(candidate)
        return self._write(candidate.overlay, candidate, checked=True)

    def commit_first(self, candidate: Candidate, keep: int) -> list[StanzaId]:
        """The half-applied change: only the first `keep` lines, unchecked, and the rest is forgotten."""
        overlay: dict[StanzaId, Leaves | None] = {}
        for change in candidate.changes[:keep]:
            self._work_in(overlay, change)
        return self._write(overlay, candidate, checked=False)

    def write_behind(self, lines: Iterable[str]) -> list[StanzaId]:
        """Edit running as a man at the console would: no lock, no fence, no semantic check."""
        scratch = Candidate("console")
        for line in config_lines(lines):
            self._work_in(scratch.overlay, read_change(line, self.running.kinds))
        return self._write(scratch.overlay, scratch, checked=False)

    def _write(
        self, overlay: Mapping[StanzaId, Leaves | None], candidate: Candidate, *, checked: bool
    ) -> list[StanzaId]:
        before = dict(self.running.stanzas)
        changed = self.running.apply(overlay, checked=checked)
        for ident, fence in candidate.fences.items():
            self._fences[ident] = max(fence, self._fences.get(ident, 0))
        if changed:
            self._history = [*self._history[-HISTORY + 1 :], before]
            self._raise_fences(changed, before)
            self.revision += 1
            self.unsaved = True
        candidate.clear()
        return changed

    def _raise_fences(self, changed: list[StanzaId], before: Mapping[StanzaId, Stanza]) -> None:
        for ident in changed:
            if ident in before and ident not in self.running.stanzas:
                self._fences[ident] = max(before[ident].generation, self._fences.get(ident, 0))
        while len(self._fences) > FENCES_MAX:
            del self._fences[next(iter(self._fences))]

    def previous(self) -> dict[StanzaId, Stanza]:
        """The configuration before the last commit: what a stale read shows."""
        return self._history[-1] if self._history else self.running.stanzas

    def _check_generations(self, candidate: Candidate) -> None:
        for ident, leaves in candidate.overlay.items():
            held = self._generation(ident)
            said = candidate.fences.get(ident) if leaves is None else int(leaves.get("generation", "0"))
            if said is not None and said < held:
                raise TlosError(f"stale generation: {' '.join(ident)} has {held}, candidate says {said}")
        for ident, fence in candidate.fences.items():
            if ident not in candidate.overlay and fence < self._generation(ident):
                raise TlosError(f"stale generation: {' '.join(ident)} had {self._generation(ident)}")

    def _generation(self, ident: StanzaId) -> int:
        stanza = self.running.stanzas.get(ident)
        return stanza.generation if stanza else self._fences.get(ident, 0)

    # ---- startup

    def save(self) -> None:
        """Write running to the startup file, whole or not at all."""
        fences = [f"# fence {kind} {key} {generation}" for (kind, key), generation in self._fences.items()]
        stanzas = [
            stanza.text for stanza in self.running.stanzas.values()
        ]  # unsorted: it is done at every order
        text = "\n".join([*stanzas, *fences, ""])
        scratch = self._startup_file.with_suffix(".new")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(self._startup_file)
        self.unsaved = False

    def startup_lines(self) -> list[str]:
        """The startup configuration as it is on disk."""
        if not self._startup_file.exists():
            return []
        return self._startup_file.read_text(encoding="utf-8").splitlines()

    def wipe(self) -> None:
        """Factory state: no startup configuration; takes effect at the next boot."""
        self._startup_file.unlink(missing_ok=True)

    def boot(self) -> None:
        """Power came back: running is what startup says, and everything else is gone."""
        self._candidate = None
        self._history.clear()
        self._fences.clear()
        self.running.apply(dict.fromkeys(self.running.stanzas), checked=False)
        lines = self.startup_lines()
        for line in lines:
            if line.startswith("# fence "):
                kind, key, generation = line.split()[2:]
                self._fences[(kind, key)] = int(generation)
        self.write_behind(lines)
        self._history.clear()
        self.revision = 0
        self.unsaved = False
