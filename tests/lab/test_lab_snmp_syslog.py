"""SNMP by gufo-snmp, and syslog as a collector hears it."""

import socket

import pytest
from gufo.snmp import NoSuchInstance
from gufo.snmp.sync import SnmpSession

SYS_NAME = "1.3.6.1.2.1.1.5.0"
IF_NAME, IF_IN, IF_OUT = (f"1.3.6.1.2.1.31.1.1.1.{column}" for column in (1, 6, 10))
IF_OPER = "1.3.6.1.2.1.2.2.1.8"
ONT = "1.3.6.1.4.1.32473.20.1.1"


def agent(lab, device, timeout=2.0, community=None):
    host, port, known = lab.endpoints["elements"][device]["snmp"]
    return SnmpSession(addr=host, port=port, community=community or known, timeout=timeout)


def index_of(snmp, name):
    (found,) = [oid.rpartition(".")[2] for oid, value in snmp.getnext(IF_NAME) if value == name.encode()]
    return found


def test_system_group_and_interfaces_by_get_next_and_bulk(lab):
    with agent(lab, "olt1") as snmp:
        assert snmp.get(SYS_NAME) == b"olt1"
        assert snmp.get_many(["1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.6.0"]) == {
            "1.3.6.1.2.1.1.1.0": b"tlos 1.0 olt", "1.3.6.1.2.1.1.6.0": b"POP 1, rack 2",
        }  # fmt: skip
        names = [value for _, value in snmp.getnext(IF_NAME)]
        assert names == [f"pon-0/1/{n}".encode() for n in range(16)] + [b"xe-0/0/0", b"xe-0/0/1"]
        assert list(snmp.getbulk(IF_NAME)) == list(snmp.getnext(IF_NAME))
        assert len(list(snmp.getbulk("1.3.6.1.2.1"))) > 18 * 15
        with pytest.raises(NoSuchInstance):
            snmp.get("1.3.6.1.2.1.1.99.0")


def test_a_dead_device_and_a_wrong_community_get_silence(lab):
    with agent(lab, "olt1", timeout=0.2, community="guess") as snmp, pytest.raises(TimeoutError):
        snmp.get(SYS_NAME)
    lab.client.power_off(device="olt1")
    with agent(lab, "olt1", timeout=0.2) as snmp, pytest.raises(TimeoutError):
        snmp.get(SYS_NAME)
    with agent(lab, "olt2") as snmp:
        assert snmp.get(SYS_NAME) == b"olt2"


def test_counters_follow_traffic_on_the_pon_port_and_both_ends_of_the_uplink(line, lab):
    line.provision(pon=3, down=100_000, up=20_000)
    line.plug(pon=3)
    line.until("online")
    lab.client.advance_clock(seconds=1000)
    with agent(lab, "olt1") as olt, agent(lab, "bng1") as bng:
        pon, uplink = index_of(olt, "pon-0/1/3"), index_of(olt, "xe-0/0/0")
        down, up = 100_000 * 125 * 1000, 20_000 * 125 * 1000
        assert down <= olt.get(f"{IF_OUT}.{pon}") < down * 1.05
        assert up <= olt.get(f"{IF_IN}.{pon}") < up * 1.05
        assert down <= olt.get(f"{IF_IN}.{uplink}") < down * 1.05
        assert down <= bng.get(f"{IF_OUT}.{index_of(bng, 'xe-0/0/0')}") < down * 1.05
        assert bng.get(f"{IF_OUT}.{index_of(bng, 'xe-0/0/1')}") == 0
        rows = {oid.removeprefix(ONT + "."): value for oid, value in olt.getnext(ONT)}
        assert rows[f"1.{pon}.1"] == b"ONTS1" and -3000 < rows[f"2.{pon}.1"] < -1000


def test_oper_status_shows_a_cut_fibre_at_both_ends_and_syslog_says_so(lab):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(3)
        host, port = collector.getsockname()
        lab.client.set_syslog(host=host, port=port)
        lab.client.cut_link(name="olt1-uplink")
        heard = {collector.recv(2048).decode() for _ in range(2)}
        assert {line.split()[2] for line in heard} == {"olt1", "bng1"}
        for line in heard:
            assert line.startswith("<189>1 20") and "tlos - LINK_DOWN - interface xe-0/0/0" in line
    with agent(lab, "olt1") as snmp:
        assert snmp.get(f"{IF_OPER}.{index_of(snmp, 'xe-0/0/0')}") == 2
        lab.client.restore_link(name="olt1-uplink")
        assert snmp.get(f"{IF_OPER}.{index_of(snmp, 'xe-0/0/0')}") == 1


def test_syslog_of_login_and_commit(lab, tlos):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(3)
        host, port = collector.getsockname()
        lab.client.set_syslog(host=host, port=port)
        tlos(
            lab,
            "olt1",
            "configure",
            "set service A port pon-0/1/1 vlan 2 down-kbps 1 up-kbps 1",
            "commit",
        )
        heard = [collector.recv(2048).decode() for _ in range(2)]
    assert "LOGIN - user turnup" in heard[0]
    assert "COMMIT - revision 1 by turnup@127.0.0.1" in heard[1]
