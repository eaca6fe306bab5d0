"""A request that gets no database connection in time is told to come back; it does not crash, nor wait on."""

from contextlib import ExitStack

from fastapi import APIRouter
from fastapi.testclient import TestClient
from sqlalchemy import text

from builders.house import NOON, lay_out
from turnup.kernel.clock import ManualClock
from turnup.runtime.component import Runtime
from turnup.runtime.database import Database
from turnup.runtime.web import make_app

_OVERFLOW = 5


def test_no_connection_in_time_is_503(database_url: str) -> None:
    lay_out(database_url, [])
    database = Database(database_url, pool_size=1, pool_wait_s=0.05)
    runtime = Runtime(database, ManualClock(NOON), None)  # type: ignore[arg-type]
    router = APIRouter()

    @router.get("/one")
    def one() -> int:
        with database.engine.connect() as connection:
            return int(connection.scalar(text("SELECT 1")))

    client = TestClient(make_app([router], runtime), raise_server_exceptions=False)
    with ExitStack() as others:
        for _ in range(1 + _OVERFLOW):
            others.enter_context(database.engine.connect())
        answer = client.get("/one")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "database_pool_size" in answer.json()["remedy"]
    assert client.get("/one").json() == 1
    database.close()
