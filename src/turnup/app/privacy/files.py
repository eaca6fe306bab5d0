"""Files that hold something about people: messages in the Maildir, and logs by age."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from turnup.gateways.mail.maildir import message_files
from turnup.runtime.settings import Settings


def mails_of(settings: Settings, keys: Sequence[str]) -> list[Path]:
    """Messages that went into the data directory, by their keys."""
    return [path for key in keys for path in message_files(settings.data_dir / "mail", key)]


def mails_before(settings: Settings, before: datetime) -> list[Path]:
    folder = settings.data_dir / "mail"
    found = [path for name in ("tmp", "new", "cur") for path in (folder / name).glob("*")]
    return [path for path in found if _written(path) < before]


def logs_before(log_dirs: Sequence[Path], before: datetime) -> list[Path]:
    """Log files nobody has written to since; the present ones are always younger."""
    return [path for folder in log_dirs for path in folder.glob("*.log*") if _written(path) < before]


def delete(paths: Sequence[Path]) -> int:
    """How many were still there."""
    gone = 0
    for path in paths:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        gone += 1
    return gone


def _written(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.max.replace(tzinfo=UTC)
