"""The real lab for tests: one at a time on a machine, and a clear reason where it cannot be built."""

import fcntl
from pathlib import Path

import pytest
from benchmarks.real_rig import RealRig

from turnup.lab.real import lab, namespaces, plan
from turnup.lab.real.machine import RealLabError, require
from turnup.lab.real.pppoe.guest import require_guests

_LOCK = Path("/run/lock/turnup-peers")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(pytest.mark.peers)


def guests_or_skip():
    """A reason where User-Mode-Linux guests cannot be run."""
    try:
        require_guests()
    except RealLabError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def alone():
    """The machine to oneself: labs share names and addresses."""
    try:
        require()
    except RealLabError as reason:
        pytest.skip(str(reason))
    with _LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if namespaces.noted(plan.HOME)[0]:
            pytest.skip("somebody's real lab runs here: `turnup lab down` removes it")
        yield


@pytest.fixture(scope="module")
def real_lab(alone):
    """The lab without Turnup: what `turnup lab up --real` returns."""
    endpoints = lab.up(plan.Plan(2))
    yield endpoints
    lab.down()


@pytest.fixture(scope="module")
def rig(alone):
    """The whole house beside the lab."""
    with RealRig() as made:
        yield made
