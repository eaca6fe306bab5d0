"""Which way messages to customers take: to the mail server of the settings, else into files."""

from turnup.contracts.crm import MessageGateway
from turnup.gateways.mail.maildir import MaildirGateway
from turnup.gateways.mail.smtp import SmtpGateway
from turnup.kernel.clock import Clock
from turnup.runtime.secrets import SecretBox, unseal_text
from turnup.runtime.settings import Settings

PASSWORD = "mail_password"
"""The setting, and the context its value is sealed for."""


def mail_gateway(settings: Settings, box: SecretBox, clock: Clock) -> MessageGateway:
    """SMTP where `mail_host` is set, else a Maildir in the data directory. Raises SecretUnreadable where the
    sealed password does not open."""
    if settings.mail_host is None:
        return MaildirGateway(settings.data_dir / "mail", sender=settings.mail_sender, clock=clock)
    return smtp_gateway(settings, settings.mail_host, box, clock)


def smtp_gateway(
    settings: Settings, host: str, box: SecretBox, clock: Clock, *, timeout_s: float = 10.0
) -> SmtpGateway:
    password = settings.mail_password
    return SmtpGateway(
        host,
        settings.mail_port,
        sender=settings.mail_sender,
        username=settings.mail_username,
        password=None if password is None else unseal_text(box, password.get_secret_value(), PASSWORD),
        starttls=settings.mail_starttls,
        timeout_s=timeout_s,
        clock=clock,
    )
