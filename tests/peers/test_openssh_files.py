"""Connectors against the real thing: OpenSSH's sshd with sftp-server, on a high port of loopback."""

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from turnup.contracts.mediation import FileServer, FilesRefused, RemoteFile
from turnup.gateways.sftp.files import SftpFiles
from turnup.gateways.transports.ssh import SshPool

SSHD, SFTP_SERVER = "/usr/sbin/sshd", "/usr/lib/openssh/sftp-server"
SLOW_S = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    for binary in (SSHD, SFTP_SERVER):
        if not Path(binary).exists():
            pytest.skip(f"no {binary}: make peers")
    home = tmp_path_factory.mktemp("sshd")
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(home / "host")
    (home / "host").chmod(0o600)
    (home / "authorized").write_bytes(user.export_public_key())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nPidFile {home}/pid\nUsePAM no\n"
        f"AuthorizedKeysFile {home}/authorized\nStrictModes no\nPasswordAuthentication no\n"
        f"PermitRootLogin prohibit-password\nSubsystem sftp {SFTP_SERVER}\n"
    )
    if getpass.getuser() == "root":
        Path("/run/sshd").mkdir(exist_ok=True)
    command = [SSHD, "-D", "-e", "-f", str(home / "config")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield FileServer(
        connector="openssh",
        host="127.0.0.1",
        port=port,
        host_key=" ".join(host.export_public_key().decode().split()[:2]),
        username=getpass.getuser(),
        private_key=user.export_private_key().decode(),
    )
    process.terminate()
    process.wait(10)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_files_are_listed_read_moved_and_written_whole(server: FileServer, folder: Path) -> None:
    files = SftpFiles(SshPool())
    content = b"id;name\r\n" + b"1;x\r\n" * 200_000
    (folder / "a.csv").write_bytes(content)
    (folder / "link.csv").symlink_to(folder / "a.csv")
    (folder / "below").mkdir()
    (folder.joinpath("b\udce4.csv")).write_bytes(b"x")  # not UTF-8: must not hide the others
    found = {file.name: file for file in files.listed(server, str(folder), deadline_s=SLOW_S)}
    assert set(found) == {"a.csv", "b\\xe4.csv"} and found["a.csv"].size == len(content)
    got = files.fetch(server, str(folder), "a.csv", bytes_max=10_000_000, deadline_s=SLOW_S)
    assert got == content
    assert files.fetch(server, str(folder), "none.csv", bytes_max=10, deadline_s=SLOW_S) is None
    with pytest.raises(FilesRefused, match="larger"):
        files.fetch(server, str(folder), "a.csv", bytes_max=1000, deadline_s=SLOW_S)

    def move(file: RemoteFile) -> bool:
        return files.move(server, str(folder), file, f"{folder}/done/x", "a.2", deadline_s=SLOW_S)

    assert not move(RemoteFile("a.csv", 1, 1))  # another file by now
    assert move(found["a.csv"]) and not move(found["a.csv"])
    assert (folder / "done" / "x" / "a.csv").read_bytes() == content
    for _ in range(2):
        files.put(server, f"{folder}/out", "o.csv", content, deadline_s=SLOW_S)
    assert [path.name for path in (folder / "out").iterdir()] == ["o.csv"]
    assert (folder / "out" / "o.csv").read_bytes() == content


def test_a_folder_we_may_not_use_and_another_host_key_are_refused(server: FileServer, folder: Path) -> None:
    files = SftpFiles(SshPool())
    with pytest.raises(FilesRefused) as raised:
        files.listed(server, f"{folder}/none", deadline_s=SLOW_S)
    assert raised.value.field == "folder"
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()
    stranger = FileServer(
        connector="openssh",
        host=server.host,
        port=server.port,
        host_key=" ".join(other[:2]),
        username=server.username,
        private_key=server.private_key,
    )
    with pytest.raises(FilesRefused) as raised:
        files.listed(stranger, str(folder), deadline_s=SLOW_S)
    assert raised.value.field == "sftp.host_key"
