"""Messages to customers: a Maildir of readable files, and SMTP to a server that behaves like one."""

import email
import socketserver
import threading
from datetime import UTC, datetime
from email.policy import default

import pytest

from turnup.contracts.crm import Message
from turnup.gateways.mail.maildir import MaildirGateway
from turnup.gateways.mail.smtp import SmtpGateway
from turnup.kernel.clock import ManualClock
from turnup.kernel.errors import InvalidInput, Unavailable

CLOCK = ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))
HELLO = Message(
    key="welcome:1", to="anna@example.org", subject="Grüß Gott", body="Schön, dass Sie da sind.\n"
)


def test_a_message_is_a_readable_file_once(tmp_path):
    gateway = MaildirGateway(tmp_path, clock=CLOCK)
    for _ in range(2):
        gateway.send(HELLO)
    (file,) = (tmp_path / "new").iterdir()
    assert "Schön, dass Sie da sind." in file.read_text()
    mail = email.message_from_bytes(file.read_bytes(), policy=default)
    assert (mail["Subject"], mail["To"]) == ("Grüß Gott", "anna@example.org")
    assert mail["Date"].datetime == CLOCK.now()
    (tmp_path / "cur").joinpath(file.name + ":2,S").write_bytes(file.read_bytes())
    file.unlink()
    gateway.send(HELLO)  # read already: still sent
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    "message",
    [
        Message(key="x", to="anna@example.org\nBcc: all@example.org", subject="s", body="b"),
        Message(key="x", to="anna@example.org", subject="s\r\nBcc: all@example.org", body="b"),
        Message(key="x", to="", subject="s", body="b"),
        Message(key="x", to="anna", subject="s", body="b"),
    ],
)
def test_what_is_no_header_or_address_is_refused(tmp_path, message):
    with pytest.raises(InvalidInput):
        MaildirGateway(tmp_path, clock=CLOCK).send(message)
    assert not list((tmp_path / "new").iterdir())


class _Conversation(socketserver.StreamRequestHandler):
    """A minimal SMTP server (RFC 5321): keeps what it got; `verdict` answers RCPT TO."""

    def handle(self):
        self.say("220 ready")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "DATA":
                self.say("354 go on")
                got = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    got += part
                self.server.got.append(got)
                self.say("250 kept")
            elif word == "MAIL":
                self.say(self.server.sender_verdict)
            elif word == "AUTH":
                self.say(self.server.login_verdict)
            elif word == "RCPT":
                self.say(self.server.verdict)
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250-8BITMIME\r\n250 AUTH PLAIN" if word == "EHLO" else "250 ok")

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")


@pytest.fixture
def smtp():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Conversation) as server:
        server.got, server.verdict = [], "250 ok"
        server.sender_verdict, server.login_verdict = "250 ok", "235 welcome"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def gateway_to(server, **more):
    return SmtpGateway(
        "127.0.0.1", server.server_address[1], sender="isp@isp.example", starttls=False, clock=CLOCK, **more
    )


def test_the_same_key_is_the_same_message_to_the_server(smtp):
    gateway = gateway_to(smtp)
    for _ in range(2):
        gateway.send(HELLO)
    first, second = (email.message_from_bytes(got, policy=default) for got in smtp.got)
    assert first["Message-ID"] == second["Message-ID"] != None  # noqa: E711
    assert first.get_content().strip() == "Schön, dass Sie da sind."


def test_later_and_never_are_told_apart(smtp):
    gateway = gateway_to(smtp)
    smtp.verdict = "450 greylisted"
    with pytest.raises(Unavailable):
        gateway.send(HELLO)
    smtp.verdict = "550 no such user"
    with pytest.raises(InvalidInput):
        gateway.send(HELLO)
    smtp.shutdown()
    smtp.server_close()
    with pytest.raises(Unavailable):
        gateway.send(HELLO)


def test_a_refusal_of_ours_is_no_refusal_of_the_message(smtp):
    """A wrong password must not make every message of the day undeliverable for ever."""
    gateway = gateway_to(smtp, username="isp", password="wrong")
    gateway.check()
    smtp.login_verdict = "535 no"
    for attempt in (gateway.check, lambda: gateway.send(HELLO)):
        with pytest.raises(Unavailable) as caught:
            attempt()
        assert caught.value.field == "mail_password"
    smtp.login_verdict, smtp.sender_verdict = "235 welcome", "550 not your domain"
    with pytest.raises(Unavailable) as caught:
        gateway.send(HELLO)
    assert caught.value.field == "mail_sender"
    assert smtp.got == []


def test_a_check_sends_nothing_and_tls_is_demanded(smtp):
    gateway_to(smtp).check()
    assert smtp.got == []
    secured = SmtpGateway("127.0.0.1", smtp.server_address[1], sender="isp@isp.example", clock=CLOCK)
    with pytest.raises(Unavailable, match="STARTTLS"):
        secured.check()
