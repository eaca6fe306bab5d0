"""An IPoE subscriber's story on real parts, seen from her end of the line: real packets, IPv4 and IPv6.

One telling, told once; the tests look at it in the order it happens.
"""

import os
import signal
import time

import psycopg
import pytest
from sqlalchemy import text
from tests.peers.radius_client import accepted, account, ask

from turnup.app.demo.stage import wait_until
from turnup.contracts.provisioning import ServiceState
from turnup.kernel.clock import SystemClock
from turnup.lab.real import namespaces, plan
from turnup.lab.real.subscriber import Subscriber

pytestmark = pytest.mark.timeout(420)
LEAST, MOST = 0.94, 1.02


@pytest.fixture(scope="module")
def before(rig):
    """What everybody gets who has ordered nothing: DHCP tried, then addresses taken by hand."""
    found = {}
    for n in (1, 2):
        squatter = Subscriber(n)
        squatter.start_dhcp(4)
        squatter.start_dhcp(6)
        wait_until(lambda s=squatter: not s.processes() or "FAIL" in s.lease_events(4), "DHCP gives up",
                   timeout_s=60)  # fmt: skip
        squatter.take(f"100.64.0.{n + 1}", plan.ROUTERS4[0])
        squatter.take(f"2001:db8:1:{n}::1", "fe80::1")
        found[n] = {
            "lease4": dict(squatter.lease(4)),
            "lease6": dict(squatter.lease(6)),
            "ipv4": squatter.pings(plan.INTERNET4),
            "ipv6": squatter.pings(plan.INTERNET6),
            "garden": squatter.pings(plan.GARDEN4),
            "management": squatter.pings(plan.MANAGED[plan.GATEWAY]) and squatter.fetch(
                f"http://{plan.MANAGED[plan.GATEWAY]}:22/"
            ) is not None,
        }  # fmt: skip
        for pid in squatter.processes():
            os.kill(pid, signal.SIGTERM)
        squatter.forget()
    return found


@pytest.fixture(scope="module")
def sold(rig, before):
    service = rig.sell("Ada Lovelace", "metro-20-5")
    service.connect()
    rig.accept(service)
    return service


def test_before_the_order_no_traffic(before):
    nothing = {"lease4": {}, "lease6": {}, "ipv4": False, "ipv6": False, "garden": False, "management": False}
    assert before == {1: nothing, 2: nothing}


def test_the_plans_speed_both_ways_on_both_families(sold):
    ratios = sold.goodput_ratios(20_000, 5_000)
    assert set(ratios) == {"ipv4_down", "ipv4_up", "ipv6_down", "ipv6_up"}
    assert all(LEAST <= ratio <= MOST for ratio in ratios.values()), (ratios, sold.measurements)


def test_the_lease_is_what_was_reserved(sold):
    lease4, lease6 = sold.subscriber.lease(4), sold.subscriber.lease(6)
    assert lease4["new_ip_address"] == sold.resources["ipv4"]
    assert lease6["new_ip6_address"] == sold.wan_address
    assert lease6["new_ip6_prefix"] == sold.resources["ipv6_pd"]
    assert sold.resources["ipv6_pd"].endswith("/56")
    assert "new_captive_portal" not in lease4
    assert "new_dhcp6_captive_portal" not in lease6


def test_each_of_the_pair_accepts_her(rig, sold):
    password = rig.radius_secret(sold)
    for server in rig.endpoints["aaa"]:
        for chap in (False, True):
            answer = ask(server["host"], server["secret"], sold.view.login, password, chap=chap)
            assert accepted(answer), (server["host"], chap)
            assert answer["Framed-IP-Address"] == [sold.resources["ipv4"]]
            assert answer["Delegated-IPv6-Prefix"] == [sold.resources["ipv6_pd"]]
            assert answer["WISPr-Bandwidth-Max-Down"] == [20_000_000]
        wrong = ask(server["host"], server["secret"], sold.view.login, "another")
        assert wrong is not None and not accepted(wrong)
        stranger = ask(server["host"], server["secret"], "nobody", password)
        assert stranger is not None and not accepted(stranger)
        unsigned = ask(server["host"], server["secret"], sold.view.login, password, signed=False, timeout_s=1)
        assert unsigned is None, "without Message-Authenticator there is no answer"


