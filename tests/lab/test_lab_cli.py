"""tlos, the CLI, without transport: grammar, candidate and lock, commit, fences, rollback, load, boot."""

from pathlib import Path

import pytest

from turnup.lab.cli import CliSession, split_batch
from turnup.lab.clock import LabClock
from turnup.lab.device import Device, build_device
from turnup.lab.network_file import load_network
from turnup.lab.stanzas import StanzaId
from turnup.lab.syslog import Syslog

NETWORK = Path(__file__).parents[2] / "examples" / "lab" / "network.yaml"
WHOLE = "set service S1 port pon-0/1/3 vlan 101 down-kbps 300000 up-kbps 50000 generation 5"
SUBSCRIBER = "set subscriber {key} username {key}@isp access olt1/pon-0/1/3/{vlan} down-kbps 1 up-kbps 1"


class Quiet:
    """Surroundings in which nothing is plugged."""

    def __init__(self) -> None:
        self.changes: list[list[StanzaId]] = []

    def config_changed(self, device: Device, changed: list[StanzaId]) -> None:
        self.changes.append(changed)

    def power_changed(self, device: Device) -> None:
        return

    def port_oper_up(self, device: Device, port: str) -> bool:
        return True

    def clear_session(self, device: Device, user: str) -> int:
        return 0

    def taking_leave(self, device: Device) -> None:
        return


@pytest.fixture
def make_device(tmp_path):
    clock = LabClock()

    def make(name: str = "olt1", autosave: bool = False) -> Device:
        spec = load_network(NETWORK).devices[name].model_copy(update={"autosave": autosave})
        surroundings = Quiet()
        device = build_device(
            name, spec, tmp_path, clock, Syslog(clock, None), surroundings, lambda seconds, call: call()
        )
        device.power_on()
        return device

    return make


def run(session: CliSession, *lines: str) -> list[str]:
    return [out for line in lines for out in session.run(line).lines]


@pytest.fixture
def olt(make_device) -> Device:
    return make_device()


@pytest.fixture
def cli(olt) -> CliSession:
    return CliSession(olt, "a", "one")


def test_set_compare_commit_show(cli):
    assert run(cli, "configure", WHOLE, 'set service S1 description "a; b"') == []
    assert run(cli, "compare")[0] == "+ set service S1 port pon-0/1/3"
    assert run(cli, "commit", "compare") == ["commit complete revision 1 changed 1"]
    assert run(cli, "exit", "show configuration service S1") == [
        "set service S1 port pon-0/1/3",
        "set service S1 vlan 101",
        "set service S1 down-kbps 300000",
        "set service S1 up-kbps 50000",
        'set service S1 description "a; b"',
        "set service S1 generation 5",
    ]
    assert run(cli, "configure", "set service S1 vlan 102", "delete service S1 description", "compare") == [
        "- set service S1 vlan 101",
        '- set service S1 description "a; b"',
        "+ set service S1 vlan 102",
    ]


def test_committing_the_same_again_changes_nothing(cli, olt):
    run(cli, "configure", WHOLE, "commit")
    assert run(cli, WHOLE, "commit") == ["commit complete revision 1 changed 0"]
    assert olt.surroundings.changes == [[("service", "S1")]]


def test_scoped_reads(cli):
    run(
        cli,
        "configure",
        WHOLE,
        WHOLE.replace("S1", "S2").replace("101", "102"),
        "set port pon-0/1/3 admin up",
        "commit",
    )
    run(cli, "exit")
    both = run(cli, "show configuration | services S2,S1,S9")
    assert both[0] == "set service S2 port pon-0/1/3" and len(both) == 10
    assert run(cli, "show configuration services S1") == run(cli, "show configuration service S1")
    assert run(cli, "show configuration service S9") == []
    assert run(cli, "show configuration ports") == ["set port pon-0/1/3 admin up"]
    assert len(run(cli, "show configuration")) == 11


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("set service S2 port pon-0/1/3 vlan 101 down-kbps 1 up-kbps 1", "duplicate vlan: pon-0/1/3/101"),
        ("set service S2 port pon-0/9/9 vlan 7 down-kbps 1 up-kbps 1", "unknown port: pon-0/9/9"),
        ("set port xe-7/7/7 admin up", "unknown port: xe-7/7/7"),
        ("set service S2 port pon-0/1/3 vlan 7", "incomplete: service S2 lacks down-kbps up-kbps"),
        ("set service S1 generation 4", "stale generation: service S1 has 5, candidate says 4"),
        ("delete service S1 generation", "stale generation: service S1 has 5, candidate says 0"),
        ("delete service S1 fence 4", "stale generation: service S1 has 5, candidate says 4"),
    ],
)
def test_commit_refuses_and_applies_nothing(cli, olt, line, error):
    run(cli, "configure", WHOLE, "commit")
    before = olt.store.running.lines()
    good = "set service S3 port pon-0/1/5 vlan 8 down-kbps 1 up-kbps 1"
    assert run(cli, good, line) == []
    reply = cli.run("commit")
    assert reply.failed and reply.lines[0].startswith("% Error: " + error)
    assert olt.store.running.lines() == before
    assert run(cli, "compare")  # the candidate is still there, to be mended
    assert run(cli, "rollback", good, "commit") == ["commit complete revision 2 changed 1"]


