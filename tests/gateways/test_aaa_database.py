"""The AAA server's database: subscribers written, accounting read forward without a gap."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import resources

import psycopg
import pytest

from builders.lab_network import AAA, NOBODY, aaa_subscriber, drop, put, service_id
from builders.silence import silent_after
from turnup.contracts.configuration import ElementRefused, StaleGeneration
from turnup.gateways.aaa_database.accounting import AaaAccounting
from turnup.gateways.aaa_database.database import aaa_database, create_schema
from turnup.gateways.aaa_database.driver import AaaDatabaseDriver
from turnup.kernel.errors import Unavailable
from turnup.kernel.ids import derived_id
from turnup.lab.aaa import create_schema as create_lab_schema
from turnup.runtime.embedded import create_database, drop_database

RECORD = (
    "INSERT INTO aaa.accounting (nas, session_id, username, status, event_at, session_time_s)"
    " VALUES ('bng1', %s, 's1@isp', 'interim', now(), %s) ON CONFLICT DO NOTHING"
)


class _Server:
    def __init__(self, url):
        self.driver = AaaDatabaseDriver(url)

    def apply(self, *changes):
        return self.driver.apply(AAA, NOBODY, changes, deadline_s=5.0)

    def read(self, *services):
        return self.driver.read(AAA, NOBODY, list(services) or None, deadline_s=5.0)


@pytest.fixture
def server(aaa_empty):
    return _Server(aaa_empty)


@pytest.fixture
def writer(aaa_empty):
    with psycopg.connect(aaa_empty) as connection:
        yield connection


def test_what_was_applied_is_read_back(server):
    commands = server.apply(
        put(aaa_subscriber(1)), put(aaa_subscriber(2, ipv6_pd="2001:0db8:0001:0200::/56"))
    )
    assert "pw-1" not in "".join(commands)
    assert server.read(service_id(1)) == {service_id(1): aaa_subscriber(1)}
    assert set(server.read()) == {service_id(1), service_id(2)}
    assert server.read()[service_id(2)].attributes["ipv6_pd"] == "2001:db8:1:200::/56"


def test_a_change_replaces_all_and_the_old_login_is_gone(server):
    server.apply(put(aaa_subscriber(1)))
    bare = aaa_subscriber(1, 2, username="new@isp", state="walled")
    bare = replace(bare, attributes={k: v for k, v in bare.attributes.items() if not k.startswith("ipv6")})
    server.apply(put(bare))
    assert server.read() == {service_id(1): bare}


def test_an_older_generation_is_refused_also_after_removal(server):
    server.apply(put(aaa_subscriber(1, 5)))
    with pytest.raises(StaleGeneration):
        server.apply(put(aaa_subscriber(2)), put(aaa_subscriber(1, 4)))
    assert set(server.read()) == {service_id(1)}
    server.apply(drop(aaa_subscriber(1), 6))
    server.apply(drop(aaa_subscriber(1), 6))
    with pytest.raises(StaleGeneration):
        server.apply(put(aaa_subscriber(1, 5)))
    assert server.read() == {}


def test_two_writers_at_once_leave_the_newer(server):
    def apply(generation):
        with contextlib.suppress(StaleGeneration):
            server.apply(put(aaa_subscriber(1, generation, down_kbps=str(generation))))

    threads = [threading.Thread(target=apply, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.read()[service_id(1)].attributes["down_kbps"] == "8"


def test_a_taken_login_is_refused_without_telling_secrets(server):
    server.apply(put(aaa_subscriber(1)))
    with pytest.raises(ElementRefused) as refused:
        server.apply(put(aaa_subscriber(2, username="s1@isp")))
    assert "pw-" not in str(refused.value)
    with pytest.raises(ElementRefused) as refused:
        server.apply(put(aaa_subscriber(2, down_kbps="-1")))
    assert "pw-" not in str(refused.value)


def test_rows_of_others_are_seen_and_taken_over(server, writer):
    writer.execute(
        "INSERT INTO aaa.subscriber (username, secret, down_kbps, up_kbps) VALUES ('s1@isp', 'old', 1, 1)"
    )
    writer.commit()
    assert set(server.read()) == {derived_id("foreign", "aaa1", "s1@isp")}
    server.apply(put(aaa_subscriber(1)))
    assert server.read() == {service_id(1): aaa_subscriber(1)}


def test_the_backup_holds_no_secret_and_cannot_be_restored(server):
    server.apply(put(aaa_subscriber(1)))
    text = server.driver.running_config(AAA, NOBODY, deadline_s=5.0)
    assert "s1@isp" in text and "pw-1" not in text
    with pytest.raises(ElementRefused):
        server.driver.restore(AAA, NOBODY, text, deadline_s=5.0)


def test_without_its_database_it_is_unavailable():
    away = AaaDatabaseDriver("host=/nowhere dbname=x")
    with pytest.raises(Unavailable):
        away.read(AAA, NOBODY, None, deadline_s=0.5)


def test_a_locked_table_misses_the_deadline(server, writer):
    writer.execute("LOCK TABLE aaa.subscriber")
    with pytest.raises(Unavailable):
        server.driver.apply(AAA, NOBODY, [put(aaa_subscriber(1))], deadline_s=0.2)


def test_wherever_a_writer_falls_silent_it_blocks_nobody(server, aaa_empty):
    """A process stopped in the middle of an apply keeps its connection; its locks must go all the same."""
    fell = []

    def stop_after(pieces):
        with silent_after(aaa_empty, pieces) as (url, silence):
            lines = [pieces * 3 + n for n in range(3)]
            stopped = threading.Thread(target=_apply_quietly, args=(url, lines, 1), daemon=True)
            stopped.start()
            while stopped.is_alive() and not silence.fell.wait(0.01):
                pass
            if silence.fell.is_set():
                fell.append(pieces)
            changes = [put(aaa_subscriber(n, 2)) for n in lines]
            server.driver.apply(AAA, NOBODY, changes, deadline_s=10.0)
        stopped.join()

    with ThreadPoolExecutor(24) as everybody:
        list(everybody.map(stop_after, range(1, 25)))
    assert 4 < len(fell) < 24, "the silence begins before, within and after the transaction"


def _apply_quietly(url, lines, generation):
    driver = AaaDatabaseDriver(url)
    with contextlib.suppress(Unavailable), contextlib.closing(driver):
        driver.apply(AAA, NOBODY, [put(aaa_subscriber(n, generation)) for n in lines], deadline_s=1.0)


# --- accounting -------------------------------------------------------------------------------------------


def test_records_come_in_order_and_by_pages(aaa_empty, writer):
    source = AaaAccounting(aaa_database(aaa_empty))
    assert source.read_after(0, 10) == []
    for n in range(5):
        writer.execute(RECORD, ("a", n))
    writer.commit()
    first = source.read_after(0, 3)
    rest = source.read_after(first[-1].source_id, 3)
    assert [record.session_time_s for record in [*first, *rest]] == [0, 1, 2, 3, 4]
    assert source.read_after(rest[-1].source_id, 3) == []


def test_a_record_committed_late_with_a_smaller_id_is_not_missed(aaa_empty, writer):
    source = AaaAccounting(aaa_database(aaa_empty))
    writer.execute(RECORD, ("late", 1))
    with psycopg.connect(aaa_empty) as other:
        other.execute(RECORD, ("early", 2))
    seen = list(source.read_after(0, 10))
    assert seen == [], "the smaller id is still in flight"
    writer.commit()
    seen += source.read_after(0, 10)
    assert [record.session_id for record in seen] == ["late", "early"]


def test_a_writer_that_never_ends_is_not_taken_for_silence(aaa_empty, writer, monkeypatch):
    monkeypatch.setattr("turnup.gateways.aaa_database.accounting._STUCK_S", 0.0)
    source = AaaAccounting(aaa_database(aaa_empty))
    writer.execute(RECORD, ("stuck", 1))
    with pytest.raises(Unavailable, match=r"aaa\.accounting"):
        source.read_after(0, 10)
    writer.commit()
    assert [record.session_id for record in source.read_after(0, 10)] == ["stuck"]


def test_gaps_of_repeats_and_rollbacks_do_not_hold_it_up(aaa_empty, writer):
    source = AaaAccounting(aaa_database(aaa_empty))
    for _ in range(3):
        writer.execute(RECORD, ("a", 1))
        writer.commit()
    writer.execute(RECORD, ("b", 1))
    writer.rollback()
    writer.execute(RECORD, ("c", 1))
    writer.commit()
    assert [record.session_id for record in source.read_after(0, 10)] == ["a", "c"]


def test_many_writers_at_once_are_all_read_once(aaa_empty):
    source = AaaAccounting(aaa_database(aaa_empty))
    done = threading.Event()

    def write(name):
        with psycopg.connect(aaa_empty, autocommit=True) as connection:
            for n in range(150):
                connection.execute(RECORD, (name, n))

    threads = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    threading.Thread(target=lambda: ([thread.join() for thread in threads], done.set())).start()
    seen, cursor, finished = [], 0, False
    while True:
        page = source.read_after(cursor, 50)
        seen += [(record.session_id, record.session_time_s) for record in page]
        cursor = page[-1].source_id if page else cursor
        if not page and finished:
            break
        finished = done.is_set()
    assert len(seen) == len(set(seen)) == 600


def test_the_last_reject_says_why(aaa_empty, writer):
    source = AaaAccounting(aaa_database(aaa_empty))
    assert source.last_rejection("s1@isp") is None
    for reason in ("unknown subscriber", "wrong password"):
        writer.execute("INSERT INTO aaa.reject (username, reason) VALUES ('s1@isp', %s)", (reason,))
    writer.commit()
    assert source.last_rejection("s1@isp").reason == "wrong password"


# --- the schema -------------------------------------------------------------------------------------------


def test_the_lab_and_the_product_agree_on_the_schema(postgres):
    found = []
    for name, create in (("aaa_ours", create_schema), ("aaa_labs", create_lab_schema)):
        create_database(postgres, name)
        create(postgres.conninfo(name))
        with psycopg.connect(postgres.conninfo(name)) as connection:
            found.append(
                connection.execute(
                    "SELECT table_name, column_name, data_type, is_nullable, column_default"
                    " FROM information_schema.columns WHERE table_schema = 'aaa' ORDER BY 1, 2"
                ).fetchall()
                + connection.execute(
                    "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'aaa' ORDER BY 1, 2"
                ).fetchall()
            )
        drop_database(postgres, name)
    assert found[0] == found[1] and len(found[0]) > 30
    assert resources.files("turnup.gateways.aaa_database").joinpath("schema.sql").is_file()
