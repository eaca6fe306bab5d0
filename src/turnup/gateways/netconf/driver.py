"""Configuration of NETCONF elements: ports of subscribers, backup, rollback (RFC 6241, over SSH: RFC 6242).

One session a call: lock, read, one edit that holds as a whole or not at all (candidate and commit where the
element has them, else rollback-on-error), unlock. So two writers never interleave, and what is read under the
lock is what is changed. The session is ncclient's; it runs in a thread of its own, so that the deadline holds
whatever the element does.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import ClassVar, TypeVar

from ncclient import NCClientError, manager
from ncclient.operations import RPCError
from ncclient.transport import AuthenticationError, SSHUnknownHostError
from paramiko import SSHException

from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment
from turnup.contracts.inventory import ElementView
from turnup.gateways.netconf.interfaces import (
    FILTER,
    KIND,
    Port,
    attributes_of,
    edit_for,
    masked,
    read_ports,
    replacing,
)
from turnup.gateways.ownership import service_of
from turnup.gateways.transports.ssh import SshTarget
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import ServiceId
from turnup.runtime.database import refuse_in_transaction

T = TypeVar("T")
_PORT = "830"
_CANDIDATE = ":candidate"
_STARTUP = ":startup"
_BUSY = ("lock-denied", "in-use", "resource-denied")
"""RFC 6241, appendix A: errors that go away by themselves."""


class NetconfDriver:
    """Implements contracts.configuration.ElementDriver for elements of role `access`. Management keys: host,
    ssh_port (830), host_key_check. Credentials: username, private_key or password, host_key."""

    needs_credentials: ClassVar[bool] = True

    def read(
        self,
        element: ElementView,
        credentials: Credentials,
        services: Sequence[ServiceId] | None,
        *,
        deadline_s: float,
    ) -> Mapping[ServiceId, Fragment]:
        if services is not None and not services:
            return {}
        ports = _within(element, credentials, _ports, deadline_s)
        wanted = None if services is None else {str(service) for service in services}
        found = {}
        for port in ports.values():
            if port.key is None or port.withdrawn or (wanted is not None and port.key not in wanted):
                continue
            service_id = service_of(element, port.key)
            found[service_id] = Fragment(
                service_id=service_id, kind=KIND, attributes=attributes_of(port), generation=port.generation
            )
        return found

    def apply(
        self, element: ElementView, credentials: Credentials, changes: Sequence[Change], *, deadline_s: float
    ) -> tuple[str, ...]:
        def work(session: manager.Manager) -> str:
            with _exclusive(session) as target:
                edit = edit_for(changes, _ports(session), element.code)
                _put(session, target, edit)
            return edit

        return (_within(element, credentials, work, deadline_s),)

    def running_config(self, element: ElementView, credentials: Credentials, *, deadline_s: float) -> str:
        def work(session: manager.Manager) -> str:
            return str(session.get_config("running").data_xml)

        return masked(_within(element, credentials, work, deadline_s))

    def restore(
        self, element: ElementView, credentials: Credentials, config: str, *, deadline_s: float
    ) -> None:
        def work(session: manager.Manager) -> None:
            with _exclusive(session) as target:
                _put(session, target, replacing(config, str(session.get_config("running").data_xml)))

        _within(element, credentials, work, deadline_s)


def _ports(session: manager.Manager) -> dict[str, Port]:
    return read_ports(str(session.get_config("running", filter=("subtree", FILTER)).data_xml))


@contextmanager
def _exclusive(session: manager.Manager) -> Iterator[str]:
    """The element's datastores to oneself; the one to edit."""
    with session.locked("running"):
        if _CANDIDATE not in session.server_capabilities:
            yield "running"
            return
        with session.locked("candidate"):
            session.discard_changes()
            yield "candidate"


def _put(session: manager.Manager, target: str, edit: str) -> None:
    session.edit_config(target=target, config=edit, error_option="rollback-on-error")
    if target == "candidate":
        session.commit()
    if _STARTUP in session.server_capabilities:
        session.copy_config(source="running", target="startup")


def _within(
    element: ElementView, credentials: Credentials, work: Callable[[manager.Manager], T], deadline_s: float
) -> T:
    """`work` in a session of its own, within the deadline. Raises Unavailable and ElementRefused."""
    refuse_in_transaction(f"netconf {element.code}")
    until = time.monotonic() + deadline_s
    target = SshTarget.of(element, credentials)
    port = int(element.management.get("ssh_port", _PORT))
    try:
        line = socket.create_connection((target.host, port), timeout=deadline_s)
    except OSError as error:
        raise Unavailable(f"{element.code} cannot be reached by NETCONF: {error}") from error
    done: Future[T] = Future()
    threading.Thread(
        target=_converse,
        args=(target, port, line, until, work, done),
        name=f"netconf-{element.code}",
        daemon=True,
    ).start()
    try:
        return done.result(max(0.0, until - time.monotonic()))
    except TimeoutError as error:
        raise Unavailable(
            f"{element.code} did not answer within {deadline_s:.0f} s; what it did is unknown"
        ) from error
    except SSHUnknownHostError as error:
        raise ElementRefused(
            f"{element.code} shows another SSH host key than the one we hold",
            field="credentials.host_key",
            remedy="compare with the element's console before storing a new key: somebody may listen in",
        ) from error
    except AuthenticationError as error:
        raise ElementRefused(
            f"{element.code} does not accept the credentials",
            field="credentials",
            remedy="set them: turnup config credentials ELEMENT",
        ) from error
    except RPCError as error:
        if error.tag in _BUSY:
            raise Unavailable(f"{element.code}: {error.message or error.tag}") from error
        raise ElementRefused(f"{element.code}: {error.message or error.tag}") from error
    except (NCClientError, SSHException, OSError) as error:
        raise Unavailable(f"{element.code} broke off: {error}") from error
    finally:
        # whoever still waits for the element is woken
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def _converse(
    target: SshTarget,
    port: int,
    line: socket.socket,
    until: float,
    work: Callable[[manager.Manager], T],
    done: "Future[T]",
) -> None:
    try:
        with _key_file(target.private_key) as key_file:
            session = manager.connect_ssh(
                host=target.host,
                port=port,
                sock=line,
                username=target.username,
                password=target.password or None,
                key_filename=key_file,
                hostkey_b64=target.host_key.split()[1] if target.host_key else None,
                hostkey_verify=target.host_key is not None,
                allow_agent=False,
                look_for_keys=False,
                timeout=max(0.1, until - time.monotonic()),
            )
        session.timeout = max(0.1, until - time.monotonic())
        try:
            result = work(session)
        finally:
            with suppress(NCClientError):
                session.close_session()
        done.set_result(result)
    except Exception as error:  # noqa: BLE001  told to whoever waits
        done.set_exception(error)


@contextmanager
def _key_file(private_key: str | None) -> Iterator[str | None]:
    """A file that holds the key for as long as it is open, in memory: ncclient reads keys from files only."""
    if private_key is None:
        yield None
        return
    descriptor = os.memfd_create("key")
    try:
        os.write(descriptor, private_key.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
