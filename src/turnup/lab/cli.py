"""tlos, the command line of the lab's devices: one command line in, one reply out.

Knows no transport; `ssh` feeds it. Grammar and error texts: docs/reference/lab.md. Errors are one line
`% Error: ...`; lies that concern commands are told here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from turnup.lab.datastore import Candidate
from turnup.lab.device import VERSION, Device
from turnup.lab.stanzas import Stanza, StanzaId, TlosError, read_change, words_of


@dataclass(slots=True)
class Reply:
    """What a command answers, and what the transport has to do with it."""

    lines: list[str]
    failed: bool = False
    delay_ms: int = 0
    drop: bool = False
    """Abort the connection instead of answering."""
    close: bool = False
    """End the session after answering."""
    then: Callable[[], None] | None = None
    """Done after the answer has left."""


class CliSession:
    """One user at one device; owns at most one candidate, which dies with the session."""

    def __init__(self, device: Device, user: str, peer: str) -> None:
        self.device = device
        self.user = user
        self._holder = f"{user}@{peer}"
        self._candidate: Candidate | None = None
        self._load: tuple[str, list[str]] | None = None
        self.echo: bool | None = None
        self._commands: dict[str, Callable[[list[str]], Reply]] = {
            "configure": self._configure,
            "show": self._show,
            "save": self._save,
            "clear": self._clear,
            "terminal": self._terminal,
            "reboot": self._reboot,
            "exit": self._exit,
            "quit": self._exit,
        }
        self._config_commands: dict[str, Callable[[list[str]], Reply]] = {
            "compare": self._compare,
            "commit": self._commit,
            "rollback": self._rollback,
            "load": self._load_begin,
            "exit": self._leave,
        }

    @property
    def prompt(self) -> str:
        """`olt1> `, and `olt1# ` in configuration mode; empty while lines are being loaded."""
        if self._load is not None:
            return ""
        return f"{self.device.name}{'#' if self._candidate else '>'} "

    def close(self) -> None:
        """The session is over: the candidate is dropped and its lock released."""
        if self._candidate is not None:
            self.device.store.unlock(self._candidate)
            self._candidate = None

    def run(self, line: str) -> Reply:
        """Run one command line."""
        line = line.strip()
        try:
            reply = self._loading(line) if self._load is not None else self._dispatch(line)
        except TlosError as error:
            reply = Reply([f"% Error: {error}"], failed=True)
        slow = self.device.lies.take("slow", "any") if line else None
        if slow:
            reply.delay_ms += slow.delay_ms
        return reply

    def _dispatch(self, line: str) -> Reply:
        if not line or line.startswith("#"):
            return Reply([])
        if self._candidate is not None:
            if line.startswith(("set ", "delete ")):
                self.device.store.change(self._candidate, read_change(line, self.device.store.running.kinds))
                return Reply([])
            line = line.removeprefix("run ")
        words = words_of(line)
        command = self._commands.get(words[0])
        if self._candidate is not None:
            command = self._config_commands.get(words[0], command)
        elif words[0] in self._config_commands or words[0] in ("set", "delete"):
            command = command or self._not_configuring
        if command is None:
            raise TlosError(f"syntax: unknown command {words[0]}")
        return command(words[1:])

    def _not_configuring(self, words: list[str]) -> Reply:
        raise TlosError("not in configuration mode")

    def _held(self) -> Candidate:
        if self._candidate is None:
            raise TlosError("not in configuration mode")
        return self._candidate

    # ---- configuration mode

    def _configure(self, words: list[str]) -> Reply:
        if self._candidate is None:
            self._candidate = self.device.store.lock(self._holder)
        return Reply([])

    def _leave(self, words: list[str]) -> Reply:
        held = bool(self._held().overlay)
        self.close()
        return Reply(["uncommitted changes dropped"] if held else [])

    def _compare(self, words: list[str]) -> Reply:
        return Reply(self.device.store.compare(self._held()))

    def _rollback(self, words: list[str]) -> Reply:
        steps = int(words[0]) if words and words[0].isdigit() else 0
        self.device.store.roll_back(self._held(), steps)
        return Reply([])

    def _load_begin(self, words: list[str]) -> Reply:
        if words not in (["replace"], ["merge"]):
            raise TlosError("syntax: expected `load replace|merge`, lines, and a line with a single `.`")
        self._load = (words[0], [])
        return Reply([])

    def _loading(self, line: str) -> Reply:
        assert self._load is not None
        how, lines = self._load
        if line != ".":
            lines.append(line)
            return Reply([])
        self._load = None
        store, candidate = self.device.store, self._held()
        if how == "replace":
            store.replace(candidate, lines)
        else:
            changes = [read_change(each, store.running.kinds) for each in lines if each and each[0] != "#"]
            for change in changes:
                store.change(candidate, change)
        return Reply([f"loaded {len(lines)} lines"])

    def _commit(self, words: list[str]) -> Reply:
        if words not in ([], ["force"]):
            raise TlosError("syntax: expected `commit [force]`")
        device, candidate = self.device, self._held()
        if device.lies.take("refuse", "commit"):
            raise TlosError("refused by device")
        half = device.lies.take("half_applied", "commit")
        if half:
            changed = device.store.commit_first(candidate, half.keep)
        else:
            changed = device.store.commit(candidate, force=words == ["force"])
        device.changed(changed, self._holder)
        if half and half.report == "error":
            raise TlosError("internal error during commit")
        return self._acknowledge([f"commit complete revision {device.store.revision} changed {len(changed)}"])

    def _acknowledge(self, lines: list[str]) -> Reply:
        """The answer to a commit that took effect, as far as the device tells the truth."""
        device = self.device
        if device.lies.take("lost_ack", "commit"):
            return Reply([], drop=True)
        reply = Reply(lines)
        late = device.lies.take("late_ack", "commit")
        if late:
            reply.delay_ms = late.delay_ms
        reboot = device.lies.take("reboot_after_commit", "commit")
        if reboot:
            away_ms = reboot.delay_ms or device.spec.boot_ms
            reply.then = lambda: device.reboot(away_ms)
        return reply

    # ---- operational commands

    def _save(self, words: list[str]) -> Reply:
        if self.device.lies.take("refuse", "save"):
            raise TlosError("refused by device")
        self.device.store.save()
        return Reply(["saved"])

    def _exit(self, words: list[str]) -> Reply:
        return Reply([], close=True)

    def _terminal(self, words: list[str]) -> Reply:
        if len(words) == 2 and words[0] == "length" and words[1].isdigit():
            return Reply([])  # there is no pager to switch off
        if len(words) == 2 and words[0] == "echo" and words[1] in ("on", "off"):
            self.echo = words[1] == "on"
            return Reply([])
        raise TlosError("syntax: expected `terminal length N` or `terminal echo on|off`")

    def _reboot(self, words: list[str]) -> Reply:
        device = self.device
        device.surroundings.taking_leave(device)
        return Reply(["rebooting"], close=True, then=lambda: device.reboot(device.spec.boot_ms))

    def _clear(self, words: list[str]) -> Reply:
        if len(words) != 2 or words[0] != "session" or self.device.spec.kind != "bng":
            raise TlosError("syntax: expected `clear session USER` on a BNG")
        count = self.device.surroundings.clear_session(self.device, words[1])
        if not count:
            raise TlosError(f"not found: session {words[1]}")
        return Reply([f"cleared {count}"])

    def _show(self, words: list[str]) -> Reply:
        if not words:
            raise TlosError("syntax: show what?")
        topic, *rest = words
        if topic == "configuration":
            return Reply(self._configuration(rest))
        if topic == "startup":
            return Reply([line for line in self.device.store.startup_lines() if not line.startswith("#")])
        if topic == "version":
            return Reply(self._version())
        view = self.device.shows.get(topic)
        if view is None:
            known = " ".join(["configuration", "startup", "version", *self.device.shows])
            raise TlosError(f"syntax: unknown show {topic}; there are {known}")
        return Reply(view(rest))

    def _version(self) -> list[str]:
        device = self.device
        return [
            f"hostname={device.name}",
            f"kind={device.spec.kind}",
            f"version={VERSION}",
            f"boot={device.boot_count}",
            f"uptime-s={device.clock.elapsed() - device.booted_at:.0f}",
            f"revision={device.store.revision}",
            f"unsaved={'yes' if device.store.unsaved else 'no'}",
            f"lock={device.store.lock_holder or 'none'}",
        ]

    def _configuration(self, words: list[str]) -> list[str]:
        """`[KIND KEY]`, `| KINDs K1,K2,...` or nothing for all."""
        stale = self.device.lies.take("stale_read", "show")
        shown = self.device.store.previous() if stale else self.device.store.running.stanzas
        words = [word for word in words if word != "|"]
        if not words:
            return [line for ident in sorted(shown) for line in shown[ident].lines]
        kinds = self.device.store.running.kinds
        kind = words[0] if words[0] in kinds else words[0].removesuffix("s")
        if kind not in kinds or len(words) > 2:
            raise TlosError("syntax: expected `show configuration [KIND KEY | KINDs KEY,KEY]`")
        if len(words) == 1:
            return [line for ident in sorted(shown) if ident[0] == kind for line in shown[ident].lines]
        return _lines_of(shown, [(kind, key) for key in words[1].split(",")])


def _lines_of(shown: dict[StanzaId, Stanza], wanted: list[StanzaId]) -> list[str]:
    return [line for ident in wanted if ident in shown for line in shown[ident].lines]


def split_batch(text: str) -> list[str]:
    """The command lines of an exec request: one a line or, in a single line, parted by `;` outside quotes."""
    if "\n" in text.strip():
        return text.splitlines()
    if ";" not in text:
        return [text]
    if '"' not in text:
        return text.split(";")
    parts, quoted, start = [], False, 0
    for spot, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif letter == ";" and not quoted:
            parts.append(text[start:spot])
            start = spot + 1
    return [*parts, text[start:]]
