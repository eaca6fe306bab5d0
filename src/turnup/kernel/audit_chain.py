"""The audit's hash chain, pure: what a link binds, and how each way of tampering shows.

Entries are sealed in batches. A link holds the SHA-256 of each of its entries; its own hash covers those, its
number, its time and the hash of the link before it, so that one hash, the head, stands for all that came
before. A MAC over that hash (HMAC-SHA-256, key from outside the database) keeps who owns the database from
computing the chain anew. What was cut off at the end leaves no trace in a chain: that is what anchors, heads
kept elsewhere, are for.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from turnup.kernel.errors import InvalidInput

GENESIS = bytes(32)
"""What stands for the hash before the first link."""

BACKDATED = timedelta(hours=1)
"""No transaction lasts so long: an entry that is older than this when the link before its own was sealed came
in afterwards."""

KeyOf = Callable[[str], bytes | None]
"""The MAC key of this id; None where the key file lacks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEntry:
    """One audit entry as it is sealed. `before` and `after` are JSON data."""

    id: int
    at: datetime
    component: str
    actor: str
    action: str
    subject: str
    before: object
    after: object

    @property
    def digest(self) -> bytes:
        """SHA-256 over the entry as JSON: keys sorted, UTC to the microsecond, no blanks."""
        fields = [
            self.id,
            self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            self.component,
            self.actor,
            self.action,
            self.subject,
            self.before,
            self.after,
        ]
        return hashlib.sha256(_canonical(fields)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """`entries`: (id, digest) of each entry, by id. `n` counts from 1 without a gap."""

    n: int
    previous: bytes
    sealed_at: datetime
    entries: tuple[tuple[int, bytes], ...]
    hash: bytes
    key_id: str
    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The last link that retention has taken away; the chain goes on behind it."""

    n: int
    hash: bytes
    key_id: str
    mac: bytes


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head that was kept elsewhere."""

    n: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.n}:{self.hash.hex()}"


class Breach(StrEnum):
    """What was done to the audit."""

    ENTRY_CHANGED = "entry_changed"
    ENTRY_MISSING = "entry_missing"
    ENTRY_INSERTED = "entry_inserted"
    ENTRY_BACKDATED = "entry_backdated"
    LINK_CHANGED = "link_changed"
    LINK_MISSING = "link_missing"
    LINK_FORGED = "link_forged"
    KEY_MISSING = "key_missing"
    ANCHOR_DIFFERS = "anchor_differs"


@dataclass(frozen=True, slots=True)
class Broken:
    """One breach: in which link, and which entry where it is one entry's."""

    breach: Breach
    link: int
    entry: int | None
    detail: str


def link_hash(n: int, previous: bytes, sealed_at: datetime, entries: Sequence[tuple[int, bytes]]) -> bytes:
    at = sealed_at.astimezone(UTC).isoformat(timespec="microseconds")
    body = [n, previous.hex(), at, [[entry, digest.hex()] for entry, digest in entries]]
    return hashlib.sha256(_canonical(body)).digest()


def link_mac(key: bytes, n: int, digest: bytes) -> bytes:
    return hmac.digest(key, b"link:%d:" % n + digest, "sha256")


def checkpoint_mac(key: bytes, n: int, digest: bytes) -> bytes:
    """Another word than a link's: a link's MAC must not pass for a checkpoint's."""
    return hmac.digest(key, b"checkpoint:%d:" % n + digest, "sha256")


def sealed(previous: Anchor, at: datetime, entries: Sequence[SealedEntry], key_id: str, key: bytes) -> Link:
    """The next link behind `previous`."""
    n = previous.n + 1
    bound = tuple((entry.id, entry.digest) for entry in sorted(entries, key=lambda entry: entry.id))
    digest = link_hash(n, previous.hash, at, bound)
    return Link(
        n=n,
        previous=previous.hash,
        sealed_at=at,
        entries=bound,
        hash=digest,
        key_id=key_id,
        mac=link_mac(key, n, digest),
    )


