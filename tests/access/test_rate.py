"""How much a caller may ask for: over all servers together, and how large."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from turnup.kernel.errors import TooManyRequests
from turnup.runtime.access.edge import Access
from turnup.runtime.access.rate import PostgresStorage, RequestRate
from turnup.runtime.component import Runtime


def passed(rate: RequestRate, tries: int, who: str = "token:shop") -> int:
    count = 0
    for _ in range(tries):
        try:
            rate.spend(who)
            count += 1
        except TooManyRequests as refusal:
            assert 1 <= refusal.retry_after_s <= 60
    return count


def end_windows(runtime: Runtime) -> None:
    with runtime.database.engine.begin() as connection:
        connection.execute(text("UPDATE runtime.rate_window SET ends_at = now()"))


def test_servers_count_together_and_callers_apart(runtime: Runtime) -> None:
    one, two = (RequestRate(runtime.database.engine, 10) for _ in range(2))
    assert passed(one, 6) == 6
    assert passed(two, 6) == 4
    assert passed(one, 1) == 0
    assert passed(two, 3, "token:other") == 3
    end_windows(runtime)
    assert passed(RequestRate(runtime.database.engine, 10), 12) == 10


def test_blocks_never_let_more_through_and_waste_little(runtime: Runtime) -> None:
    one, two = (RequestRate(runtime.database.engine, 1000) for _ in range(2))
    together = passed(one, 700) + passed(two, 700)
    assert 990 <= together <= 1000
    with runtime.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM runtime.rate_window")) == 1


def test_no_limit(runtime: Runtime) -> None:
    assert passed(RequestRate(runtime.database.engine, 0), 50) == 50
    assert PostgresStorage(runtime.database.engine).get("anything") == 0


def test_the_storage_keeps_its_promises(runtime: Runtime) -> None:
    storage = PostgresStorage(runtime.database.engine)
    assert [storage.incr("k", 60, 2), storage.incr("k", 60)] == [2, 3]
    assert (storage.get("k"), storage.check()) == (3, True)
    assert 0 < storage.left_s("k") <= 60
    assert storage.get_expiry("k") > storage.get_expiry("never")
    end_windows(runtime)
    assert (storage.get("k"), storage.incr("k", 60)) == (0, 1)
    storage.clear("k")
    assert storage.get("k") == 0
    storage.incr("k", 60)
    assert storage.reset() == 1


@pytest.fixture
def access(access: Access, runtime: Runtime) -> Iterator[Access]:
    yield replace(access, rate=RequestRate(runtime.database.engine, 3), body_bytes_max=1000)


def test_by_http(hire: Any, browser: Callable[..., TestClient]) -> None:
    hire("anna", "billing")
    hire("ben", "billing")
    anna = browser("anna")
    assert [anna.get("/orders").status_code for _ in range(3)] == [200, 200, 200]
    refused = anna.get("/orders")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert browser("ben").get("/orders").status_code == 200


def test_bodies_that_are_too_large(app: FastAPI) -> None:
    client = TestClient(app, raise_server_exceptions=False)

    def unsaid(chunks: int) -> Iterator[bytes]:
        for _ in range(chunks):
            yield b"x" * 100

    assert client.post("/echo", content=b"x" * 1000).json() == {"bytes": 1000}
    assert client.post("/echo", content=unsaid(10)).json() == {"bytes": 1000}
    for large in (b"x" * 1001, unsaid(11)):
        refused = client.post("/echo", content=large)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    parsed = client.post("/turnup/v1/login", content=unsaid(11), headers={"Content-Type": "application/json"})
    assert parsed.status_code == 413, "where the framework reads it, too"
