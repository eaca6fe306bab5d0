"""The tlos driver against a lab device, its lies included."""

import threading
from dataclasses import replace

import pytest

from builders.lab_network import access, credentials_of, drop, element_of, put, service_id, subscriber
from turnup.contracts.configuration import ElementRefused, StaleGeneration
from turnup.gateways.tlos.driver import TlosDriver
from turnup.gateways.transports.ssh import SshPool, SshTarget
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import derived_id
from turnup.runtime.database import OutsideIoInTransaction, _in_transaction


@pytest.fixture
def olt(lab, driver):
    return _At(lab, driver, "olt1")


@pytest.fixture
def bng(lab, driver):
    return _At(lab, driver, "bng1")


class _At:
    """The driver's calls at one element."""

    def __init__(self, lab, driver, code):
        self.lab, self.driver, self.code = lab, driver, code
        self.element, self.credentials = element_of(lab, code), credentials_of(lab, code)

    def apply(self, *changes, deadline_s=5.0):
        return self.driver.apply(self.element, self.credentials, changes, deadline_s=deadline_s)

    def read(self, *services, deadline_s=5.0):
        return self.driver.read(self.element, self.credentials, list(services) or None, deadline_s=deadline_s)

    def running(self):
        return self.lab.client.running(device=self.code)

    def saved(self):
        return self.lab.client.startup(device=self.code)


def boot_of(at):
    """How often the device has booted; None while it is away."""
    pool = SshPool()
    try:
        shown = pool.exec(SshTarget.of(at.element, at.credentials), "show version", 5.0).stdout
    except Unavailable:
        return None
    finally:
        pool.close()
    return next((line for line in shown.splitlines() if line.startswith("boot=")), None)


def lines_of(text):
    return [
        line for line in (text if isinstance(text, list) else text.splitlines()) if line.startswith("set ")
    ]


@pytest.mark.parametrize(("at", "fragment"), [("olt", access(1, 7)), ("bng", subscriber(1, 7))])
def test_what_was_applied_is_read_back_and_saved(at, fragment, request):
    at = request.getfixturevalue(at)
    commands = at.apply(put(fragment))
    assert commands[0] == "configure" and commands[-1] == "save"
    assert at.read(fragment.service_id) == {fragment.service_id: fragment}
    assert at.read() == {fragment.service_id: fragment}
    assert lines_of(at.saved()) == lines_of(at.running()) != []


def test_optional_leaves_may_be_missing_and_vanish_when_no_longer_wanted(olt, bng):
    late = access(1)
    late = replace(late, attributes={k: v for k, v in late.attributes.items() if k != "ont_serial"})
    olt.apply(put(late))
    assert olt.read() == {late.service_id: late}
    full = subscriber(1)
    bng.apply(put(full))
    bare = replace(
        full, generation=2, attributes={k: v for k, v in full.attributes.items() if k != "ipv6_pd"}
    )
    bng.apply(put(bare))
    assert bng.read() == {bare.service_id: bare}


def test_prefixes_are_spelled_one_way(bng):
    bng.apply(put(subscriber(1, ipv6_pd="2001:0db8:0001:0100:0000::/56")))
    assert bng.read()[service_id(1)].attributes["ipv6_pd"] == "2001:db8:1:100::/56"


def test_many_changes_are_one_commit(olt):
    olt.apply(*(put(access(n)) for n in range(1, 21)))
    assert len(olt.read()) == 20
    olt.apply(drop(access(1), 2), put(access(2, 2, down_kbps="1000")))
    held = olt.read(service_id(1), service_id(2))
    assert list(held) == [service_id(2)] and held[service_id(2)].attributes["down_kbps"] == "1000"


def test_one_bad_change_applies_none(olt):
    with pytest.raises(ElementRefused, match="duplicate vlan"):
        olt.apply(put(access(1)), put(access(2, vlan="101")))
    assert olt.read() == {}


