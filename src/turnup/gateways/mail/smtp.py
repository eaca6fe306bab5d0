"""Messages by SMTP to the house's mail server, which queues and delivers them."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from turnup.contracts.crm import Message
from turnup.gateways.mail.rendering import render
from turnup.kernel.clock import Clock, SystemClock
from turnup.kernel.errors import InvalidInput, Unavailable
from turnup.runtime.database import refuse_in_transaction


class SmtpGateway:
    """Implements contracts.crm.MessageGateway. A repeated send has the same Message-ID, by which mail
    servers and readers recognise it. TLS is demanded unless `starttls` is False."""

    def __init__(
        self,
        host: str,
        port: int = 587,
        *,
        sender: str,
        username: str | None = None,
        password: str | None = None,
        starttls: bool = True,
        timeout_s: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._login = (username, password or "") if username else None
        self._starttls = starttls
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()

    def send(self, message: Message) -> None:
        """Raises Unavailable when the server is away, asks to come back or refuses us (the message may yet
        be sent), InvalidInput when it refuses this message or its recipient."""
        refuse_in_transaction("smtp")
        mail = render(message, sender=self._sender, at=self._clock.now())
        with self._conversation() as server:
            server.send_message(mail)

    def check(self) -> None:
        """Connect, secure, log in, and leave. Raises Unavailable with what is in the way."""
        refuse_in_transaction("smtp")
        with self._conversation():
            pass

    @contextmanager
    def _conversation(self) -> Iterator[smtplib.SMTP]:
        try:
            with smtplib.SMTP(self._host, self._port, timeout=self._timeout_s) as server:
                if self._starttls:
                    server.starttls(context=ssl.create_default_context())
                if self._login:
                    server.login(*self._login)
                yield server
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPSenderRefused) as error:
            # our settings are wrong, not the message: it waits until they are mended
            setting = "mail_password" if isinstance(error, smtplib.SMTPAuthenticationError) else "mail_sender"
            raise Unavailable(
                f"the mail server refuses us: {error.smtp_code} {_text(error.smtp_error)}",
                field=setting,
                remedy=f"set TURNUP_{setting.upper()} as the mail server wants it",
            ) from error
        except smtplib.SMTPRecipientsRefused as error:
            code, reason = next(iter(error.recipients.values()))
            raise _refusal(code, reason) from error
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, error.smtp_error) from error
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(
                f"the mail server does not answer: {error}",
                field="mail_host",
                remedy=f"is {self._host}:{self._port} the mail server, and up?",
            ) from error


def _refusal(code: int, reason: bytes | str) -> Exception:
    if 400 <= code < 500:
        return Unavailable(f"the mail server asks to try again later: {code} {_text(reason)}")
    return InvalidInput(f"the mail server refuses the message: {code} {_text(reason)}", field="to")


def _text(reason: bytes | str) -> str:
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
