"""An edge on a database of its own, staff to hire, and a dangerous use case that needs four eyes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.testclient import TestClient

from builders.house import lay_out, runtime_on
from turnup.kernel.access import ROLES
from turnup.kernel.errors import Conflict
from turnup.runtime.access import staff
from turnup.runtime.access.edge import Access, access_by_default
from turnup.runtime.access.four_eyes import FourEyes, guarded
from turnup.runtime.access.routes import staff_grant
from turnup.runtime.access.staff import access_unit
from turnup.runtime.auth import authorise
from turnup.runtime.component import Runtime
from turnup.runtime.dangerous import Arguments, Dangerous
from turnup.runtime.unit_of_work import UnitOfWork
from turnup.runtime.web import make_app

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("runtime_only", lambda url: lay_out(url, []))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as runtime:
        yield runtime


@pytest.fixture
def hire(runtime: Runtime) -> Callable[..., None]:
    """`hire(name, role, …)`: a staff member with the password of these tests."""

    def hired(name: str, *roles: str, password: str | None = PASSWORD, **more: Any) -> None:
        with access_unit(runtime, "cli:test") as unit:
            staff.grant(unit, name, roles, **more)
            if password is not None:
                staff.set_password(unit, name, password)

    return hired


class Siren:
    """A dangerous use case that counts how often it sounded, and fails when told to."""

    def __init__(self) -> None:
        self.breaks = False

    def dangerous(self) -> Dangerous:
        return Dangerous(
            action="siren.sound",
            scope="operations:write",
            component=None,
            what=lambda arguments: f"sound the siren: {arguments['why']}",
            run=self._sound,
        )

    def _sound(self, unit: UnitOfWork, arguments: Arguments) -> Mapping[str, Any]:
        unit.audit("siren.sounded", arguments["why"])
        if self.breaks:
            raise Conflict("the siren is broken")
        return {"by": unit.actor}


@pytest.fixture
def siren() -> Siren:
    return Siren()


@pytest.fixture
def access(runtime: Runtime, siren: Siren) -> Access:
    dangerous = [siren.dangerous(), staff_grant(ROLES)]
    four_eyes = FourEyes(runtime, dangerous, required=["all"], lasting=timedelta(hours=8))
    return replace(access_by_default(runtime), four_eyes=four_eyes)


@pytest.fixture
def app(runtime: Runtime, access: Access) -> FastAPI:
    router = APIRouter()

    @router.post("/siren")
    def sound(request: Request, why: str) -> Response:
        caller = authorise(request, "operations:write")
        return guarded(request, caller, "siren.sound", {"why": why})

    @router.get("/orders")
    def orders(request: Request) -> dict[str, str]:
        return {"actor": authorise(request, "orders:read").actor}

    @router.post("/echo")
    async def echo(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    return make_app([router], runtime, access=access)


@pytest.fixture
def browser(app: FastAPI) -> Callable[..., TestClient]:
    """`browser(name)`: somebody who is logged in, by bearer; without a name, nobody."""

    def opened(name: str | None = None, password: str = PASSWORD) -> TestClient:
        client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
        if name is not None:
            answer = client.post("/turnup/v1/login", json={"name": name, "password": password})
            assert answer.status_code == 200, answer.text
            client.cookies.clear()
            client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return client

    return opened


@pytest.fixture
def audited(runtime: Runtime) -> Callable[..., list[tuple[str, str]]]:
    """`audited(action)`: (actor, subject) of every such entry, in order."""

    def entries(action: str) -> list[tuple[str, str]]:
        with runtime.database.engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT actor, subject FROM runtime.audit WHERE action = %s ORDER BY audit_id", (action,)
            )
            return [(row[0], row[1]) for row in rows]

    return entries
