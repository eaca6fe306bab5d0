"""The CLI over real SSH: batches, shells, the lock of a dead connection, and every lie about commands."""

import asyncio
import time

import asyncssh
import pytest

SET = "set service {key} port pon-0/1/1 vlan {vlan} down-kbps 10 up-kbps 10 generation 1"
ONE, TWO = SET.format(key="A", vlan=11), SET.format(key="B", vlan=12)


def test_a_batch_is_one_round_trip_and_stops_at_its_first_error(lab, tlos):
    done = tlos(lab, "olt1", "configure", ONE, "compare", "commit", "exit", "save", "show configuration")
    assert done.status == 0
    assert "commit complete revision 1 changed 1\nsaved\nset service A port pon-0/1/1\n" in done.text
    failed = tlos(lab, "olt1", "configure", TWO, "set service B vlan 0", "commit")
    assert failed.status == 1 and failed.text.splitlines()[-1].startswith("% Error: invalid value: 0")
    assert lab.client.running(device="olt1") == lab.client.startup(device="olt1")
    assert tlos(lab, "olt1", "configure", TWO, "commit").status == 0  # the failed batch left no lock


def test_echo_marks_each_command_in_a_batch(lab, tlos):
    text = tlos(lab, "olt1", "terminal echo on", "show port pon-0/1/0", "configure", "exit").text
    assert text.splitlines()[1] == "olt1> show port pon-0/1/0" and text.splitlines()[-1] == "olt1# exit"


def test_an_interactive_shell_has_a_steady_prompt_and_keeps_going_after_errors(lab, connect):
    async def talk() -> str:
        async with connect(lab, "olt1") as connection, connection.create_process() as shell:
            shell.stdin.write("terminal length 0\nconfigure\nnonsense\n" + ONE + "\ncommit\nexit\nexit\n")
            return str(await shell.stdout.read())

    assert asyncio.run(talk()) == (
        "olt1> olt1> olt1# % Error: syntax: unknown command nonsense\n"
        "olt1# olt1# commit complete revision 1 changed 1\nolt1# olt1> "
    )


def test_a_terminal_may_switch_echo_off(lab, connect):
    async def talk() -> str:
        async with connect(lab, "olt1") as conn, conn.create_process(term_type="vt100") as shell:
            await shell.stdout.readuntil("> ")
            shell.stdin.write("terminal echo off\n")
            await shell.stdout.readuntil("> ")
            shell.stdin.write("show port pon-0/1/0\n")
            answer = str(await shell.stdout.readuntil("> "))
            shell.stdin.write("exit\n")
            return answer

    assert "show port" not in asyncio.run(talk())


def test_wrong_passwords_and_wrong_host_keys_are_refused(lab, connect):
    async def attempt(password: str) -> None:
        async with connect(lab, "olt1", password=password):
            pass

    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(attempt("lab-olt2-password"))
    keys = {name: each["ssh_host_key"] for name, each in lab.endpoints["elements"].items()}
    assert len(set(keys.values())) == 3


def test_a_lock_dies_with_its_connection_and_the_candidate_with_it(lab, connect):
    async def talk() -> str:
        async with connect(lab, "olt1") as holder:
            shell = await holder.create_process()
            shell.stdin.write("configure\n" + ONE + "\n")
            await shell.stdout.readuntil("# ")
            async with connect(lab, "olt1") as other:
                refused = await other.run("configure")
                assert refused.exit_status == 1
                holder.abort()
                while (await other.run("configure")).exit_status != 0:
                    await asyncio.sleep(0.01)
            return str(refused.stdout)

    assert asyncio.run(talk()).startswith("% Error: configuration locked by turnup@127.0.0.1:")
    assert lab.client.running(device="olt1") == []


# ---- lies (a lower bound on a wait that was asked for is no timing: no machine can be too fast for it)


def test_late_acknowledgement(lab, tlos):
    lab.client.lie(device="olt1", kind="late_ack", delay_ms=300)
    begun = time.perf_counter()
    assert tlos(lab, "olt1", "configure", ONE, "commit").status == 0
    assert time.perf_counter() - begun >= 0.3
    assert lab.client.status()["devices"]["olt1"]["lies"] == []


