"""A contracts.crm.Message as an Internet message (RFC 5322). Its Message-ID follows from the key: a message
sent twice is recognisably one."""

import hashlib
from datetime import datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from turnup.contracts.crm import Message
from turnup.kernel.errors import InvalidInput

_POLICY = SMTP.clone(cte_type="8bit")


def fingerprint(key: str) -> str:
    """A name for the key that is safe in headers and file names."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def render(message: Message, *, sender: str, at: datetime) -> EmailMessage:
    """Raises InvalidInput where a header cannot be one (a line break in a subject or an address)."""
    mail = EmailMessage(policy=_POLICY)
    headers = {
        "From": sender,
        "To": message.to,
        "Subject": message.subject,
        "Date": format_datetime(at),
        "Message-ID": f"<{fingerprint(message.key)}@{sender.rpartition('@')[2].rstrip('>')}>",
        **message.headers,
    }
    for name, value in headers.items():
        try:
            mail[name] = value
        except (ValueError, MessageError) as error:
            raise InvalidInput(f"{name} cannot be a mail header: {error}", field=name.lower()) from error
    if not mail["To"].addresses or any(not each.domain for each in mail["To"].addresses):
        raise InvalidInput("no valid mail address", field="to", remedy="correct the customer's address")
    mail.set_content(message.body, cte="8bit")
    return mail
