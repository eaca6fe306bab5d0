"""A NAS's questions to a RADIUS server over UDP, one at a time; Message-Authenticator sent and checked."""

import hashlib
import secrets
import socket

from pyrad.packet import (
    AccessAccept,
    AccessReject,
    AccessRequest,
    AccountingResponse,
    AcctPacket,
    AuthPacket,
    PacketError,
)

from turnup.lab.radius import ACCT_CODE, DICTIONARY


def ask(
    host: str, secret: str, username: str, password: str, *, chap: bool = False, signed: bool = True,
    timeout_s: float = 2.0,
):  # fmt: skip
    """The verified answer of the server (pyrad packet), None when it keeps silent."""
    request = AuthPacket(
        code=AccessRequest, secret=secret.encode(), dict=DICTIONARY, id=secrets.randbelow(256)
    )
    request.authenticator = request.CreateAuthenticator()
    request["User-Name"] = username
    request["NAS-Identifier"] = "peer-test"
    if chap:
        challenge = secrets.token_bytes(16)
        digest = hashlib.md5(b"\x01" + password.encode() + challenge, usedforsecurity=False).digest()
        request["CHAP-Challenge"] = challenge
        request["CHAP-Password"] = b"\x01" + digest
    else:
        request[2] = [request.PwCrypt(password)]
    if signed:
        request.add_message_authenticator()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout_s)
        asking.connect((host, 1812))
        asking.send(request.RequestPacket())
        try:
            answer = request.CreateReply(packet=asking.recv(4096))
        except (TimeoutError, ConnectionRefusedError):
            return None
    try:
        assert request.VerifyReply(answer), "the answer is signed with another secret"
    except PacketError:
        return None
    assert answer.code in (AccessAccept, AccessReject)
    assert 80 in answer, "the answer has a Message-Authenticator too"
    return answer


def account(host: str, secret: str, nas: str, status: str, *, timeout_s: float = 3.0, **attributes):
    """Tell of a session (status: start, interim, stop, on, off); whether the server acknowledged it."""
    packet = AcctPacket(secret=secret.encode(), dict=DICTIONARY, id=secrets.randbelow(256))
    packet["NAS-Identifier"] = nas
    packet["Acct-Status-Type"] = ACCT_CODE[status]
    for name, value in attributes.items():
        packet[name.replace("_", "-")] = value
    packet.add_message_authenticator()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout_s)
        asking.connect((host, 1813))
        asking.send(packet.RequestPacket())
        try:
            answer = packet.CreateReply(packet=asking.recv(4096))
        except (TimeoutError, ConnectionRefusedError):
            return False
    return answer.code == AccountingResponse


def accepted(answer) -> bool:
    return answer is not None and answer.code == AccessAccept
