"""A subscriber's line over real RADIUS, SSH and PostgreSQL: what brings it up and what breaks it."""

import socket
from dataclasses import replace

import psycopg
import pytest
import yaml

from turnup.lab.client import LabProcess

CONF = ("configure",)


def test_a_whole_line_comes_online_with_the_rows_addresses_and_rates(line, lab, tlos):
    line.provision()
    line.plug()
    session = line.until("online")["session"]
    assert session["ipv4"] == "192.0.2.1"
    assert session["ipv6-wan"] == "2001:db8:0:65::/64"
    assert session["ipv6-pd"] == "2001:db8:1:100::/56"
    assert (session["down-kbps"], session["up-kbps"], session["walled"]) == (300_000, 50_000, "no")
    shown = tlos(lab, "bng1", "show session S1@isp").text
    assert "ipv4=192.0.2.1" in shown and "access=olt1/pon-0/1/3/101" in shown
    line.until_accounted("start")
    rows = line.accounting("status", "username", "host(framed_ipv4)", "circuit_id", "nas")
    assert ("start", "S1@isp", "192.0.2.1", "olt1/pon-0/1/3/101", "bng1") in rows
    assert rows[0][0] == "on" or ("on",) not in line.accounting("status")


@pytest.mark.parametrize(
    ("device", "change", "reason"),
    [
        ("olt1", "delete service S1", "ont not registered"),
        ("olt1", "set service S1 admin down", "service admin down"),
        ("olt1", "set service S1 port pon-0/1/4", "ont not registered"),
        ("olt1", "set service S1 vlan 999", "no subscriber on the bng"),
        ("olt1", "delete service S1 ont-serial", "ont not registered"),
        ("olt1", "set port pon-0/1/3 admin down", "pon port down"),
        ("olt1", "set port xe-0/0/0 admin down", "uplink down"),
        ("bng1", "set port xe-0/0/0 admin down", "uplink down"),
        ("bng1", "delete subscriber S1", "no subscriber on the bng"),
        ("bng1", "set subscriber S1 access olt1/pon-0/1/3/500", "no subscriber on the bng"),
    ],
)
def test_wrong_configuration_drops_the_session_and_the_right_one_brings_it_back(
    line, lab, tlos, device, change, reason
):
    line.provision()
    line.plug()
    line.until("online")
    assert tlos(lab, device, *CONF, change, "commit").status == 0
    line.until("blocked", reason=reason)
    line.until_accounted("stop")
    assert ("stop", "Lost-Carrier") in line.accounting("status", "terminate_cause")
    assert lab.client.reach(name="S1") is False
    assert tlos(lab, device, *CONF, "rollback 1", "commit force").status == 0
    line.until("online")


@pytest.mark.parametrize("leaf", ["ipv4 198.51.100.9", "ipv6-pd 2001:db8:ff00::/56"])
def test_addresses_that_aaa_and_bng_see_differently_do_not_pass(line, lab, tlos, leaf):
    line.provision()
    line.plug()
    line.until("online")
    assert tlos(lab, "bng1", *CONF, f"set subscriber S1 {leaf}", "commit").status == 0
    line.until("rejected", reason="is not the configured one")


def test_an_unplugged_cpe_and_a_cut_fibre_end_the_session(line, lab):
    line.provision()
    line.plug()
    line.until("online")
    lab.client.cut_link(name="olt1-uplink")
    line.until("blocked", reason="uplink down")
    lab.client.restore_link(name="olt1-uplink")
    line.until("online")
    lab.client.unplug(name="S1")
    line.until_accounted("stop", 2)
    assert lab.client.sessions() == []


def test_a_dead_olt_takes_its_own_subscribers_and_no_others(line, lab, tlos):
    line.provision("S1", pon=3, vlan=101)
    line.plug("S1")
    line.until("online", "S1")
    lab.client.power_off(device="olt2")
    assert lab.client.cpe(name="S1")["state"] == "online"
    lab.client.power_off(device="olt1")
    line.until("blocked", "S1", reason="olt down")
    lab.client.power_on(device="olt1")
    line.until("online", "S1")


def test_a_dead_bng_says_nothing_and_after_boot_accounting_on(line, lab):
    line.provision()
    line.plug()
    line.until("online")
    lab.client.power_off(device="bng1")
    line.until("blocked", reason="uplink down")
    lab.client.power_on(device="bng1")
    line.until("online")
    line.until_accounted("on")
    line.until_accounted("start", 2)
    assert line.accounting("status").count(("stop",)) == 0
    idents = [ident for status, ident in line.accounting("status", "session_id") if status == "start"]
    assert len(set(idents)) == 2


