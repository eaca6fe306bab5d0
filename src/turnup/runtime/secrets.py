"""Secrets at rest: envelope encryption of credentials, with keys in a file apart from the database.

Each sealed value has a key of its own (AES-256-GCM), wrapped by a key of the key file, whose id it names: a
rotation re-wraps short keys and touches no secret. The context (``element:42``) is authenticated: a value
copied to another row does not open.
"""

import os
import secrets
import threading
from base64 import b64decode, b64encode
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from turnup.kernel.errors import Conflict, InvalidInput

_MAGIC = b"tu1"
_ID_BYTES = 4
_NONCE_BYTES = 12
_KEY_BYTES = 32
_WRAPPED_BYTES = _KEY_BYTES + 16
_HEADER_BYTES = len(_MAGIC) + _ID_BYTES + _NONCE_BYTES + _WRAPPED_BYTES


class SecretUnreadable(Conflict):
    """A sealed value does not open: wrong key file, wrong place, or damaged."""

    code = "secret_unreadable"


class SecretBox:
    """Seals and opens with the keys of one file; the last line is the key that seals."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._keys: dict[bytes, bytes] = {}
        self._read_as: tuple[int, int, int] | None = None

    def seal(self, secret: bytes | str, context: str) -> bytes:
        """Encrypt for this place. Same input, other output each time."""
        plain = secret.encode() if isinstance(secret, str) else secret
        data_key = AESGCM.generate_key(bit_length=256)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        body = nonce + AESGCM(data_key).encrypt(nonce, plain, context.encode())
        return self._wrap(data_key, context) + body

    def open(self, sealed: bytes, context: str) -> bytes:
        """Raises SecretUnreadable."""
        data_key = self._unwrap(sealed, context)
        body = sealed[_HEADER_BYTES:]
        return _decrypt(data_key, body[:_NONCE_BYTES], body[_NONCE_BYTES:], context)

    def open_text(self, sealed: bytes, context: str) -> str:
        return self.open(sealed, context).decode()

    def rewrap(self, sealed: bytes, context: str) -> bytes:
        """The same value under the current key; already there: unchanged. Raises SecretUnreadable."""
        current = list(self._load())[-1]
        if sealed[len(_MAGIC) : len(_MAGIC) + _ID_BYTES] == current:
            return sealed
        return self._wrap(self._unwrap(sealed, context), context) + sealed[_HEADER_BYTES:]

    def add_key(self) -> str:
        """Add a key, which seals from now on; the old ones still open. Returns its id. Then `rewrap` all that
        is stored, and only then take old lines out of the file."""
        with self._lock:
            self._ensure_file()
            fresh = _key_line()
            with self._path.open("a", encoding="ascii") as file:
                file.write(fresh)
                file.flush()
                os.fsync(file.fileno())
        return fresh.split()[0]

    def key_ids(self) -> list[str]:
        """The keys of the file, the one that seals last."""
        return [key_id.hex() for key_id in self._load()]

    def derived(self, purpose: str, key_id: str) -> bytes | None:
        """A key of its own for this purpose (HKDF, RFC 5869), from one of the file's keys; None where the
        file lacks it."""
        key = self._load().get(bytes.fromhex(key_id))
        if key is None:
            return None
        return HKDF(SHA256(), length=_KEY_BYTES, salt=None, info=purpose.encode()).derive(key)

    def _wrap(self, data_key: bytes, context: str) -> bytes:
        key_id, key = list(self._load().items())[-1]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _MAGIC + key_id + nonce + AESGCM(key).encrypt(nonce, data_key, context.encode())

    def _unwrap(self, sealed: bytes, context: str) -> bytes:
        if not sealed.startswith(_MAGIC) or len(sealed) < _HEADER_BYTES + _NONCE_BYTES + 16:
            raise SecretUnreadable("this is no sealed secret", remedy="restore it from a backup")
        start = len(_MAGIC)
        key_id = sealed[start : start + _ID_BYTES]
        key = self._load().get(key_id)
        if key is None:
            raise SecretUnreadable(
                f"the key {key_id.hex()} is not in {self._path.name}",
                field="secret_key_file",
                remedy="bring back the key file that belongs to this database",
            )
        nonce = sealed[start + _ID_BYTES : start + _ID_BYTES + _NONCE_BYTES]
        return _decrypt(key, nonce, sealed[start + _ID_BYTES + _NONCE_BYTES : _HEADER_BYTES], context)

    def _load(self) -> dict[bytes, bytes]:
        """The keys as the file is now: a rotation in another process counts from the next secret on."""
        with self._lock:
            self._ensure_file()
            found = self._path.stat()
            if self._read_as != (signature := (found.st_ino, found.st_mtime_ns, found.st_size)):
                self._keys, self._read_as = _parse(self._path), signature
            return self._keys

    def _ensure_file(self) -> None:
        """Made complete under another name and linked into place: whoever comes second finds the first's."""
        if self._path.exists():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(_key_line())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, self._path)
        except FileExistsError:
            pass  # another process was faster; its key counts
        finally:
            draft.unlink()


def _key_line() -> str:
    return f"{secrets.token_hex(_ID_BYTES)} {b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}\n"


def _parse(path: Path) -> dict[bytes, bytes]:
    if path.stat().st_mode & 0o077:
        raise InvalidInput(
            f"{path.name} can be read by others than its owner",
            field="secret_key_file",
            remedy="chmod 600 the file; if others may have read it, add a key and re-seal",
        )
    keys: dict[bytes, bytes] = {}
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        try:
            key_id, key = line.split()
            keys[bytes.fromhex(key_id)] = b64decode(key, validate=True)
        except ValueError as error:
            raise InvalidInput(
                f"line {number} of {path.name} is no key",
                field="secret_key_file",
                remedy="bring back the file from its backup",
            ) from error
    if not keys:
        raise InvalidInput(f"{path.name} holds no key", field="secret_key_file", remedy="bring back the file")
    return keys


def _decrypt(key: bytes, nonce: bytes, cipher: bytes, context: str) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, cipher, context.encode())
    except InvalidTag as error:
        raise SecretUnreadable(
            "a sealed secret does not belong here or is damaged",
            field=context,
            remedy="enter the credential again",
        ) from error


_SEALED_PREFIX = "sealed:"


def seal_text(box: SecretBox, secret: str, context: str) -> str:
    """Sealed as text, for documents that carry a secret among plain attributes."""
    return _SEALED_PREFIX + b64encode(box.seal(secret, context)).decode()


def is_sealed(value: str) -> bool:
    """Whether `seal_text` made it."""
    return value.startswith(_SEALED_PREFIX)


def rewrap_text(box: SecretBox, value: str, context: str) -> str:
    """The same secret under the current key; what is there already, or was never sealed, comes back as it
    is. Raises SecretUnreadable."""
    if not is_sealed(value):
        return value
    sealed = b64decode(value[len(_SEALED_PREFIX) :])
    return _SEALED_PREFIX + b64encode(box.rewrap(sealed, context)).decode()


def key_id_of(sealed: bytes | str) -> str | None:
    """Which key of the file opens it; None for what was never sealed."""
    if isinstance(sealed, str):
        if not is_sealed(sealed):
            return None
        sealed = b64decode(sealed[len(_SEALED_PREFIX) :])
    return sealed[len(_MAGIC) : len(_MAGIC) + _ID_BYTES].hex()


def unseal_text(box: SecretBox, value: str, context: str) -> str:
    """The secret of `seal_text`; a value that was never sealed comes back as it is."""
    if not is_sealed(value):
        return value
    return box.open_text(b64decode(value[len(_SEALED_PREFIX) :]), context)
