"""Sealed credentials: they open where they belong, and nowhere else."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from turnup.kernel.errors import InvalidInput
from turnup.runtime.secrets import SecretBox, SecretUnreadable, key_id_of, rewrap_text, seal_text, unseal_text


@pytest.fixture
def box(tmp_path: Path) -> SecretBox:
    return SecretBox(tmp_path / "keys" / "secret.key")


def test_what_is_sealed_opens_and_shows_nothing(box: SecretBox) -> None:
    sealed = box.seal("s3cret ü", "element:1")
    assert box.open_text(sealed, "element:1") == "s3cret ü"
    assert b"s3cret" not in sealed
    assert box.seal("s3cret ü", "element:1") != sealed


def test_a_value_moved_to_another_row_does_not_open(box: SecretBox) -> None:
    sealed = box.seal("x", "element:1")
    with pytest.raises(SecretUnreadable):
        box.open(sealed, "element:2")


@pytest.mark.parametrize("position", [0, 3, 8, 20, 40, 70, -1])
def test_any_changed_byte_is_noticed(box: SecretBox, position: int) -> None:
    sealed = bytearray(box.seal("secret", "c"))
    sealed[position] ^= 1
    with pytest.raises(SecretUnreadable):
        box.open(bytes(sealed), "c")
    with pytest.raises(SecretUnreadable):
        box.open(b"", "c")


def test_the_key_file_is_for_its_owner_only(box: SecretBox, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret.key"
    box.seal("x", "c")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="chmod 600"):
        SecretBox(path).seal("x", "c")


def test_rotation_keeps_the_old_readable_until_rewrapped(box: SecretBox, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret.key"
    other_process = SecretBox(path)
    old = box.seal("x", "c")
    assert other_process.open(old, "c") == b"x"
    key_id = box.add_key()
    new = box.rewrap(old, "c")
    assert box.rewrap(new, "c") == new
    assert new[3:7].hex() == key_id
    assert (box.open(old, "c"), other_process.open(new, "c")) == (b"x", b"x")  # it reads the file again
    path.write_text(path.read_text().splitlines()[-1] + "\n")
    assert SecretBox(path).open(new, "c") == b"x"
    with pytest.raises(SecretUnreadable, match="bring back the key file"):
        SecretBox(path).open(old, "c")


def test_first_use_by_many_makes_one_key(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    boxes = [SecretBox(path) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        sealed = list(pool.map(lambda box: box.seal("x", "c"), boxes))
    assert {SecretBox(path).open(value, "c") for value in sealed} == {b"x"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret.key"]


def test_a_damaged_key_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.touch(0o600)
    with pytest.raises(InvalidInput, match="holds no key"):
        SecretBox(path).seal("x", "c")
    path.write_text("nonsense\n")
    with pytest.raises(InvalidInput, match="line 1"):
        SecretBox(path).seal("x", "c")


def test_another_processs_rotation_counts_from_the_next_secret_on(box: SecretBox, tmp_path: Path) -> None:
    other_process = SecretBox(tmp_path / "keys" / "secret.key")
    first = other_process.seal("x", "c")
    key_id = box.add_key()
    assert key_id_of(first) == box.key_ids()[0]
    assert key_id_of(other_process.seal("x", "c")) == key_id


def test_sealed_text_is_rewrapped_and_clear_text_left(box: SecretBox) -> None:
    sealed = seal_text(box, "x", "c")
    key_id = box.add_key()
    wrapped = rewrap_text(box, sealed, "c")
    assert (key_id_of(wrapped), unseal_text(box, wrapped, "c")) == (key_id, "x")
    assert rewrap_text(box, wrapped, "c") == wrapped
    assert (rewrap_text(box, "clear", "c"), key_id_of("clear")) == ("clear", None)
