"""SSH transport of the CLI: interactive shells and exec batches, over asyncssh.

An exec request may hold a whole batch of commands; all output comes back in one answer, the batch stops at
its first error with exit status 1, and its uncommitted candidate is dropped.
"""

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path

import asyncssh

from turnup.lab.cli import CliSession, Reply, split_batch
from turnup.lab.device import Device

ANSWER_LEAVES_S = 0.01
"""How long an answer is given to leave before the power goes."""


class _Server(asyncssh.SSHServer):
    """One SSH connection to a device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._conn: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        if self._device.reachable:
            self._device.connections.add(conn)
        else:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._conn is not None:
            self._device.connections.discard(self._conn)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        known = self._device.knows(username, password)
        self._device.log("LOGIN" if known else "LOGIN_FAILED", f"user {username}")
        return known

    def session_requested(self) -> "_Session":
        assert self._conn is not None
        return _Session(self._device, self._conn)


class _Session(asyncssh.SSHServerSession[str]):
    """One channel: a shell or one exec batch. Each has its own CLI session."""

    def __init__(self, device: Device, conn: asyncssh.SSHServerConnection) -> None:
        host, port = (conn.get_extra_info("peername") or ("?", 0))[:2]
        self._cli = CliSession(device, conn.get_extra_info("username") or "?", f"{host}:{port}")
        self._device = device
        self._conn = conn
        self._batch: str | None = None
        self._rest = ""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[str]) -> None:
        self._chan = chan

    def pty_requested(
        self, term_type: str, term_size: tuple[int, int, int, int], term_modes: Mapping[int, int]
    ) -> bool:
        return True

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self._batch = command
        return True

    def session_started(self) -> None:
        work = self._shell() if self._batch is None else self._exec(self._batch)
        self._task = asyncio.get_running_loop().create_task(work)

    def data_received(self, data: str, datatype: asyncssh.DataType) -> None:
        self._rest += data.replace("\r\n", "\n").replace("\r", "\n")
        *whole, self._rest = self._rest.split("\n")
        for line in whole:
            self._lines.put_nowait(line)

    def eof_received(self) -> bool:
        self._lines.put_nowait(None)
        return True

    def break_received(self, msec: int) -> bool:
        self._lines.put_nowait("")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._cli.close()
        if self._task is not None and not self._task.done():
            self._task.cancel()

    async def _settle(self, reply: Reply) -> bool:
        """Wait or abort as the reply wants; False when there is nobody left to answer."""
        if reply.drop or not self._device.reachable:
            self._conn.abort()
            return False
        if reply.delay_ms:
            await asyncio.sleep(reply.delay_ms / 1000)
        return True

    async def _exec(self, batch: str) -> None:
        out: list[str] = []
        after: Reply | None = None
        failed = False
        for line in split_batch(batch):
            prompt = self._cli.prompt
            reply = self._cli.run(line)
            if not await self._settle(reply):
                return
            if self._cli.echo and line.strip():
                out.append(f"{prompt}{line.strip()}")
            out += reply.lines
            failed = reply.failed
            if reply.failed or reply.close or reply.then:
                after = reply
                break
        self._cli.close()
        if out:
            self._chan.write("\n".join([*out, ""]))
        self._chan.exit(1 if failed else 0)
        self._afterwards(after)

    async def _shell(self) -> None:
        self._chan.write(self._cli.prompt)
        while (line := await self._lines.get()) is not None:
            reply = self._cli.run(line)
            if not await self._settle(reply):
                return
            if self._cli.echo is not None and isinstance(self._chan, asyncssh.SSHLineEditorChannel):
                self._chan.set_echo(self._cli.echo)
            self._chan.write("\n".join([*reply.lines, "" if reply.close else self._cli.prompt]))
            if reply.close:
                self._cli.close()
                self._chan.exit(0)
            self._afterwards(reply)
            if reply.close:
                return
        self._chan.exit(0)

    @staticmethod
    def _afterwards(reply: Reply | None) -> None:
        """Do what comes after the answer, whether or not the caller waits for it."""
        if reply is not None and reply.then is not None:
            asyncio.get_running_loop().call_later(ANSWER_LEAVES_S, reply.then)


def host_key(state_dir: Path, name: str) -> asyncssh.SSHKey:
    """The device's host key, made once."""
    file = state_dir / "host_keys" / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        made = asyncssh.generate_private_key("ssh-ed25519", comment=name)
        file.touch(mode=0o600)
        made.write_private_key(str(file))
    return asyncssh.read_private_key(str(file))


async def serve_ssh(device: Device, sock: socket.socket, key: asyncssh.SSHKey) -> asyncssh.SSHAcceptor:
    """Listen on an already bound socket. The port stays ours while the device is off: callers see a reset."""
    return await asyncssh.listen(
        sock=sock,
        server_factory=lambda: _Server(device),
        server_host_keys=[key],
        server_version="tlos",
        public_key_auth=False,
        compression_algs=["none"],
        encryption_algs=["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes256-ctr"],  # cheapest first
        login_timeout=10,
    )
