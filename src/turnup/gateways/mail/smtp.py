"""Messages by SMTP to the house's mail server, which queues and delivers them."""

import smtplib
import ssl

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
        """Raises Unavailable when the server is away or asks to come back, InvalidInput when it refuses."""
        refuse_in_transaction("smtp")
        mail = render(message, sender=self._sender, at=self._clock.now())
        try:
            with smtplib.SMTP(self._host, self._port, timeout=self._timeout_s) as server:
                if self._starttls:
                    server.starttls(context=ssl.create_default_context())
                if self._login:
                    server.login(*self._login)
                server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            code, reason = next(iter(error.recipients.values()))
            raise _refusal(code, reason) from error
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, error.smtp_error) from error
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"the mail server does not answer: {error}") from error


def _refusal(code: int, reason: bytes | str) -> Exception:
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
    if 400 <= code < 500:
        return Unavailable(f"the mail server asks to try again later: {code} {text}")
    return InvalidInput(f"the mail server refuses the message: {code} {text}", field="to")