def test_one_ont_on_two_ports_is_refused(cli):
    run(cli, "configure", WHOLE + " ont-serial ABCD0001")
    same_port = "set service S2 port pon-0/1/3 vlan 200 ont-serial ABCD0001 down-kbps 1 up-kbps 1"
    assert run(cli, same_port, "commit") == ["commit complete revision 1 changed 2"]
    run(cli, "set service S3 port pon-0/1/4 vlan 200 ont-serial ABCD0001 down-kbps 1 up-kbps 1")
    assert run(cli, "commit")[0].startswith("% Error: duplicate ont: ABCD0001")


def test_two_services_may_swap_their_vlans_in_one_commit(cli):
    run(cli, "configure", WHOLE, WHOLE.replace("S1", "S2").replace("101", "102"), "commit")
    assert run(cli, "set service S1 vlan 102", "set service S2 vlan 101", "commit")[0].startswith(
        "commit complete"
    )


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("set service S1 vlan 1", "invalid value"),
        ("set service S1 vlan ten", "invalid value"),
        ("set service S1 colour red", "syntax: unknown leaf colour"),
        ("set service S1 vlan", "syntax: leaf vlan has no value"),
        ("set subscriber X username u", "syntax: unknown stanza subscriber"),
        ("delete service NOPE", "not found: service NOPE"),
        ("frobnicate", "syntax: unknown command frobnicate"),
        ('set service S1 description "open', "syntax: No closing quotation"),
        ("set service b@d vlan 7", "invalid key: b@d"),
        ("show nonsense", "syntax: unknown show nonsense"),
        ("rollback 3", "not found: rollback 3"),
        ("load sideways", "syntax: expected `load"),
    ],
)
def test_bad_lines_answer_with_one_error_line(cli, line, error):
    run(cli, "configure")
    reply = cli.run(line)
    assert reply.failed and len(reply.lines) == 1
    assert reply.lines[0].startswith(f"% Error: {error}")


@pytest.mark.parametrize(
    "line", ["set service S1 vlan 7", "commit", "compare", "rollback", "delete service S1"]
)
def test_configuration_commands_need_configuration_mode(cli, line):
    assert run(cli, line) == ["% Error: not in configuration mode"]


def test_duplicate_addresses_and_overlapping_prefixes_on_the_bng(make_device):
    cli = CliSession(make_device("bng1"), "a", "one")
    first = SUBSCRIBER.format(key="A", vlan=101)
    second = SUBSCRIBER.format(key="B", vlan=102)
    taken = " ipv4 192.0.2.1 ipv6-wan 2001:db8:0:1::/64 ipv6-pd 2001:db8:1:100::/56"
    run(cli, "configure", first + taken, "commit")
    for leaf, error in (
        ("ipv4 192.0.2.1", "duplicate address: 192.0.2.1 is used by subscriber A"),
        ("ipv6-wan 2001:db8:0:1::/64", "duplicate prefix"),
        ("ipv6-wan 2001:db8:1:1ff::/64", "duplicate prefix"),
        ("ipv6-pd 2001:db8::/48", "duplicate prefix"),
        ("username A@isp", "duplicate username"),
        ("access olt1/pon-0/1/3/101", "duplicate access"),
    ):
        out = run(cli, second, f"set subscriber B {leaf}", "commit", "rollback")
        assert out[0].startswith(f"% Error: {error}"), out
    for leaf in ("ipv6-wan 2001:db8::/56", "ipv6-pd 2001:db8::1/56", "ipv4 300.1.1.1", "access nonsense"):
        assert run(cli, f"set subscriber B {leaf}")[0].startswith("% Error: invalid value")
    free = " ipv4 192.0.2.2 ipv6-wan 2001:db8:0:2::/64 ipv6-pd 2001:db8:1:200::/56"
    assert run(cli, second + free, "commit")[0].startswith("commit complete")
    assert run(cli, "delete subscriber A", "set subscriber B ipv4 192.0.2.1", "commit")[0].startswith(
        "commit complete"
    )


def test_a_deleted_stanza_keeps_its_fence_even_over_a_boot(cli, olt):
    run(cli, "configure", WHOLE, "commit", "delete service S1 fence 6", "commit")
    assert run(cli, WHOLE, "commit")[0].startswith(
        "% Error: stale generation: service S1 has 6, candidate says 5"
    )
    run(cli, "rollback", "exit", "save")
    olt.reboot(0)
    late = CliSession(olt, "late", "worker")
    assert run(late, "configure", WHOLE, "commit")[0].startswith("% Error: stale generation")
    assert run(late, "set service S1 generation 7", "commit")[0].startswith("commit complete")