def test_aaa_rejects_unknown_wrong_and_disabled_and_notes_why(line, lab, aaa_database):
    line.provision("S1", pon=1, vlan=101)
    line.plug("S1", pon=1, password="wrong")
    line.until("rejected", "S1", reason="wrong password")
    line.provision("S2", pon=2, vlan=102, state="disabled")
    line.plug("S2", pon=2)
    line.until("rejected", "S2", reason="subscriber disabled")
    line.provision("S3", pon=4, vlan=103)
    with psycopg.connect(aaa_database, autocommit=True) as connection:
        connection.execute("DELETE FROM aaa.subscriber WHERE username = 'S3@isp'")
        line.plug("S3", pon=4)
        line.until("rejected", "S3", reason="unknown subscriber")
        reasons = dict(
            connection.execute("SELECT username, max(reason) FROM aaa.reject GROUP BY 1").fetchall()
        )
    assert reasons == {
        "S1@isp": "wrong password", "S2@isp": "subscriber disabled", "S3@isp": "unknown subscriber",
    }  # fmt: skip
    line.provision("S2", pon=2, vlan=102, state="active")  # the CPE dials again by itself
    line.until("online", "S2")


def test_the_walled_garden_lets_only_the_portal_through(line, lab):
    line.provision(state="walled")
    line.plug()
    session = line.until("online")["session"]
    assert (session["walled"], session["filter"]) == ("yes", "walled")
    assert lab.client.reach(name="S1", to="portal") is True
    assert lab.client.reach(name="S1", to="internet") is False
    assert lab.client.traffic()["S1"]["down_kbps"] == 64


def test_the_bng_stanza_can_wall_in_a_live_session(line, lab, tlos):
    line.provision()
    line.plug()
    line.until("online")
    tlos(lab, "bng1", *CONF, "set subscriber S1 walled yes", "commit")
    assert lab.client.cpe(name="S1")["session"]["walled"] == "yes"
    assert lab.client.reach(name="S1") is False


def test_traffic_obeys_the_narrowest_rate_and_counts_on_every_port(line, lab, tlos):
    line.provision(down=300_000, up=50_000)
    line.plug(demand=1_000_000)
    line.until("online")
    assert lab.client.traffic()["S1"]["down_kbps"] == 300_000
    tlos(lab, "olt1", *CONF, "set service S1 down-kbps 100000", "commit")
    tlos(lab, "bng1", *CONF, "set subscriber S1 up-kbps 7000", "commit")
    flow = lab.client.traffic()["S1"]
    assert (flow["down_kbps"], flow["up_kbps"]) == (100_000, 7_000)
    before = lab.client.traffic()["S1"]
    lab.client.advance_clock(seconds=3600)
    after = lab.client.traffic()["S1"]
    hour_down, hour_up = 100_000 * 125 * 3600, 7_000 * 125 * 3600
    assert hour_down <= after["down_octets"] - before["down_octets"] < hour_down * 1.01
    assert hour_up <= after["up_octets"] - before["up_octets"] < hour_up * 1.01
    lab.client.interim(username="S1@isp")
    line.until_accounted("interim")
    ((_status, up, down, seconds),) = [
        row
        for row in line.accounting("status", "input_octets", "output_octets", "session_time_s")
        if row[0] == "interim"
    ]
    assert down >= after["down_octets"] > 2**32  # Gigawords were folded in
    assert up >= after["up_octets"] and seconds >= 3600
    lab.client.set_demand(name="S1", down_kbps=500, up_kbps=100)
    assert lab.client.traffic()["S1"]["down_kbps"] == 500


def test_accounting_waits_for_a_dead_server_and_is_not_doubled(line, lab):
    line.provision()
    line.plug()
    line.until("online")
    line.until_accounted("start")
    lab.client.set_aaa(answering=False)
    lab.client.unplug(name="S1")
    assert lab.client.status()["unacknowledged"]["bng1"] >= 1
    lab.client.set_aaa(answering=True)
    line.until_accounted("stop")
    lab.client.wait_for(lambda client: client.status()["unacknowledged"]["bng1"] == 0)
    assert line.accounting("status").count(("stop",)) == 1


def test_clear_session_makes_the_cpe_dial_again(line, lab, tlos):
    line.provision()
    line.plug()
    first = line.until("online")["session"]["session"]
    assert tlos(lab, "bng1", "clear session S1@isp").text == "cleared 1\n"
    lab.client.wait_for(
        lambda client: (client.cpe(name="S1")["session"] or {}).get("session", first) != first
    )
    assert tlos(lab, "bng1", "clear session nobody").text == "% Error: not found: session nobody\n"


