"""An installation per module: embedded PostgreSQL, the lab; workers only where a test starts them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.recovery_rig import Rig
from inline_run import Saga

from turnup.kernel.ids import new_id


@pytest.fixture(scope="module")
def running_rig() -> Iterator[Rig]:
    # by module: a worker would take up what another module has enqueued and done by hand
    # not pytest's tmp_path: it is closed to the account that runs PostgreSQL when we are root
    with Rig(Path(tempfile.gettempdir()) / f"turnup-recovery-{new_id().hex[-8:]}") as running:
        yield running


@pytest.fixture
def rig(running_rig: Rig) -> Rig:
    if running_rig.spoiled:
        pytest.skip("a trial before this one went wrong and left its traces: see the first failure")
    return running_rig


@pytest.fixture
def saga(rig: Rig) -> Iterator[Saga]:
    """Orders run step by step, by hand; the lab tells the truth again afterwards."""
    yield Saga(rig)
    rig.stand.lab.clear_lies()
