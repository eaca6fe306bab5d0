"""SSH to network elements: one kept connection per element and user, many channels on it at once.

The host key is always checked against the one we hold. There is no trust on first use: an element without a
known key is refused, unless its management says ``host_key_check: off``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import asyncssh
import structlog

from turnup.contracts.configuration import Credentials, ElementRefused
from turnup.contracts.inventory import ElementView
from turnup.gateways.transports import loop
from turnup.kernel.errors import Unavailable
from turnup.runtime.database import refuse_in_transaction

log = structlog.get_logger(__name__)

T = TypeVar("T")

_PORT = 22
_KEEPALIVE_S = 15
_RETIRED_S = 60
_GONE = (OSError, asyncssh.ConnectionLost, asyncssh.ChannelOpenError, asyncssh.DisconnectError)


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where, as whom, and which host key must answer. Equal targets share a connection."""

    name: str
    host: str
    port: int
    username: str
    password: str = field(repr=False)
    host_key: str | None
    """As in a known_hosts line: ``ssh-ed25519 AAAA…``; None only where `insecure_accept_any_host_key`."""
    insecure_accept_any_host_key: bool = False
    private_key: str | None = field(default=None, repr=False)
    """Log in by this key instead of the password (OpenSSH format)."""

    @classmethod
    def of(cls, element: ElementView, credentials: Credentials) -> "SshTarget":
        """From the element's management keys `host`, `ssh_port` (22) and `host_key_check` (on). Raises
        ElementRefused when there is no host key to check."""
        if "host" not in element.management:
            raise ElementRefused(
                f"{element.code} has no management host", field="management.host", remedy="add it"
            )
        insecure = element.management.get("host_key_check") == "off"
        if credentials.host_key is None and not insecure:
            raise ElementRefused(
                f"no SSH host key is known for {element.code}",
                field="credentials.host_key",
                remedy="store the key that the element shows on its console with its credentials",
            )
        return cls(
            name=element.code,
            host=element.management["host"],
            port=int(element.management.get("ssh_port", "22")),
            username=credentials.username,
            password=credentials.password,
            host_key=credentials.host_key,
            insecure_accept_any_host_key=insecure,
            private_key=credentials.private_key,
        )

    @property
    def known_hosts(self) -> bytes | None:
        if self.host_key is None:
            return None
        host = self.host if self.port == _PORT else f"[{self.host}]:{self.port}"
        return f"{host} {self.host_key}\n".encode()


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a batch printed. `status` None: the connection died, and the outcome is unknown."""

    stdout: str
    status: int | None


class SshPool:
    """Kept connections of this process. Thread-safe: all work happens in the event-loop thread."""

    def __init__(self) -> None:
        self._connections: dict[SshTarget, asyncssh.SSHClientConnection] = {}
        self._connecting: dict[SshTarget, asyncio.Lock] = {}

    def exec(
        self, target: SshTarget, batch: str, deadline_s: float, *, given: str | None = None
    ) -> ExecResult:
        """Run one exec request, with `given` as its standard input. Raises Unavailable when the element
        cannot be reached or does not answer in time, ElementRefused when it is not who we
        think it is, or does not let us in."""
        refuse_in_transaction(f"ssh {target.name}")
        return loop.run(self._exec(target, batch, given), deadline_s, target.name)

    def sftp(
        self, target: SshTarget, work: Callable[[asyncssh.SFTPClient], Awaitable[T]], deadline_s: float
    ) -> T:
        """Do this with an SFTP session of its own on the kept connection. Raises as `exec`, and what `work`
        raises (asyncssh.SFTPError); a connection that breaks meanwhile raises Unavailable."""
        refuse_in_transaction(f"sftp {target.name}")
        return loop.run(self._sftp(target, work), deadline_s, target.name)

    def close(self) -> None:
        """Hang up everywhere; the next call connects anew."""

        async def hang_up() -> None:
            connections = list(self._connections.values())
            self._connections.clear()
            for connection in connections:
                connection.abort()

        loop.run(hang_up(), 5.0)

    async def _exec(self, target: SshTarget, batch: str, given: str | None) -> ExecResult:
        process = await self._open(target, batch, given)
        try:
            if given is not None:
                process.stdin.write(given)
                process.stdin.write_eof()
            done = await process.wait()
        except _GONE:
            return ExecResult("", None)
        except asyncio.CancelledError:  # the deadline passed: the peer may be gone without a word
            self._retire(target)
            raise
        finally:
            process.close()  # given up: the element drops our candidate and its lock
        return ExecResult(str(done.stdout or ""), done.exit_status)

    async def _sftp(self, target: SshTarget, work: Callable[[asyncssh.SFTPClient], Awaitable[T]]) -> T:
        client = await self._start_sftp(target)
        try:
            return await work(client)
        except asyncssh.SFTPError:
            raise  # an answer, or the loss of one, that the caller knows what to do with
        except _GONE as error:
            raise Unavailable(f"{target.name} closed the connection") from error
        except asyncio.CancelledError:
            self._retire(target)
            raise
        finally:
            client.exit()

    async def _start_sftp(self, target: SshTarget) -> asyncssh.SFTPClient:
        """A kept connection that turns out to be dead is replaced once."""
        for kept in (target in self._connections, False):
            connection = await self._connection(target)
            try:
                return await connection.start_sftp_client()
            except (*_GONE, asyncssh.SFTPError) as error:
                self._forget(target, connection)
                if not kept:
                    raise Unavailable(f"{target.name} offers no SFTP: {error}") from error
        raise Unavailable(f"{target.name} offers no SFTP")

    async def _open(self, target: SshTarget, batch: str, given: str | None) -> asyncssh.SSHClientProcess[str]:
        """Start the batch on a channel. A kept connection that turns out to be dead is replaced once."""
        kept = target in self._connections
        stdin = asyncssh.DEVNULL if given is None else asyncssh.PIPE
        connection = await self._connection(target)
        try:
            return await connection.create_process(batch, stdin=stdin)
        except _GONE as error:
            self._forget(target, connection)
            if not kept:
                raise Unavailable(f"{target.name} closed the connection") from error
        connection = await self._connection(target)
        try:
            return await connection.create_process(batch, stdin=stdin)
        except _GONE as error:
            self._forget(target, connection)
            raise Unavailable(f"{target.name} closed the connection") from error

    def _retire(self, target: SshTarget) -> None:
        """Use a suspect connection no more, yet let the others who talk on it finish."""
        suspect = self._connections.pop(target, None)
        if suspect is not None:
            asyncio.get_running_loop().call_later(_RETIRED_S, suspect.abort)

    def _forget(self, target: SshTarget, connection: asyncssh.SSHClientConnection) -> None:
        if self._connections.get(target) is connection:
            del self._connections[target]
        connection.abort()

    async def _connection(self, target: SshTarget) -> asyncssh.SSHClientConnection:
        async with self._connecting.setdefault(target, asyncio.Lock()):
            kept = self._connections.get(target)
            if kept is not None and not kept.is_closed():
                return kept
            self._connections.pop(target, None)
            made = await self._connect(target)
            self._connections[target] = made
            return made

    @staticmethod
    async def _connect(target: SshTarget) -> asyncssh.SSHClientConnection:
        by_key = target.private_key is not None
        if target.insecure_accept_any_host_key and target.host_key is None:
            log.warning("ssh_host_key_not_checked", element=target.name)
        try:
            return await asyncssh.connect(
                target.host,
                target.port,
                username=target.username,
                password=target.password,
                known_hosts=target.known_hosts,
                config=None,
                client_keys=[_private_key(target)] if by_key else None,
                agent_path=None,
                preferred_auth="publickey" if by_key else "password,keyboard-interactive",
                keepalive_interval=_KEEPALIVE_S,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise ElementRefused(
                f"{target.name} shows another SSH host key than the one we hold",
                field="credentials.host_key",
                remedy="compare with the element's console before storing a new key: somebody may listen in",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise ElementRefused(
                f"{target.name} does not accept the credentials",
                field="credentials",
                remedy="set them: turnup config credentials ELEMENT",
            ) from error
        except (OSError, asyncssh.Error) as error:
            raise Unavailable(f"{target.name} cannot be reached by SSH: {error}") from error


def _private_key(target: SshTarget) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(target.private_key or "")
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise ElementRefused(
            f"the private key for {target.name} cannot be read",
            field="credentials.private_key",
            remedy="store it in OpenSSH's own format, without a passphrase",
        ) from None