def test_an_older_generation_is_refused_also_after_removal(olt):
    olt.apply(put(access(1, 5)))
    with pytest.raises(StaleGeneration):
        olt.apply(put(access(1, 4)))
    with pytest.raises(StaleGeneration):
        olt.apply(drop(access(1), 4))
    olt.apply(drop(access(1), 6))
    with pytest.raises(StaleGeneration):
        olt.apply(put(access(1, 5)))
    assert olt.read() == {}


def test_removing_twice_is_harmless(olt):
    olt.apply(put(access(1)))
    olt.apply(drop(access(1), 2))
    olt.apply(drop(access(1), 2))
    assert olt.read() == {}


def test_what_others_configured_is_seen(olt):
    olt.lab.client.tamper(
        device="olt1", lines=["set service S-77 port pon-0/1/9 vlan 77 down-kbps 1 up-kbps 1"]
    )
    assert list(olt.read()) == [derived_id("foreign", "olt1", "S-77")]
    olt.apply(put(access(1)))
    olt.lab.client.tamper(device="olt1", lines=[f"set service {service_id(1)} admin down"])
    assert olt.read(service_id(1))[service_id(1)].attributes["admin"] == "down"
    olt.apply(put(access(1)))
    assert olt.read(service_id(1)) == {service_id(1): access(1)}


def test_a_lost_acknowledgement_is_unknown_and_is_saved_later(olt):
    olt.lab.client.lie(device="olt1", kind="lost_ack", on="commit")
    with pytest.raises(Unavailable):
        olt.apply(put(access(1)))
    assert lines_of(olt.saved()) == []
    assert olt.read(service_id(1)) == {service_id(1): access(1)}
    assert lines_of(olt.saved()) == lines_of(olt.running()) != []


def test_what_another_process_committed_and_did_not_save_is_saved_by_the_next_read(olt, ssh):
    put_it = put(access(1))
    olt.apply(put_it)
    dead = SshPool()  # it came as far as its commit
    target = SshTarget.of(olt.element, olt.credentials)
    dead.exec(target, f"configure\nset service {service_id(1)} vlan 1777\ncommit\nexit\n", 5.0)
    dead.close()
    assert lines_of(olt.saved()) != lines_of(olt.running())
    survivor = TlosDriver(ssh)
    read = survivor.read(olt.element, olt.credentials, [service_id(1)], deadline_s=5.0)
    assert read[service_id(1)].attributes["vlan"] == "1777"
    assert lines_of(olt.saved()) == lines_of(olt.running()) != []


def test_a_read_that_cannot_save_what_it_read_is_no_proof(olt, ssh):
    olt.lab.client.lie(device="olt1", kind="refuse", on="save", count=50)
    with pytest.raises(Unavailable):
        olt.apply(put(access(1)))
    with pytest.raises(Unavailable, match="does not save"):
        TlosDriver(ssh).read(olt.element, olt.credentials, None, deadline_s=5.0)


def test_a_half_applied_change_is_transient_and_repaired_by_repeating(olt):
    olt.apply(put(access(1)))
    olt.lab.client.lie(device="olt1", kind="half_applied", on="commit", keep=1)
    with pytest.raises(Unavailable, match="internal error"):
        olt.apply(put(access(1, 2, down_kbps="1000")))
    assert olt.read() == {}
    olt.apply(put(access(1, 2, down_kbps="1000")))
    assert olt.read(service_id(1)) == {service_id(1): access(1, 2, down_kbps="1000")}


def test_a_stale_read_shows_what_held_before(olt):
    olt.apply(put(access(1)))
    olt.lab.client.lie(device="olt1", kind="stale_read", on="show")
    assert olt.read(service_id(1)) == {}
    assert olt.read(service_id(1)) == {service_id(1): access(1)}


def test_a_refusal_is_permanent_and_leaves_nothing(olt):
    olt.lab.client.lie(device="olt1", kind="refuse", on="commit")
    with pytest.raises(ElementRefused, match="refused by device"):
        olt.apply(put(access(1)))
    assert olt.read() == {}
    olt.apply(put(access(1)))  # the lock did not stay behind