def test_an_orderly_reboot_of_the_bng_closes_its_accounts(line, lab, tlos):
    line.provision()
    line.plug()
    line.until("online")
    line.until_accounted("start")
    tlos(lab, "bng1", "reboot")
    line.until_accounted("off")
    line.until_accounted("start", 2)
    assert ("stop", "Admin-Reboot") in line.accounting("status", "terminate_cause")
    assert line.until("online")


def test_a_nas_asks_its_second_server_when_the_first_is_silent(
    network_file, tmp_path, aaa_database, lab, line, tlos
):
    """A second lab, whose BNG knows a dead server and then the first lab's AAA."""
    auth, acct = lab.endpoints["radius"]["auth"], lab.endpoints["radius"]["acct"]
    network = yaml.safe_load(network_file.read_text())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        network["devices"]["bng1"]["radius"]["servers"] = [
            {"auth": list(silent.getsockname()), "acct": list(silent.getsockname()), "secret": "whatever"},
            {"auth": auth, "acct": acct, "secret": network["aaa"]["secret"]},
        ]
        file = tmp_path / "network.yaml"
        file.write_text(yaml.safe_dump(network))
        with LabProcess(file, tmp_path / "state") as second:
            there = replace(line, lab=second)
            there.provision()
            there.plug()
            there.until("online")
            there.until_accounted("start")


def test_aaa_without_its_database_is_silent_and_recovers(line, lab, aaa_database):
    line.provision()
    with psycopg.connect(aaa_database, autocommit=True) as connection:
        connection.execute("ALTER TABLE aaa.subscriber RENAME TO gone")
        line.plug()
        line.until("rejected", reason="no answer from AAA")
        connection.execute("ALTER TABLE aaa.gone RENAME TO subscriber")
    line.until("online")


def test_three_hundred_subscribers_come_online_together(line, lab, aaa_database):
    """More requests than one UDP port has identifiers for are waiting at once, and none is lost."""
    count = 300
    with psycopg.connect(aaa_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO aaa.subscriber (username, secret, ipv4, down_kbps, up_kbps)"
            " VALUES (%s, 'pw', %s, 9, 9)",
            [(f"m{n}", f"198.18.{n // 250}.{n % 250}") for n in range(count)],
        )
    services, subscribers, cpes = [], [], []
    for n in range(count):
        pon, vlan = f"pon-0/1/{n % 16}", 100 + n // 16
        services.append(f"set service m{n} port {pon} vlan {vlan} ont-serial MANY{n} down-kbps 9 up-kbps 9")
        subscribers.append(
            f"set subscriber m{n} username m{n} access olt1/{pon}/{vlan} down-kbps 9 up-kbps 9"
        )
        cpes.append({
            "name": f"m{n}", "at": f"olt1/{pon}", "serial": f"MANY{n}", "username": f"m{n}", "password": "pw",
        })  # fmt: skip
    lab.client.tamper(device="olt1", lines=services)
    lab.client.tamper(device="bng1", lines=subscribers)
    lab.client.plug_many(cpes=cpes)
    lab.client.wait_for(lambda client: client.status()["cpes"] == {"online": count}, timeout_s=120)
    line.until_accounted("start", count)
    assert len(set(line.accounting("host(framed_ipv4)"))) >= count


def test_a_second_uplink_carries_on_where_the_first_is_cut(network_file, tmp_path, aaa_database, line):
    network = yaml.safe_load(network_file.read_text())
    network["links"].append({"name": "olt1-second", "a": "olt1/xe-0/0/1", "b": "bng1/xe-0/0/2"})
    file = tmp_path / "network.yaml"
    file.write_text(yaml.safe_dump(network))
    with LabProcess(file, tmp_path / "state", aaa_database) as second:
        there = replace(line, lab=second)
        there.provision()
        there.plug()
        first = there.until("online")["session"]["session"]
        second.client.cut_link(name="olt1-uplink")
        second.client.advance_clock(seconds=100)
        assert second.client.cpe(name="S1")["session"]["session"] == first
        ports = there.tlos(second, "olt1", "show port xe-0/0/0", "show port xe-0/0/1").text.splitlines()
        octets = [int(row.split("in-octets=")[1].split()[0]) for row in ports]
        assert octets[0] < octets[1] and octets[1] >= 300_000 * 125 * 100
        second.client.cut_link(name="olt1-second")
        there.until("blocked", reason="uplink down")
