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
        name = f"{fingerprint(message.key)}.turnup"
        if (self._path / "new" / name).exists() or any((self._path / "cur").glob(f"{name}*")):
            return
        mail = render(message, sender=self._sender, at=self._clock.now())
        scratch = self._path / "tmp" / f"{name}.{os.getpid()}"
        with scratch.open("wb") as file:
            file.write(mail.as_bytes().replace(b"\r\n", b"\n"))
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(self._path / "new" / name)