def test_a_save_that_fails_once_is_repeated(olt):
    olt.lab.client.lie(device="olt1", kind="refuse", on="save")
    olt.apply(put(access(1)))
    assert lines_of(olt.saved()) == lines_of(olt.running()) != []


def test_a_reboot_after_the_commit_is_not_taken_for_success(olt):
    before = boot_of(olt)
    olt.lab.client.lie(device="olt1", kind="reboot_after_commit", on="commit")
    with pytest.raises(Unavailable):
        olt.apply(put(access(1)))
    olt.lab.client.wait_for(lambda _: boot_of(olt) not in (None, before))
    olt.apply(put(access(1)))
    assert olt.read() == {service_id(1): access(1)}
    assert lines_of(olt.saved()) == lines_of(olt.running()) != []


def test_a_slow_element_misses_the_deadline_and_keeps_no_lock(olt):
    olt.lab.client.lie(device="olt1", kind="late_ack", on="commit", delay_ms=5000)
    with pytest.raises(Unavailable, match="within"):
        olt.apply(put(access(1)), deadline_s=0.3)
    olt.apply(put(access(2)))
    assert set(olt.read()) == {service_id(1), service_id(2)}


def test_an_unreachable_element_is_unavailable_and_comes_back(olt):
    olt.read()
    olt.lab.client.lie(device="olt1", kind="unreachable", on="any", delay_ms=60_000)
    with pytest.raises(Unavailable):
        olt.read(deadline_s=2.0)
    olt.lab.client.clear_lies()
    assert olt.read() == {}


def test_a_lock_held_by_somebody_is_transient(olt):
    pool = SshPool()
    try:
        olt.lab.client.lie(device="olt1", kind="late_ack", on="commit", delay_ms=800)
        slow = threading.Thread(
            target=lambda: pool.exec(
                SshTarget.of(olt.element, olt.credentials),
                "configure\nset port pon-0/1/0 admin up\ncommit\n",
                5.0,
            )
        )
        slow.start()
        target = SshTarget.of(olt.element, olt.credentials)
        olt.lab.client.wait_for(lambda _: "lock=none" not in pool.exec(target, "show version", 5.0).stdout)
        with pytest.raises(Unavailable, match="locked"):
            olt.apply(put(access(1)))
        slow.join()
    finally:
        pool.close()


def test_restore_brings_a_backup_back(olt):
    olt.apply(put(access(1, 3)))
    backup = olt.driver.running_config(olt.element, olt.credentials, deadline_s=5.0)
    olt.apply(put(access(1, 4, down_kbps="1000")), put(access(2)))
    olt.driver.restore(olt.element, olt.credentials, backup, deadline_s=5.0)
    assert olt.driver.running_config(olt.element, olt.credentials, deadline_s=5.0) == backup
    assert olt.read() == {service_id(1): access(1, 3)}


def test_another_host_key_or_none_is_refused(olt):
    other = credentials_of(olt.lab, "olt2").host_key
    for key in (other, None):
        with pytest.raises(ElementRefused, match="host key"):
            olt.driver.read(olt.element, replace(olt.credentials, host_key=key), None, deadline_s=5.0)
    unchecked = replace(olt.element, management={**olt.element.management, "host_key_check": "off"})
    assert olt.driver.read(unchecked, replace(olt.credentials, host_key=None), None, deadline_s=5.0) == {}


def test_a_wrong_password_is_refused(olt):
    with pytest.raises(ElementRefused, match="credentials"):
        olt.driver.read(olt.element, replace(olt.credentials, password="no"), None, deadline_s=5.0)


def test_values_cannot_smuggle_commands(bng):
    for name in ('x"; delete', "x\ncommit", "x\\"):
        with pytest.raises(ElementRefused):
            bng.apply(put(subscriber(1, username=name)))
    assert bng.read() == {}


def test_no_element_is_spoken_to_inside_a_transaction(olt):
    token = _in_transaction.set("orders")
    try:
        with pytest.raises(OutsideIoInTransaction):
            olt.read()
    finally:
        _in_transaction.reset(token)
