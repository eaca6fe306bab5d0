"""Puts a prepared cluster in the place of the present one, whole or not at all, whenever the process dies.

A directory cannot be exchanged for another in one step everywhere, so the intention is written down first
(`exchange.json`). Whoever comes next to this data directory, `turnup up` or the same command again, finishes
it before anything else: without that, an engine would find no cluster and lay out an empty one.
The replaced cluster is kept, under `replaced/`, until it is told to go.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from turnup.runtime import faultpoint
from turnup.runtime.embedded.layout import Layout, read_json, write_json


@dataclass(frozen=True, slots=True)
class Replaced:
    """A cluster that was put aside. `name` is what `discard` wants to hear."""

    name: str
    path: Path
    size_bytes: int


def begin(layout: Layout, staged: Path, name: str) -> Path:
    """Note that the cluster `staged` (inside the data directory) shall take the place of the present one, and
    do it. Returns where the present one was put. Call with the data directory's lock held."""
    replaced = layout.replaced / name
    write_json(
        layout.exchange_file,
        {
            "staged": str(staged.relative_to(layout.data_dir)),
            "replaced": str(replaced.relative_to(layout.data_dir)),
        },
    )
    sync_folder(layout.data_dir)
    faultpoint.reach("exchange.noted")
    finish(layout)
    return replaced


def finish(layout: Layout) -> bool:
    """Bring an exchange that was noted to its end; True if there was one. Safe to repeat."""
    noted = read_json(layout.exchange_file)
    if noted is None:
        return False
    staged, replaced = layout.data_dir / noted["staged"], layout.data_dir / noted["replaced"]
    if staged.exists():
        if layout.cluster.exists():
            replaced.parent.mkdir(mode=0o755, exist_ok=True)
            layout.cluster.rename(replaced)
            sync_folder(replaced.parent)
        faultpoint.reach("exchange.put_aside")
        layout.engine.mkdir(parents=True, exist_ok=True)
        staged.rename(layout.cluster)
        sync_folder(layout.engine)
    faultpoint.reach("exchange.done")
    layout.exchange_file.unlink()
    sync_folder(layout.data_dir)
    return True


def replaced_clusters(layout: Layout) -> list[Replaced]:
    """What was put aside and is still there, the oldest first."""
    if not layout.replaced.is_dir():
        return []
    found = sorted(path for path in layout.replaced.iterdir() if path.is_dir())
    return [Replaced(path.name, path, folder_size(path)) for path in found]


def discard(layout: Layout, name: str) -> None:
    """Delete a replaced cluster for good."""
    shutil.rmtree(layout.replaced / name)


def folder_size(folder: Path) -> int:
    """Bytes of all files below; what vanishes meanwhile counts nothing."""
    total = 0
    for root, _, files in os.walk(folder):
        for file in files:
            try:
                total += Path(root, file).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def sync_folder(folder: Path) -> None:
    """Have the names in this folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
