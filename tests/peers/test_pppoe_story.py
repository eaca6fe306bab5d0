"""A PPPoE subscriber's story on real parts, seen from her end of the line: real packets, IPv4 and IPv6.

The BNG and her router are User-Mode-Linux guests with pppoe-server and pppd; one telling, told once, looked
at in the order it happens.
"""

import os
import signal

import pytest
from benchmarks.pppoe_rig import PppoeSold, at_the_bng
from benchmarks.real_rig import RealRig
from sqlalchemy import text

from turnup.app.demo.stage import wait_until
from turnup.contracts.provisioning import ServiceState
from turnup.lab.real import namespaces, plan
from turnup.lab.real.pppoe.subscriber import PppoeSubscriber

pytestmark = pytest.mark.timeout(600)
LEAST, MOST = 0.94, 1.02


@pytest.fixture(scope="module")
def rig(guests):
    with RealRig(1, pppoe=1) as made:
        yield made


@pytest.fixture(scope="module")
def before(rig):
    """What she gets who has ordered nothing and dials all the same, then takes addresses by hand."""
    her = PppoeSubscriber(1)
    her.dial("nobody@isp.example", "guess")
    wait_until(lambda: "ipparam" in at_the_bng("ps", "ax", "-o", "args"), "the BNG is asked", timeout_s=60)
    found = {"let in": her.times_in(), "addresses": her.addresses()}
    her.hang_up()
    return found


@pytest.fixture(scope="module")
def sold(rig, before):
    service = PppoeSold.order(rig, "Ada Lovelace", "dsl-10-2")
    service.connect()
    return service


def ratios(sold, down_kbps, up_kbps):
    found = sold.goodput_ratios(down_kbps, up_kbps)
    assert set(found) == {"ipv4_down", "ipv4_up", "ipv6_down", "ipv6_up"}
    return found


def rules_at_the_bng():
    return at_the_bng("sh", "-c", "ip rule; ip -6 rule; ip route; ip -6 route; ip -br link")


def accounted(rig, sold):
    session = rig.stand.house.monitoring.session(sold.service_id)
    return session and (session.upload_octets, session.download_octets)


def test_before_the_order_no_session(before):
    assert before["let in"] == 0
    assert not before["addresses"].ipv4 and not before["addresses"].wan6 and not before["addresses"].lan6


def test_her_session_has_what_was_reserved(rig, sold):
    addresses = sold.subscriber.addresses()
    assert addresses.ipv4 == sold.resources["ipv4"]
    assert addresses.wan6.startswith(sold.resources["ipv6_wan"].partition("::/")[0])
    assert addresses.lan6 == sold.delegated_address
    assert sold.resources["ipv6_pd"].endswith("/56")
    assert set(sold.elements) == {"access", "bng", "dhcp", "aaa", "aaa:aaa2"}


def test_her_first_session_is_her_acceptance(rig, sold):
    session = rig.stand.house.monitoring.session(sold.service_id)
    assert (sold.view.state, session.ended_at) == (ServiceState.ACCEPTED, None)


def test_a_wrong_password_is_refused(rig, sold):
    refused = sold.subscriber.times_refused()
    sold.subscriber.hang_up()
    sold.subscriber.dial(sold.view.login, "another")
    wait_until(lambda: sold.subscriber.times_refused() > refused, "she is refused", timeout_s=60)
    assert not sold.subscriber.addresses().ipv4
    sold.subscriber.hang_up()
    sold.connect()


def test_the_plans_speed_both_ways_on_both_families(sold):
    found = ratios(sold, 10_000, 2_000)
    assert all(LEAST <= ratio <= MOST for ratio in found.values()), (found, sold.measurements)


def test_an_upgrade_changes_the_speed_of_the_running_transfer(rig, sold):
    times_in = sold.subscriber.times_in()
    transfer = sold.subscriber.start_transfer(plan.INTERNET4, 60)
    try:
        rig.change(sold, "dsl-20-5")
        assert transfer.running
        wait_until(
            lambda: LEAST <= transfer.last_bps() / 20e6 <= MOST,
            "the running transfer has the new speed",
            timeout_s=40,
        )
    finally:
        transfer.stop()
    assert sold.subscriber.times_in() == times_in, "the session has not dropped"
    found = ratios(sold, 20_000, 5_000)
    assert all(LEAST <= ratio <= MOST for ratio in found.values()), (found, sold.measurements)