def test_lost_acknowledgement_applies_and_hangs_up(lab, tlos):
    lab.client.lie(device="olt1", kind="lost_ack")
    answer = tlos(lab, "olt1", "configure", ONE, "commit", "save")
    assert (answer.status, answer.text) == (None, "")
    assert len(lab.client.running(device="olt1")) == 5
    assert lab.client.startup(device="olt1") == []
    assert tlos(lab, "olt1", "configure", ONE, "commit").text == "commit complete revision 1 changed 0\n"


@pytest.mark.parametrize("report", ["error", "ok"])
def test_half_applied(lab, tlos, report):
    lab.client.lie(device="olt1", kind="half_applied", keep=1, report=report)
    answer = tlos(lab, "olt1", "configure", ONE, TWO, "commit")
    assert (answer.status == 0) == (report == "ok")
    assert {line.split()[2] for line in lab.client.running(device="olt1")} == {"A"}


def test_stale_read(lab, tlos):
    tlos(lab, "olt1", "configure", ONE, "commit")
    lab.client.lie(device="olt1", kind="stale_read", count=1)
    answer = tlos(lab, "olt1", "configure", "set service A vlan 77", "commit", "exit", "show configuration")
    assert "set service A vlan 11" in answer.text
    assert "set service A vlan 77" in tlos(lab, "olt1", "show configuration").text


def test_reboot_after_commit_loses_what_was_not_saved(lab, tlos):
    tlos(lab, "olt1", "configure", ONE, "commit", "exit", "save")
    lab.client.lie(device="olt1", kind="reboot_after_commit", delay_ms=50)
    answer = tlos(lab, "olt1", "configure", TWO, "commit")
    assert "commit complete" in answer.text
    lab.client.wait_for(lambda client: client.status()["devices"]["olt1"]["boot"] == 2)
    assert {line.split()[2] for line in lab.client.running(device="olt1")} == {"A"}


def test_refusal(lab, tlos):
    lab.client.lie(device="olt1", kind="refuse", count=2)
    for _ in range(2):
        answer = tlos(lab, "olt1", "configure", ONE, "commit")
        assert (answer.status, answer.text) == (1, "% Error: refused by device\n")
    assert tlos(lab, "olt1", "configure", ONE, "commit").status == 0


def test_slowness_takes_its_time_over_every_command(lab, tlos):
    lab.client.lie(device="olt1", kind="slow", delay_ms=100, count=3)
    begun = time.perf_counter()
    tlos(lab, "olt1", "show version", "show version", "show version", "show version")
    assert time.perf_counter() - begun >= 0.3


def test_unreachable_drops_the_living_and_refuses_the_new_but_keeps_running(lab, tlos):
    tlos(lab, "olt1", "configure", ONE, "commit")
    lab.client.lie(device="olt1", kind="unreachable")
    with pytest.raises((asyncssh.Error, OSError)):
        tlos(lab, "olt1", "show version")
    lab.client.clear_lies(device="olt1")
    assert "boot=1" in tlos(lab, "olt1", "show version").text
    assert len(lab.client.running(device="olt1")) == 5


# ---- power


def test_killing_the_lab_is_a_power_cut_of_everything(lab, tlos):
    before = {name: each["ssh"] for name, each in lab.endpoints["elements"].items()}
    tlos(lab, "olt1", "configure", ONE, "commit", "exit", "save", "configure", TWO, "commit")
    lab.client.plug(name="C", at="olt1/pon-0/1/1", serial="ABCD01", username="u", password="p")
    lab.client.cut_link(name="olt2-uplink")
    lab.kill()
    lab.start()
    assert {line.split()[2] for line in lab.client.running(device="olt1")} == {"A"}
    assert {name: each["ssh"] for name, each in lab.endpoints["elements"].items()} == before
    assert list(lab.client.cpes()) == ["C"]
    assert lab.client.status()["links"] == {"olt1-uplink": True, "olt2-uplink": False}
    assert "boot=2" in tlos(lab, "olt1", "show version").text  # under the same host key


def test_a_dead_device_resets_connections_until_it_boots(lab, tlos):
    lab.client.power_off(device="olt1")
    with pytest.raises((asyncssh.Error, OSError)):
        tlos(lab, "olt1", "show version")
    lab.client.power_on(device="olt1")
    assert tlos(lab, "olt1", "show version").status == 0


def test_the_reboot_command(lab, tlos):
    tlos(lab, "olt1", "configure", ONE, "commit")
    assert tlos(lab, "olt1", "reboot").text == "rebooting\n"
    lab.client.wait_for(lambda client: client.status()["devices"]["olt1"]["boot"] == 2)
    assert lab.client.running(device="olt1") == []
