"""The control channel, its command line, and the network file's checks."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from pydantic import ValidationError

from turnup.lab.client import LabClient, LabError, LabProcess
from turnup.lab.network_file import load_network

EXAMPLE = Path(__file__).parents[2] / "examples" / "lab" / "network.yaml"


def test_control_wants_its_token_and_names_what_is_wrong(lab):
    with socket.create_connection(tuple(lab.endpoints["control"])) as peer:
        peer.sendall(b'{"op": "status"}\nnot json\n')
        file = peer.makefile()
        assert json.loads(file.readline())["error"].startswith("token: wrong")
        assert json.loads(file.readline())["error"] == "not a JSON object"
    for op, arguments, error in (
        ("fly", {}, "op: unknown operation fly; there are advance_clock"),
        ("_device", {"name": "olt1"}, "op: unknown operation _device"),
        ("power_off", {"device": "olt9"}, "device: no olt9; there are bng1 olt1 olt2"),
        ("power_off", {}, "power_off: missing a required argument: 'device'"),
        ("unplug", {"name": "x"}, "cpe: no x"),
        ("lie", {"device": "olt1", "kind": "fib"}, "kind: fib is none of late_ack"),
        (
            "tamper",
            {"device": "olt1", "lines": ["set nonsense X"]},
            "TlosError: syntax: unknown stanza nonsense",
        ),
        ("set_coa", {"device": "olt1", "supported": False}, "device: olt1 has no CoA listener"),
    ):
        with pytest.raises(LabError, match="^" + error.replace("(", r"\(")):
            lab.client.call(op, **arguments)


def test_ctl(lab):
    def ctl(*words):
        command = [sys.executable, "-m", "turnup.lab", "ctl", "--state-dir", str(lab.state_dir), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = ctl("tamper", "device=olt1", 'lines=["set port pon-0/1/0 admin down"]')
    assert (done.returncode, json.loads(done.stdout)) == (0, 1)
    assert json.loads(ctl("running", "device=olt1").stdout) == ["set port pon-0/1/0 admin down"]
    failed = ctl("power_off", "device=x")
    assert failed.returncode == 1 and "there are bng1 olt1 olt2" in failed.stderr


def test_a_lab_that_cannot_start_says_why(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text(EXAMPLE.read_text().replace("olt1/xe-0/0/0", "olt1/xe-9/9/9"))
    with pytest.raises(LabError, match="no port olt1/xe-9/9/9"):
        LabProcess(broken, tmp_path / "state").start()
    with pytest.raises(LabError, match="no lab in"):
        LabClient(tmp_path / "nowhere").status()


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        (("devices", "olt1", "colour"), "red", "Extra inputs are not permitted"),
        (("devices", "olt1", "radius"), {"coa": {"secret": "x"}}, "an olt must not have one"),
        (("devices", "bng1", "radius"), None, "a bng needs a `radius` section"),
        (("devices", "olt1", "ssh"), "127.0.0.1:99999", "less than or equal to 65535"),
        (
            ("cpes",),
            [{"name": "c", "at": "olt1/x", "serial": "s", "username": "u", "password": "p"}],
            "no port olt1/x",
        ),
    ],
)
def test_a_wrong_network_file_is_refused_by_field(tmp_path, path, value, error):
    network = yaml.safe_load(EXAMPLE.read_text())
    spot = network
    for word in path[:-1]:
        spot = spot[word]
    spot[path[-1]] = value
    file = tmp_path / "n.yaml"
    file.write_text(yaml.safe_dump(network))
    with pytest.raises(ValidationError, match=error):
        load_network(file)


def test_the_lab_imports_nothing_of_turnup_but_itself():
    code = (
        "import sys, turnup.lab.__main__\n"
        "print([n for n in sys.modules if n.startswith('turnup.') and not n.startswith('turnup.lab')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_lab_ends_with_the_process_that_started_it(network_file, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from turnup.lab.client import LabProcess\n"
        "lab = LabProcess(Path(sys.argv[1]), Path(sys.argv[2])).start()\n"
        "print(lab.pid, flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(network_file), str(tmp_path / "state")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert psutil.pid_exists(pid)
        lab = psutil.Process(pid)
        starter.kill()
    psutil.wait_procs([lab], timeout=20)
    assert not lab.is_running() or lab.status() == psutil.STATUS_ZOMBIE