def test_nobody_sends_from_another_address(sold):
    at_home = sold.subscriber.at_her_place("ip", "addr", "add", "100.64.16.77/32", "dev", "lan0")
    namespaces.run(*at_home)
    assert not sold.subscriber.pings(plan.INTERNET4, source="100.64.16.77")
    assert not sold.subscriber.pings(plan.MANAGED[plan.AAA[0]]), "the management network is out of reach"
    assert sold.online()


def test_octets_of_a_session_are_her_usage(rig, sold):
    """pppd's counters, by FreeRADIUS and its database, to the bill: the octets her own router counted."""
    sold.subscriber.hang_up()
    wait_until(
        lambda: rig.stand.house.monitoring.session(sold.service_id).ended_at is not None, "her session ended"
    )
    sent, received = sold.subscriber.counted()
    upload, download = accounted(rig, sold)
    assert received > 20_000_000
    # a router advertisement or a farewell that is under way is counted at one end only
    assert abs(upload - sent) < 3_000 and abs(download - received) < 3_000
    rig.stand.settle()
    with rig.stand.house.database.engine.connect() as connection:
        billed = connection.scalar(
            text("SELECT sum(octets) FROM billing.usage WHERE service_id = :id"), {"id": sold.service_id}
        )
    assert 0 <= billed - upload - download < 100_000, "but for her first sessions, which carried pings"
    sold.connect()


@pytest.fixture(scope="module")
def walled(rig, sold):
    times_in = sold.subscriber.times_in()
    rig.bill_and_suspend(sold)
    assert sold.subscriber.times_in() == times_in, "the session has not dropped"
    return sold


def only_the_garden(sold):
    her = sold.subscriber
    assert not her.pings(plan.INTERNET4)
    assert not her.pings(plan.INTERNET6, source=sold.wan_address)
    assert not her.pings(plan.INTERNET6, source=sold.delegated_address)
    for server in (plan.GARDEN4, plan.GARDEN6):
        assert her.resolves(plan.PAYMENT_HOST, server)
    for url in (f"http://{plan.GARDEN4}/", f"http://[{plan.GARDEN6}]/"):
        page = her.fetch(url)
        assert page is not None and page.text == "payment page\n"


def test_suspended_she_reaches_the_walled_garden_only(walled):
    only_the_garden(walled)


def test_suspended_and_dialling_again_no_first_packet_leaks(rig, walled):
    her = walled.subscriber
    her.hang_up()
    pinging = [
        her.start_pinging(address, f"pings{n}") for n, address in enumerate((plan.INTERNET4, plan.INTERNET6))
    ]
    her.dial(walled.view.login, rig.radius_secret(walled))
    walled.wait_addresses()
    only_the_garden(walled)
    for each in pinging:
        each.terminate()
        each.wait(30)
    assert [her.replies(f"pings{n}") for n in range(2)] == [0, 0]


@pytest.fixture(scope="module")
def paid(rig, walled):
    times_in = walled.subscriber.times_in()
    rig.pay(walled)
    walled.wait_online(timeout_s=60)
    rig.wait_state(walled, ServiceState.ACCEPTED)
    assert walled.subscriber.times_in() == times_in, "the session has not dropped"
    return walled


def test_paid_she_is_back(rig, paid):
    page = paid.subscriber.fetch(f"http://{plan.INTERNET4}/")
    assert page is not None and page.text == "the internet\n"
    assert rig.stand.house.billing.balance_minor(paid.account) == 0


def test_the_second_of_the_pair_lets_her_in(rig, paid):
    paid.subscriber.hang_up()
    password = rig.radius_secret(paid)
    pids = namespaces.processes(plan.AAA[0])
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        paid.subscriber.dial(paid.view.login, password)
        paid.wait_addresses()
        paid.wait_online(timeout_s=30)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_ceased_nothing_is_left_and_she_is_refused(rig, paid):
    refused = paid.subscriber.times_refused()
    rig.cease(paid)
    assert not any(rig.held(paid).values()), rig.held(paid)
    assert set(rig.held(paid)) == {"bng1", "kea1", "aaa1", "aaa2"}
    wait_until(lambda: paid.subscriber.times_refused() > refused, "she is refused", timeout_s=60)
    assert not paid.subscriber.pings(plan.INTERNET4)
    assert not paid.subscriber.addresses().ipv4
    wait_until(lambda: "ppp" not in rules_at_the_bng(), "her interface is gone", timeout_s=30)
    said = rules_at_the_bng()
    for value in (paid.resources["ipv4"], paid.resources["ipv6_wan"], paid.resources["ipv6_pd"]):
        assert value not in said