def test_accounting_told_to_either_of_the_pair_is_her_usage(rig, sold):
    """Gigawords, a repeat to the other server, an answer that was lost, and a NAS that restarts."""
    house, login = rig.stand.house, sold.view.login
    first, second = rig.endpoints["aaa"]
    names = {"User_Name": login, "Acct_Session_Id": "s-1", "NAS_Port_Id": "p1"}
    began = int(SystemClock().now().timestamp()) - 600

    def tell(server, status, after_s, **more):
        named = {} if status == "on" else names | {"Acct_Session_Time": after_s}
        return account(
            server["host"], server["secret"], "agw1", status, Event_Timestamp=began + after_s, **named, **more
        )

    def counted():
        session = house.monitoring.session(sold.service_id)
        return session and (session.upload_octets, session.download_octets)

    assert tell(first, "start", 0)
    wait_until(lambda: counted() == (0, 0), "the session is seen")
    interim = {"Acct_Input_Octets": 500, "Acct_Output_Octets": 7, "Acct_Output_Gigawords": 2}
    assert tell(second, "interim", 300, **interim) and tell(second, "interim", 300, **interim)
    assert tell(first, "interim", 300, **interim)
    wait_until(lambda: counted() == (500, 2 * 2**32 + 7), "Gigawords count, repeats do not")
    assert tell(first, "interim", 200, Acct_Input_Octets=400, Acct_Output_Octets=1)
    assert tell(first, "on", 400)
    wait_until(
        lambda: (found := house.monitoring.session(sold.service_id)) and found.ended_at is not None,
        "Accounting-On ends it",
    )
    ended = house.monitoring.session(sold.service_id)
    assert (ended.cause, ended.ended_at.timestamp()) == ("NAS-Reboot", began + 300)
    assert counted() == (500, 2 * 2**32 + 7)
    rig.stand.settle()
    with house.database.engine.connect() as connection:
        billed = connection.scalar(
            text("SELECT sum(octets) FROM billing.usage WHERE service_id = :id"), {"id": sold.service_id}
        )
    assert billed == 500 + 2 * 2**32 + 7


def test_a_rejected_device_waits_and_does_not_ask_the_database_again(rig):
    server = rig.endpoints["aaa"][0]

    def rejects():
        access = server["database"]
        with psycopg.connect(
            host=access["host"], port=access["port"], dbname=access["database"],
            user=access["username"], password=access["password"],
        ) as connection:  # fmt: skip
            return connection.execute("SELECT count(*) FROM aaa.reject WHERE username ~ 'stormy'").fetchone()

    for _ in range(3):
        began = time.monotonic()
        answer = ask(server["host"], server["secret"], "stormy", "guess", timeout_s=4)
        assert answer is not None and not accepted(answer)
        assert time.monotonic() - began > 0.8, "the answer is held back"
    assert rejects() == (1,)
    assert ask(server["host"], server["secret"], "stormy-2", "guess", timeout_s=4) is not None
    assert rejects() == (2,), "who was not rejected before is looked up"


def test_an_upgrade_changes_the_speed_of_the_running_transfer(rig, sold):
    events = list(sold.subscriber.lease_events(4))
    transfer = sold.subscriber.start_transfer(plan.INTERNET4, 60)
    try:
        rig.change(sold, "metro-50-10")
        assert transfer.running
        wait_until(
            lambda: LEAST <= transfer.last_bps() / 50e6 <= MOST,
            "the running transfer has the new speed",
            timeout_s=40,
        )
    finally:
        transfer.stop()
    new = sold.subscriber.lease_events(4)[len(events) :]
    assert {event.split()[0] for event in new} <= {"RENEW"}, "no new lease"
    ratios = sold.goodput_ratios(50_000, 10_000)
    assert all(LEAST <= ratio <= MOST for ratio in ratios.values()), (ratios, sold.measurements)


def test_nobody_sends_from_her_address(rig, sold):
    other = Subscriber(3 - int(sold.subscriber.port[1:]))
    other.take(sold.resources["ipv4"], plan.ROUTERS4[0])
    other.take(sold.wan_address, "fe80::1")
    try:
        assert not other.pings(plan.INTERNET4)
        assert not other.pings(plan.INTERNET6)
        assert sold.online()
    finally:
        other.forget()


@pytest.fixture(scope="module")
def walled(rig, sold):
    rig.bill_and_suspend(sold)
    return sold


