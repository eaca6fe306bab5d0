"""Fills mediation's port for files by SFTP (draft-ietf-secsh-filexfer-02, as OpenSSH speaks it).

Writing goes to a temporary name and is renamed (`posix-rename@openssh.com` where the server has it), so that
nobody ever reads a part. Answers of the server are data: names are handed on as they are, and judged by
mediation before they name anything.
"""

import posixpath
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncssh
from asyncssh import SFTPClient

from turnup.contracts.configuration import ElementRefused
from turnup.contracts.mediation import FileServer, FilesRefused, RemoteFile
from turnup.gateways.transports.ssh import SshPool, SshTarget
from turnup.kernel.errors import Unavailable

T = TypeVar("T")

_TEMPORARY = ".part"
_LISTED_MAX = 20_000
"""Files in a folder: a listing is held in memory, and every poll notes what it saw."""
_BLOCK = 256 * 1024


class SftpFiles:
    """See contracts.mediation.FileGateway."""

    def __init__(self, pool: SshPool) -> None:
        self._pool = pool

    def listed(self, server: FileServer, folder: str, *, deadline_s: float) -> Sequence[RemoteFile]:
        async def work(sftp: SFTPClient) -> list[RemoteFile]:
            found: list[RemoteFile] = []
            async for entry in sftp.scandir(folder.encode()):  # bytes: one bad name must not hide the rest
                name = _text(entry.filename)
                if len(found) >= _LISTED_MAX:
                    raise FilesRefused(
                        f"{folder} holds more than {_LISTED_MAX} files",
                        field="folder",
                        remedy="let them clear it, or name a folder of its own",
                    )
                if entry.attrs.type == asyncssh.FILEXFER_TYPE_REGULAR:
                    found.append(RemoteFile(name, entry.attrs.size or 0, int(entry.attrs.mtime or 0)))
            return found

        return self._do(server, f"list {folder}", work, deadline_s)

    def fetch(
        self, server: FileServer, folder: str, name: str, *, bytes_max: int, deadline_s: float
    ) -> bytes | None:
        path = posixpath.join(folder, name)

        async def work(sftp: SFTPClient) -> bytes | None:
            try:
                async with sftp.open(path, "rb") as file:
                    return await _read(file, bytes_max)
            except asyncssh.SFTPNoSuchFile:
                return None

        content = self._do(server, f"read {path}", work, deadline_s)
        if content is not None and len(content) > bytes_max:
            raise FilesRefused(
                f"{path} is larger than {bytes_max} bytes",
                field="bytes_max",
                remedy="let them send smaller files, or raise it in the connector's document",
            )
        return content

    def put(self, server: FileServer, folder: str, name: str, content: bytes, *, deadline_s: float) -> None:
        path, draft = posixpath.join(folder, name), posixpath.join(folder, f".{name}{_TEMPORARY}")

        async def work(sftp: SFTPClient) -> None:
            await _ensure(sftp, folder)
            async with sftp.open(draft, "wb") as file:
                for start in range(0, len(content), _BLOCK):
                    await file.write(content[start : start + _BLOCK], start)
            await _rename(sftp, draft, path)

        self._do(server, f"write {path}", work, deadline_s)

    def move(
        self, server: FileServer, folder: str, file: RemoteFile, to: str, new_name: str, *, deadline_s: float
    ) -> bool:
        path = posixpath.join(folder, file.name)

        async def work(sftp: SFTPClient) -> bool:
            try:
                present = await sftp.lstat(path)
            except asyncssh.SFTPNoSuchFile:
                return False
            if (present.size, int(present.mtime or 0)) != (file.size, file.changed_at):
                return False
            await _ensure(sftp, to)
            target = posixpath.join(to, file.name)
            if await sftp.exists(target):
                target = posixpath.join(to, new_name)
            await _rename(sftp, path, target)
            return True

        return self._do(server, f"move {path} to {to}", work, deadline_s)

    def _do(
        self,
        server: FileServer,
        what: str,
        work: Callable[[SFTPClient], Awaitable[T]],
        deadline_s: float,
    ) -> T:
        target = SshTarget(
            name=server.connector,
            host=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            host_key=server.host_key,
            private_key=server.private_key,
        )
        try:
            return self._pool.sftp(target, work, deadline_s)
        except ElementRefused as error:
            by_key = error.field == "credentials.host_key"
            raise FilesRefused(
                error.message,
                field="sftp.host_key" if by_key else "credentials",
                remedy="compare the key with its owner before writing a new one: somebody may listen in"
                if by_key
                else f"set them: turnup connector credentials {server.connector}",
            ) from error
        except asyncssh.SFTPConnectionLost as error:
            raise Unavailable(f"{server.connector}: the connection broke off") from error
        except asyncssh.SFTPError as error:
            raise FilesRefused(
                f"cannot {what}: {error.reason}",
                field="folder",
                remedy="see whether the folder is there and the login may do this",
            ) from error


async def _read(file: Any, bytes_max: int) -> bytes:
    """One byte more than allowed, at the most."""
    content = bytearray()
    while block := await file.read(min(_BLOCK, bytes_max + 1 - len(content))):
        content += block
        if len(content) > bytes_max:
            break
    return bytes(content)


async def _ensure(sftp: SFTPClient, folder: str) -> None:
    if not await sftp.isdir(folder):
        await sftp.makedirs(folder, exist_ok=True)


async def _rename(sftp: SFTPClient, path: str, target: str) -> None:
    """Over what is there, at once where the server can."""
    try:
        await sftp.posix_rename(path, target)
    except asyncssh.SFTPOpUnsupported:
        if await sftp.exists(target):
            await sftp.remove(target)
        await sftp.rename(path, target)


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", errors="backslashreplace")
