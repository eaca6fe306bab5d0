"""`turnup lab up --real` and `down` leave nothing behind, however the lab ended."""

import os
import signal
import subprocess
import sys
import time

import pytest

from turnup.lab.real import lab, namespaces, plan


def _traces():
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    return {
        "namespaces": sorted(name for name in namespaces.existing() if name.startswith("tl-")),
        "links": [line.split()[0] for line in links.splitlines() if line.startswith("tl-")],
        "home": plan.HOME.exists(),
    }


NOTHING = {"namespaces": [], "links": [], "home": False}


@pytest.mark.parametrize(("layout", "last"), [("2", plan.KEA), ("2, pppoe=1", plan.PPPOE)])
def test_a_lab_killed_while_it_is_built_is_removed(request, alone, layout, last):
    if last == plan.PPPOE:
        request.getfixturevalue("guests")
    building = subprocess.Popen(
        [sys.executable, "-c", f"from turnup.lab.real import lab, plan; lab.up(plan.Plan({layout}))"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 60
    while last not in namespaces.existing() or not namespaces.processes(last):
        assert time.monotonic() < until and building.poll() is None, "something of it runs"
        time.sleep(0.02)
    os.kill(building.pid, signal.SIGKILL)
    building.wait()
    assert _traces() != NOTHING
    assert last in lab.down()
    assert _traces() == NOTHING
    assert lab.down() == [], "once more changes nothing"


def test_the_command_builds_and_removes(alone, tmp_path):
    network = tmp_path / "network.yaml"

    def turnup(*words):
        return subprocess.run(
            [sys.executable, "-m", "turnup.app.cli", "lab", *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    up = turnup("up", "--real", "--subscribers", "1", "--network", str(network))
    try:
        assert up.returncode == 0, up.stderr
        assert network.stat().st_mode & 0o777 == 0o600
        again = turnup("up", "--real")
        assert again.returncode == 1 and "there already" in again.stderr
    finally:
        down = turnup("down")
    assert down.returncode == 0 and _traces() == NOTHING
