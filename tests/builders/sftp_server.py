"""An SFTP server on loopback, in a thread: a folder of files, a user, a password; its log of renames."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

USER, PASSWORD = "turnup", "let me in"


@dataclass
class SftpPeer:
    """`names`: what a listing adds that is not there: a hostile server's tale. `log`: renames, in order."""

    root: Path
    port: int = 0
    host_key: str = ""
    names: list[str] = field(default_factory=list)
    log: list[tuple[str, str]] = field(default_factory=list)

    def write(self, path: str, content: str | bytes, encoding: str = "utf-8") -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))

    def read(self, path: str) -> str:
        return (self.root / path).read_bytes().decode()

    def listing(self, folder: str) -> list[str]:
        found = self.root / folder
        return sorted(path.name for path in found.iterdir()) if found.is_dir() else []


@contextmanager
def sftp_server(root: Path) -> Iterator[SftpPeer]:
    peer = SftpPeer(root)
    key = asyncssh.generate_private_key("ssh-ed25519")
    peer.host_key = " ".join(key.export_public_key().decode().split()[:2])

    class Files(asyncssh.SFTPServer):
        def __init__(self, chan: Any) -> None:
            super().__init__(chan, chroot=str(root))

        async def scandir(self, path: bytes) -> Any:
            async for entry in super().scandir(path):
                yield entry
            for name in peer.names:
                attrs = asyncssh.SFTPAttrs(permissions=0o100644, size=1, mtime=1)
                yield asyncssh.SFTPName(name.encode(), attrs=attrs)

        def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
            peer.log.append((oldpath.decode(), newpath.decode()))
            return super().posix_rename(oldpath, newpath)

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sftp-peer", daemon=True)
    thread.start()

    async def listen() -> Any:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Server, server_host_keys=[key], sftp_factory=Files
        )

    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    peer.port = acceptor.get_port()
    yield peer
    loop.call_soon_threadsafe(acceptor.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