def parse_anchors(text: str) -> list[Anchor]:
    """Anchors as `turnup audit verify` prints them, one a line: NUMBER:HASH. Raises InvalidInput."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        number, _, digest = line.partition(":")
        try:
            anchor = Anchor(int(number), bytes.fromhex(digest))
        except ValueError:
            anchor = Anchor(0, b"")
        if len(anchor.hash) != len(GENESIS):
            raise InvalidInput(
                f"{line[:80]!r} is no anchor",
                field="anchor",
                remedy="write NUMBER:HASH, as verify printed it",
            )
        found.append(anchor)
    return found


class Checker:
    """Goes along the chain link by link and collects what does not fit."""

    def __init__(self, start: Checkpoint | None, keys: KeyOf, anchors: Sequence[Anchor] = ()) -> None:
        self._keys = keys
        self._anchors = {anchor.n: anchor for anchor in anchors}
        self.broken: list[Broken] = []
        self.head = Anchor(start.n, start.hash) if start else Anchor(0, GENESIS)
        self._before: datetime | None = None
        if start is not None:
            self._signed(checkpoint_mac, start.n, start.hash, start.key_id, start.mac, "checkpoint")
            self._anchored()

    def take(self, link: Link, present: Mapping[int, SealedEntry]) -> None:
        """The next link, and the entries that say they belong to it."""
        if link.n != self.head.n + 1:
            self._note(Breach.LINK_MISSING, self.head.n + 1, None, f"link {link.n} comes after {self.head.n}")
        elif link.previous != self.head.hash:
            self._note(Breach.LINK_CHANGED, link.n, None, "does not continue the link before it")
        if link_hash(link.n, link.previous, link.sealed_at, link.entries) != link.hash:
            self._note(Breach.LINK_CHANGED, link.n, None, "its hash is not that of its content")
        self._signed(link_mac, link.n, link.hash, link.key_id, link.mac, "link")
        self._compare(link, present)
        self.head = Anchor(link.n, link.hash)
        self._before = link.sealed_at
        self._anchored()

    def finish(self) -> None:
        """The chain ends here: what an anchor knows beyond that is gone."""
        for anchor in self._anchors.values():
            if anchor.n > self.head.n:
                self._note(
                    Breach.LINK_MISSING,
                    anchor.n,
                    None,
                    f"the chain ends at {self.head.n}; an anchor knows more",
                )

    def _compare(self, link: Link, present: Mapping[int, SealedEntry]) -> None:
        bound = dict(link.entries)
        for entry_id, digest in link.entries:
            if entry_id not in present:
                self._note(Breach.ENTRY_MISSING, link.n, entry_id, "was sealed and is gone")
            elif present[entry_id].digest != digest:
                self._note(Breach.ENTRY_CHANGED, link.n, entry_id, "is not what was sealed")
        for entry_id in sorted(set(present) - set(bound)):
            self._note(Breach.ENTRY_INSERTED, link.n, entry_id, "was never sealed into this link")
        if self._before is not None:
            for entry in present.values():
                if entry.at < self._before - BACKDATED:
                    self._note(
                        Breach.ENTRY_BACKDATED, link.n, entry.id, "is older than what was sealed before it"
                    )

    def _signed(
        self,
        mac_of: Callable[[bytes, int, bytes], bytes],
        n: int,
        digest: bytes,
        key_id: str,
        mac: bytes,
        what: str,
    ) -> None:
        key = self._keys(key_id)
        if key is None:
            self._note(Breach.KEY_MISSING, n, None, f"the key {key_id} of this {what} is not in the key file")
        elif not hmac.compare_digest(mac_of(key, n, digest), mac):
            self._note(Breach.LINK_FORGED, n, None, f"this {what} was not sealed by Turnup's key")

    def _anchored(self) -> None:
        anchor = self._anchors.get(self.head.n)
        if anchor is not None and anchor.hash != self.head.hash:
            self._note(Breach.ANCHOR_DIFFERS, self.head.n, None, "the anchor has another hash")

    def _note(self, breach: Breach, link: int, entry: int | None, detail: str) -> None:
        self.broken.append(Broken(breach, link, entry, detail))


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