def test_deleting_what_is_gone_is_repeatable_with_a_fence(cli):
    run(cli, "configure", WHOLE, "commit", "delete service S1 fence 6", "commit")
    assert run(cli, "delete service S1 fence 6", "commit") == ["commit complete revision 2 changed 0"]


def test_the_lock_names_its_holder_and_goes_with_the_session(olt):
    one, two = CliSession(olt, "a", "one"), CliSession(olt, "b", "two")
    run(one, "configure", WHOLE)
    assert run(two, "configure") == ["% Error: configuration locked by a@one"]
    assert run(two, "show configuration") == []
    one.close()
    assert run(two, "configure", "compare") == []


def test_leaving_drops_what_was_not_committed(cli, olt):
    assert run(cli, "configure", WHOLE, "exit") == ["uncommitted changes dropped"]
    assert olt.store.running.lines() == [] and cli.prompt == "olt1> "


def test_rollback_to_an_earlier_commit(cli, olt):
    run(cli, "configure", WHOLE, "commit", "set service S1 vlan 200", "commit")
    assert run(cli, "rollback 1", "compare") == ["- set service S1 vlan 200", "+ set service S1 vlan 101"]
    run(cli, "commit")
    assert "set service S1 vlan 101" in olt.store.running.lines()


def test_what_show_prints_loads_back_to_the_same(cli, olt):
    run(
        cli,
        "configure",
        WHOLE,
        'set service S1 description "it\'s #1; fine"',
        "set port pon-0/1/3 admin down",
        "commit",
    )
    backup = run(cli, "show configuration")
    run(
        cli,
        "delete service S1 fence 9",
        "set service S7 port pon-0/1/1 vlan 9 down-kbps 1 up-kbps 1",
        "commit",
    )
    loaded = run(cli, "load replace", *backup, ".")
    assert loaded == [f"loaded {len(backup)} lines"]
    assert run(cli, "commit")[0].startswith("% Error: stale generation")
    assert run(cli, "commit force")[0].startswith("commit complete")
    assert run(cli, "show configuration") == backup


def test_load_merge_leaves_the_rest_alone(cli):
    run(
        cli,
        "configure",
        WHOLE,
        "commit",
        "load merge",
        "# a comment",
        "set service S1 vlan 300",
        ".",
        "commit",
    )
    assert "set service S1 vlan 300" in run(cli, "show configuration service S1")
    assert len(run(cli, "show configuration service S1")) == 5


def test_power_cut_forgets_what_was_not_saved(cli, olt):
    run(cli, "configure", WHOLE, "commit", "exit", "save", "configure", "set service S1 vlan 555", "commit")
    assert "unsaved=yes" in run(cli, "show version")
    olt.power_off()
    olt.power_on()
    again = CliSession(olt, "a", "two")
    assert "set service S1 vlan 101" in run(again, "show configuration")
    assert "unsaved=no" in run(again, "show version") and "boot=2" in run(again, "show version")
    assert run(again, "configure") == []  # the dead session's lock went with the power


def test_autosave_makes_commit_last(make_device):
    device = make_device(autosave=True)
    cli = CliSession(device, "a", "one")
    run(cli, "configure", WHOLE, "commit")
    device.reboot(0)
    assert device.store.running.get("service", "S1") is not None


def test_passwords_are_never_shown(cli, olt):
    run(cli, "configure", WHOLE, "commit")
    everything = "\n".join(run(cli, "show configuration", "show version", "show startup"))
    assert olt.spec.credentials.password not in everything
    assert olt.knows("turnup", "lab-olt1-password")
    assert not olt.knows("turnup", "lab-olt1-passwor") and not olt.knows("root", "lab-olt1-password")


def test_tampering_passes_lock_fence_and_check(cli, olt):
    run(cli, "configure", WHOLE, "commit")
    assert olt.store.write_behind(["delete service S1 vlan", "set service S1 generation 1"]) == [
        ("service", "S1")
    ]
    assert "vlan" not in olt.store.running.get("service", "S1").leaves


def test_batches_split_at_lines_or_at_semicolons_outside_quotes():
    assert split_batch("configure\nset a ; b\ncommit") == ["configure", "set a ; b", "commit"]
    assert split_batch("show version; show port") == ["show version", " show port"]
    assert split_batch('set service S description "a; b";commit') == [
        'set service S description "a; b"',
        "commit",
    ]


def test_many_stanzas_keep_a_commit_as_cheap_as_few(cli, olt):
    """A commit looks at what it changes: the stanzas it never touches are not even compared."""
    lines = [
        f"set service K{n} port pon-0/1/{n % 16} vlan {2 + n // 16} down-kbps 9 up-kbps 9"
        for n in range(2000)
    ]
    run(cli, "configure", *lines, "commit")
    untouched = olt.store.running.get("service", "K5")
    run(cli, "set service K0 down-kbps 10", "commit")
    assert olt.store.running.get("service", "K5") is untouched
    assert len(run(cli, "show configuration services")) == 8000
