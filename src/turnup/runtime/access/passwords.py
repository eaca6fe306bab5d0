"""Passwords of people: argon2id (RFC 9106), slow on purpose; never stored, logged or repeated in an error."""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()  # RFC 9106's second choice: 64 MiB, 3 passes, 4 lanes
_at_once = threading.BoundedSemaphore(2)
"""Hashing takes 64 MiB: a flood of logins waits here instead of taking the machine's memory."""

_NOBODYS = _hasher.hash("nobody has this password")


def hash_password(password: str) -> str:
    with _at_once:
        return _hasher.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Whether it is the password behind this hash. Without one it takes as long to say no, so that the time
    does not tell which names exist."""
    with _at_once:
        try:
            _hasher.verify(stored or _NOBODYS, password)
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Whether it was hashed with less than we take now."""
    return _hasher.check_needs_rehash(stored)
