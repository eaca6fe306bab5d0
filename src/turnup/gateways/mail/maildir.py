"""Messages as files of a Maildir: nothing leaves the house, and a mail reader or `less` can open them."""

import os
from pathlib import Path

from turnup.contracts.crm import Message
from turnup.gateways.mail.rendering import fingerprint, render
from turnup.kernel.clock import Clock, SystemClock
from turnup.runtime.database import refuse_in_transaction


class MaildirGateway:
    """Implements contracts.crm.MessageGateway. A key that was sent before writes nothing."""

    def __init__(
        self, path: Path, *, sender: str = "Turnup <turnup@isp.example>", clock: Clock | None = None
    ) -> None:
        self._path = path
        self._sender = sender
        self._clock = clock or SystemClock()

    def send(self, message: Message) -> None:
        refuse_in_transaction("maildir")
        for folder in ("tmp", "new", "cur"):
            (self._path / folder).mkdir(parents=True, exist_ok=True)
        if message_files(self._path, message.key):
            return
        name = _name(message.key)
        mail = render(message, sender=self._sender, at=self._clock.now())
        scratch = self._path / "tmp" / f"{name}.{os.getpid()}"
        with scratch.open("wb") as file:
            file.write(mail.as_bytes().replace(b"\r\n", b"\n"))
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(self._path / "new" / name)


def message_files(path: Path, key: str) -> list[Path]:
    """Where the message with this key lies, read by somebody (`cur`) or not."""
    new = path / "new" / _name(key)
    return [*([new] if new.exists() else []), *sorted((path / "cur").glob(f"{_name(key)}*"))]


def _name(key: str) -> str:
    return f"{fingerprint(key)}.turnup"
