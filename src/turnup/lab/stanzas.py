"""The configuration grammar of tlos: kinds of stanza, their leaves, and how a value is read.

Values are brought to one canonical spelling when they are set, so that comparing text compares meaning.
Semantics over several stanzas (uniqueness, ports that exist) are in `running`.
"""

import ipaddress
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Leaves = dict[str, str]
StanzaId = tuple[str, str]
"""(kind, key), such as ("service", "S-1001")."""

_KEY = re.compile(r"^[A-Za-z0-9._:/-]{1,64}$")
_CIRCUIT = re.compile(r"^[A-Za-z0-9_.-]+/[A-Za-z0-9/_.-]+/\d{1,4}$")


class TlosError(Exception):
    """What the CLI prints after `% Error: `."""


def _whole(low: int, high: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
            raise TlosError(f"invalid value: {text} is not a number from {low} to {high}")
        return str(int(text))

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise TlosError(f"invalid value: {text} is not one of {' '.join(words)}")
        return text

    return read


def _shaped(pattern: str, what: str) -> Callable[[str], str]:
    shape = re.compile(pattern)

    def read(text: str) -> str:
        if not shape.match(text):
            raise TlosError(f"invalid value: {text} is not {what}")
        return text

    return read


def _text(text: str) -> str:
    if len(text) > 200 or any(ord(letter) < 32 for letter in text) or '"' in text or "\\" in text:
        raise TlosError("invalid value: text is at most 200 printable characters without quote or backslash")
    return text


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise TlosError(f"invalid value: {text} is not an IPv4 address") from None


def _ipv6_prefix(low: int, high: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        try:
            net = ipaddress.IPv6Network(text)
        except ValueError:
            raise TlosError(f"invalid value: {text} is not an IPv6 prefix without host bits") from None
        if not low <= net.prefixlen <= high:
            raise TlosError(f"invalid value: {text} must be a /{low} to /{high}")
        return str(net)

    return read


RATE = _whole(1, 100_000_000)
GENERATION = _whole(0, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of stanza: its word, its leaves in print order, and those that a commit demands."""

    name: str
    leaves: Mapping[str, Callable[[str], str]]
    required: tuple[str, ...]


SERVICE = Kind(
    "service",
    {
        "port": _shaped(r"^[a-z]+-\d+/\d+/\d+$", "a port name such as pon-0/1/3"),
        "ont-serial": _shaped(r"^[A-Za-z0-9]{4,24}$", "an ONT serial (4 to 24 letters and digits)"),
        "vlan": _whole(2, 4094),
        "down-kbps": RATE,
        "up-kbps": RATE,
        "admin": _one_of("up", "down"),
        "description": _text,
        "generation": GENERATION,
    },
    ("port", "vlan", "down-kbps", "up-kbps"),
)
SUBSCRIBER = Kind(
    "subscriber",
    {
        "username": _shaped(r"^[^\s;\"'\\]{1,128}$", "a user name"),
        "access": _shaped(_CIRCUIT.pattern, "a circuit such as olt1/pon-0/1/3/101"),
        "ipv4": _ipv4,
        "ipv6-wan": _ipv6_prefix(64, 64),
        "ipv6-pd": _ipv6_prefix(48, 64),
        "down-kbps": RATE,
        "up-kbps": RATE,
        "walled": _one_of("yes", "no"),
        "description": _text,
        "generation": GENERATION,
    },
    ("username", "access", "down-kbps", "up-kbps"),
)
PORT = Kind("port", {"admin": _one_of("up", "down"), "description": _text}, ())

KINDS: Mapping[str, Mapping[str, Kind]] = {
    "olt": {"service": SERVICE, "port": PORT},
    "bng": {"subscriber": SUBSCRIBER, "port": PORT},
}


def _quoted(value: str) -> str:
    return f'"{value}"' if not value or any(letter in value for letter in " ;#'") else value


def set_lines(ident: StanzaId, leaves: Mapping[str, str], kind: Kind) -> list[str]:
    """The `set` lines that make this stanza, in the grammar's order."""
    head = f"set {ident[0]} {ident[1]}"
    if not leaves:
        return [head]
    return [f"{head} {leaf} {_quoted(leaves[leaf])}" for leaf in kind.leaves if leaf in leaves]


@dataclass(frozen=True, slots=True)
class Stanza:
    """A committed stanza; `lines` (and the same as one `text`) re-create it."""

    ident: StanzaId
    leaves: Mapping[str, str]
    lines: tuple[str, ...] = field(compare=False)
    text: str = field(compare=False)

    @property
    def generation(self) -> int:
        return int(self.leaves.get("generation", "0"))


def make_stanza(ident: StanzaId, leaves: Mapping[str, str], kind: Kind) -> Stanza:
    """Freeze leaves into a stanza with its lines rendered once."""
    lines = tuple(set_lines(ident, leaves, kind))
    return Stanza(ident, dict(leaves), lines, "\n".join(lines))


def words_of(line: str) -> list[str]:
    """A command line's words; double quotes hold a value together."""
    if '"' not in line and "'" not in line:
        return line.split()
    try:
        return shlex.split(line)
    except ValueError as error:
        raise TlosError(f"syntax: {error}") from None


@dataclass(frozen=True, slots=True)
class Change:
    """One `set` or `delete` line, read but not yet applied."""

    ident: StanzaId
    pairs: tuple[tuple[str, str], ...] = ()
    """Leaves to set (with values), or to delete (empty values)."""
    delete: bool = False
    fence: int | None = None
    """For a whole-stanza delete: the generation that orders it; a newer one on the device refuses it."""


def read_change(line: str, kinds: Mapping[str, Kind]) -> Change:
    """Read one `set ...` or `delete ...` line; raises TlosError naming what is wrong."""
    words = words_of(line)
    if len(words) < 3 or words[0] not in ("set", "delete"):
        raise TlosError(f"syntax: expected `set|delete {'|'.join(kinds)} KEY ...`")
    verb, word, key, *rest = words
    kind = kinds.get(word)
    if kind is None:
        raise TlosError(f"syntax: unknown stanza {word}; this device has {' '.join(kinds)}")
    if not _KEY.match(key):
        raise TlosError(f"invalid key: {key}")
    return _read_set(kind, key, rest) if verb == "set" else _read_delete(kind, key, rest)


def _read_set(kind: Kind, key: str, rest: list[str]) -> Change:
    if len(rest) % 2:
        raise TlosError(f"syntax: leaf {rest[-1]} has no value")
    pairs = []
    for leaf, value in zip(rest[::2], rest[1::2], strict=True):
        read = kind.leaves.get(leaf)
        if read is None:
            raise TlosError(f"syntax: unknown leaf {leaf}; {kind.name} has {' '.join(kind.leaves)}")
        pairs.append((leaf, read(value)))
    return Change((kind.name, key), tuple(pairs))


def _read_delete(kind: Kind, key: str, rest: list[str]) -> Change:
    if len(rest) == 2 and rest[0] == "fence":
        return Change((kind.name, key), delete=True, fence=int(GENERATION(rest[1])))
    for leaf in rest:
        if leaf not in kind.leaves:
            raise TlosError(f"syntax: unknown leaf {leaf}; {kind.name} has {' '.join(kind.leaves)}")
    return Change((kind.name, key), tuple((leaf, "") for leaf in rest), delete=True)


def config_lines(text: Iterable[str]) -> list[str]:
    """Lines of a configuration text without blanks and comments."""
    return [line.strip() for line in text if line.strip() and not line.lstrip().startswith("#")]
