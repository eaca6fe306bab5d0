"""The running configuration of one device with its indexes, and the rules that hold across stanzas.

Every check costs in proportion to the change, not to the configuration: uniqueness is kept as claims
(things that one stanza at a time may hold) which a commit takes and gives back.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping

from turnup.lab.stanzas import Kind, Leaves, Stanza, StanzaId, TlosError, make_stanza

Overlay = Mapping[StanzaId, Leaves | None]
"""What a commit changes: the new leaves of each stanza, or None where it goes."""

_SHORTEST = 48


class _Prefixes:
    """IPv6 prefixes of /48 to /64 in use; finds an overlap in at most 17 look-ups."""

    def __init__(self) -> None:
        self._owner: dict[tuple[int, int], StanzaId] = {}
        self._below: Counter[tuple[int, int]] = Counter()

    @staticmethod
    def _chain(text: str) -> Iterator[tuple[int, int]]:
        net = ipaddress.IPv6Network(text)
        number = int(net.network_address) >> 64
        for length in range(net.prefixlen, _SHORTEST - 1, -1):
            yield (length, number >> (64 - length))

    def add(self, text: str, owner: StanzaId) -> None:
        chain = list(self._chain(text))
        for spot in chain:
            if spot in self._owner:
                raise TlosError(f"duplicate prefix: {text} overlaps one of {' '.join(self._owner[spot])}")
        if self._below[chain[0]]:
            raise TlosError(f"duplicate prefix: {text} covers a prefix in use")
        self._owner[chain[0]] = owner
        self._below.update(chain)

    def remove(self, text: str) -> None:
        chain = list(self._chain(text))
        del self._owner[chain[0]]
        self._below.subtract(chain)
        for spot in chain:
            if not self._below[spot]:
                del self._below[spot]


Claim = tuple[str, Hashable]


def _claims(stanza: Stanza) -> Iterator[tuple[Claim, Hashable]]:
    """What a stanza holds: (claim, tag); two stanzas may hold one claim only with equal tags."""
    leaves = stanza.leaves
    if stanza.ident[0] == "service":
        if "port" in leaves and "vlan" in leaves:
            yield ("vlan", (leaves["port"], leaves["vlan"])), stanza.ident
        if "port" in leaves and "ont-serial" in leaves:
            yield ("ont", leaves["ont-serial"]), leaves["port"]
    elif stanza.ident[0] == "subscriber":
        for leaf, name in (("username", "username"), ("access", "access"), ("ipv4", "address")):
            if leaf in leaves:
                yield (name, leaves[leaf]), stanza.ident


def _prefixes(stanza: Stanza) -> list[str]:
    return [stanza.leaves[leaf] for leaf in ("ipv6-wan", "ipv6-pd") if leaf in stanza.leaves]


class RunningConfig:
    """Committed stanzas by id, with look-ups by claim."""

    def __init__(self, kinds: Mapping[str, Kind], has_port: Callable[[str], bool]) -> None:
        self.kinds = kinds
        self._has_port = has_port
        self.stanzas: dict[StanzaId, Stanza] = {}
        self._claims: dict[Claim, dict[StanzaId, Hashable]] = {}
        self._prefixes = _Prefixes()

    def get(self, kind: str, key: str) -> Stanza | None:
        return self.stanzas.get((kind, key))

    def holders(self, claim: str, value: Hashable) -> list[Stanza]:
        """The stanzas that hold e.g. ("vlan", (port, vlan)), ("ont", serial), ("username", name)."""
        return [self.stanzas[ident] for ident in self._claims.get((claim, value), ())]

    def lines(self) -> list[str]:
        """The whole configuration, in a stable order."""
        return [line for ident in sorted(self.stanzas) for line in self.stanzas[ident].lines]

    def apply(self, overlay: Overlay, *, checked: bool = True) -> list[StanzaId]:
        """Put all of the overlay in force or, on TlosError, nothing. Returns the ids that really changed.

        Unchecked is how a lying device or a man at the console writes: only what the indexes cannot bear
        (two holders of one claim) is still refused.
        """
        changed = [ident for ident, leaves in overlay.items() if self._differs(ident, leaves)]
        new = [make_stanza(ident, overlay[ident] or {}, self.kinds[ident[0]]) for ident in changed]
        if checked:
            for ident, stanza in zip(changed, new, strict=True):
                if overlay[ident] is not None:
                    self._check(stanza)
        self._swap(changed, [stanza for stanza in new if overlay[stanza.ident] is not None])
        return changed

    def _differs(self, ident: StanzaId, leaves: Leaves | None) -> bool:
        old = self.stanzas.get(ident)
        return (leaves is None) != (old is None) or (old is not None and old.leaves != leaves)

    def _check(self, stanza: Stanza) -> None:
        kind, key = stanza.ident
        missing = [leaf for leaf in self.kinds[kind].required if leaf not in stanza.leaves]
        if missing:
            raise TlosError(f"incomplete: {kind} {key} lacks {' '.join(missing)}")
        port = key if kind == "port" else stanza.leaves.get("port")
        if port is not None and not self._has_port(port):
            raise TlosError(f"unknown port: {port}")

    def _swap(self, out: list[StanzaId], new: list[Stanza]) -> None:
        """Exchange stanzas; on a conflict everything is as before."""
        old = [self.stanzas[ident] for ident in out if ident in self.stanzas]
        for stanza in old:
            self._release(stanza)
        taken: list[Stanza] = []
        try:
            for stanza in new:
                self._take(stanza)
                taken.append(stanza)
        except TlosError:
            for stanza in taken:
                self._release(stanza)
            for stanza in old:
                self._take(stanza)
            raise

    def _take(self, stanza: Stanza) -> None:
        wanted = list(_claims(stanza))
        for (what, value), tag in wanted:
            for holder, held in self._claims.get((what, value), {}).items():
                if held != tag:
                    said = "/".join(value) if isinstance(value, tuple) else value
                    raise TlosError(f"duplicate {what}: {said} is used by {' '.join(holder)}")
        added: list[str] = []
        try:
            for prefix in _prefixes(stanza):
                self._prefixes.add(prefix, stanza.ident)
                added.append(prefix)
        except TlosError:
            for prefix in added:
                self._prefixes.remove(prefix)
            raise
        for claim, tag in wanted:
            self._claims.setdefault(claim, {})[stanza.ident] = tag
        self.stanzas[stanza.ident] = stanza

    def _release(self, stanza: Stanza) -> None:
        for claim, _tag in _claims(stanza):
            holders = self._claims[claim]
            holders.pop(stanza.ident, None)
            if not holders:
                del self._claims[claim]
        for prefix in _prefixes(stanza):
            self._prefixes.remove(prefix)
        del self.stanzas[stanza.ident]
