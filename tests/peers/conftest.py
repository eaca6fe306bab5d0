"""The real lab for tests: one at a time on a machine, and a clear reason where it cannot be built."""

import fcntl
import os
from pathlib import Path

import pytest
from benchmarks.real_rig import RealRig

from peers.machines import machine
from turnup.lab.real import lab, namespaces, plan
from turnup.lab.real.machine import RealLabError, require
from turnup.lab.real.pppoe.guest import require_guests

_LOCK = Path("/run/lock/turnup-peers")
_MACHINE_LOCK = Path("/run/lock/turnup-peers-machine")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(pytest.mark.peers)


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
def guests(alone):
    """User-Mode-Linux guests can be run."""
    try:
        require_guests()
    except RealLabError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """One machine in a namespace of its own, reached over a management cable."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    with _MACHINE_LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with machine(tmp_path_factory.mktemp("machine")) as made:
            yield made


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