def test_suspended_she_reaches_the_walled_garden_only(walled):
    her = walled.subscriber
    assert not her.pings(plan.INTERNET4)
    assert not her.pings(plan.INTERNET6, source=walled.wan_address)
    assert not her.pings(plan.INTERNET6, source=walled.delegated_address)
    for server in (plan.GARDEN4, plan.GARDEN6):
        assert her.resolves(plan.PAYMENT_HOST, server)
    for url in (f"http://{plan.GARDEN4}/", f"http://[{plan.GARDEN6}]/"):
        page = her.fetch(url)
        assert page is not None and page.text == "payment page\n"
    for url in (f"http://{plan.INTERNET4}/", f"http://[{plan.INTERNET6}]/"):
        page = her.fetch(url)
        assert page is not None and page.status == 511, "led to the payment page"


def test_suspended_dhcp_announces_the_portal(walled):
    wait_until(
        lambda: (
            walled.subscriber.lease(4).get("new_captive_portal") == plan.PORTAL_URL
            and walled.subscriber.lease(6).get("new_dhcp6_captive_portal") == plan.PORTAL_URL
        ),
        "the next renewal announces the captive portal (RFC 8910)",
        timeout_s=60,
    )


def test_suspended_aaa_says_so(rig, walled):
    password = rig.radius_secret(walled)
    for server in rig.endpoints["aaa"]:
        answer = ask(server["host"], server["secret"], walled.view.login, password)
        assert accepted(answer)
        assert answer["Filter-Id"] == ["walled"]


@pytest.fixture(scope="module")
def paid(rig, walled):
    rig.pay(walled)
    walled.wait_online(timeout_s=60)
    rig.wait_state(walled, ServiceState.ACCEPTED)
    return walled


def test_paid_she_is_back(rig, paid):
    page = paid.subscriber.fetch(f"http://{plan.INTERNET4}/")
    assert page is not None and page.text == "the internet\n"
    wait_until(
        lambda: "new_captive_portal" not in paid.subscriber.lease(4), "the portal is forgotten", timeout_s=60
    )
    assert rig.stand.house.billing.balance_minor(paid.account) == 0


def test_what_somebody_changes_by_hand_is_found_and_repaired(rig, paid):
    house = rig.stand.house
    gateway = paid.elements["bng"]
    port = paid.subscriber.port
    paid_class = rig.gateway_class(paid)
    rig.at_the_gateway("tc", "class", "replace", "dev", port, "parent", "1:", "classid", paid_class,
                       "htb", "rate", "1mbit", "ceil", "1mbit")  # fmt: skip
    found = [d for d in house.configuration.differences(gateway) if d.service_id == paid.service_id]
    assert [set(d.attributes) for d in found] == [{"down_kbps"}]
    rig.stand.settle()
    report = house.reconciler.run(repair=True)
    assert {finding.service_id for finding in report.findings} == {paid.service_id}
    rig.stand.settle()
    wait_until(lambda: not house.configuration.differences(gateway), "the rate is repaired")


def test_the_pair_goes_on_without_turnup_its_database_or_the_other(rig, paid):
    password, login = rig.radius_secret(paid), paid.view.login
    first, second = rig.endpoints["aaa"]

    def answers(server):
        return accepted(ask(server["host"], server["secret"], login, password))

    with rig.turnup_stopped():
        assert answers(first) and answers(second)
        assert paid.online()
        pids = namespaces.processes(plan.AAA[0])
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            assert not answers(first)
            assert answers(second)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        wait_until(lambda: answers(first), "the first of the pair is back", timeout_s=30)


def test_ceased_nothing_is_left(rig, paid):
    rig.cease(paid)
    assert rig.held(paid) == {"agw1": False, "kea1": False, "aaa1": False, "aaa2": False}
    assert not paid.subscriber.pings(plan.INTERNET4)
    assert not paid.subscriber.pings(plan.INTERNET6, source=paid.wan_address)
    assert not paid.subscriber.pings(plan.GARDEN4)
    said = rig.at_the_gateway("sh", "-c", "nft list table inet turnup; ip route; ip -6 route")
    for value in (paid.resources["ipv4"], paid.resources["ipv6_wan"], paid.resources["ipv6_pd"]):
        assert value not in said
    assert "class htb" not in rig.at_the_gateway("tc", "class", "show", "dev", paid.subscriber.port)
    assert "class htb" not in rig.at_the_gateway("tc", "class", "show", "dev", plan.UPLINK)
