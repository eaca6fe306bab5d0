"""The resource toolkit, on a small resource with a table of its own: the edge as clients meet it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Column, MetaData, Table, Text, delete, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB

from builders.house import client_of, lay_out, runtime_on
from turnup.kernel.errors import Conflict, InvalidInput
from turnup.kernel.ids import derived_id, new_id
from turnup.runtime.auth import issue_token
from turnup.runtime.component import Component, Runtime, Schema
from turnup.runtime.embedded import ConnectionInfo, create_database, drop_database
from turnup.runtime.tmf import Attribute, Kind, Query, Reply, Resource, router
from turnup.runtime.web import make_app

metadata = MetaData(schema="sample")
note = Table(
    "note", metadata, Column("id", Text, primary_key=True), Column("document", JSONB, nullable=False)
)
SCHEMA = Schema(name="sample", metadata=metadata)
ALARMS = "/tmf-api/alarmManagement/v5/alarm"


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("tmf_sample", lambda url: lay_out(url, [SCHEMA]))


ATTRIBUTES = {
    "state": Attribute(sortable=True),
    "n": Attribute(Kind.NUMBER, sortable=True),
    "place.site": Attribute(sortable=True),
    "at": Attribute(Kind.INSTANT),
}


class Notes:
    """A resource that behaves: keeps its documents in its own schema."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.listed = 0

    def all(self, query: Query) -> Iterator[dict[str, Any]]:
        with self.runtime.snapshot("sample") as connection:
            for document in connection.scalars(select(note.c.document).order_by(note.c.id)):
                self.listed += 1
                yield document

    def one(self, identity: str) -> dict[str, Any] | None:
        with self.runtime.snapshot("sample") as connection:
            return connection.scalar(select(note.c.document).where(note.c.id == identity))

    def create(self, unit: Any, body: dict[str, Any], key: str | None) -> dict[str, Any] | str | Reply:
        if "state" not in body:
            raise InvalidInput("is missing", field="state", remedy="give a state")
        identity = str(derived_id("note", key) if key else new_id())
        if key and unit.connection.scalar(select(note.c.id).where(note.c.id == identity)):
            return identity
        document = {**body, "id": identity}
        unit.connection.execute(insert(note).values(id=identity, document=document))
        if body["state"] == "refused":
            raise Conflict("refused after writing")
        return Reply(document, 202) if body["state"] == "slow" else document

    def patch(self, unit: Any, identity: str, changes: dict[str, Any]) -> str:
        document = {**(self.one(identity) or {}), **changes}
        document = {name: value for name, value in document.items() if value is not None}
        unit.connection.execute(update(note).where(note.c.id == identity).values(document=document))
        return identity

    def delete(self, unit: Any, identity: str) -> None:
        unit.connection.execute(delete(note).where(note.c.id == identity))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as runtime:
        yield runtime


@pytest.fixture
def notes(runtime: Runtime) -> Notes:
    return Notes(runtime)


def component(runtime: Runtime, notes: Notes) -> Component:
    resource = Resource(
        api="TMF642",
        name="alarm",
        type_name="Alarm",
        component="sample",
        scope="notes",
        list=notes.all,
        get=notes.one,
        create=notes.create,
        patch=notes.patch,
        delete=notes.delete,
        attributes=ATTRIBUTES,
    )
    return Component(name="sample", service=notes, schema=SCHEMA, routers=[router([resource], runtime)])


@pytest.fixture
def client(runtime: Runtime, notes: Notes) -> TestClient:
    return client_of(runtime, [component(runtime, notes)])


def fill(client: TestClient, count: int) -> None:
    for n in range(count):
        client.post(
            ALARMS, json={"state": "raised" if n % 2 else "cleared", "n": n, "place": {"site": f"s{n}"}}
        )


def test_create_stamps_and_says_where(client: TestClient) -> None:
    answer = client.post(ALARMS, json={"state": "raised"})
    assert answer.status_code == 201
    made = answer.json()
    assert made == {
        "id": made["id"],
        "href": f"http://testserver{ALARMS}/{made['id']}",
        "@type": "Alarm",
        "state": "raised",
    }
    assert answer.headers["Location"] == made["href"]
    assert client.get(made["href"]).json() == made


def test_a_type_of_the_callers_own_stands_and_202_is_possible(client: TestClient) -> None:
    answer = client.post(ALARMS, json={"state": "slow", "@type": "FireAlarm"})
    assert (answer.status_code, answer.json()["@type"]) == (202, "FireAlarm")


def test_the_same_idempotency_key_makes_one(client: TestClient) -> None:
    answers = [
        client.post(ALARMS, json={"state": "raised"}, headers={"Idempotency-Key": "abc"}) for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert len(client.get(ALARMS).json()) == 1


def test_an_error_leaves_nothing_and_names_field_and_remedy(client: TestClient) -> None:
    missing = client.post(ALARMS, json={})
    assert missing.status_code == 400
    body = missing.json()
    assert body == {
        "@type": "Error",
        "code": "invalid_input",
        "reason": "is missing",
        "message": "state: is missing (give a state)",
        "status": "400",
        "referenceError": "http://testserver/errors/invalid_input",
        "field": "state",
        "remedy": "give a state",
    }
    assert (
        client.get(body["referenceError"]).json()["meaning"] == "The input breaks a rule; nothing was done."
    )
    assert client.post(ALARMS, json={"state": "refused"}).status_code == 409
    assert client.get(ALARMS).json() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [(b"{", "body"), (b"[1]", "body"), (b"", "body")],
)
def test_a_broken_body_is_the_callers_fault(client: TestClient, body: bytes, field: str) -> None:
    answer = client.post(ALARMS, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_pages_count_only_when_asked(client: TestClient, notes: Notes) -> None:
    fill(client, 5)
    assert "X-Total-Count" not in client.get(ALARMS, params={"limit": 2}).headers
    asked = client.get(ALARMS, params={"limit": 2}, headers={"X-Total-Count": "true"})
    assert asked.headers["X-Total-Count"] == "5"
    page = client.get(ALARMS, params={"offset": 1, "limit": 2})
    assert [item["n"] for item in page.json()] == [1, 2]
    assert (page.headers["X-Total-Count"], page.headers["X-Result-Count"]) == ("5", "2")
    everything = client.get(ALARMS)
    assert everything.headers["X-Total-Count"] == "5"  # it was all: known for nothing
    assert client.get(ALARMS, params={"limit": 0}).json() == []
    assert client.get(ALARMS, params={"limit": "-1"}).json()["field"] == "limit"


def test_a_list_stops_reading_at_the_end_of_its_page(client: TestClient, notes: Notes) -> None:
    fill(client, 5)
    query = Query(limit=2)
    page = query.page(notes.all(query))
    assert ([item["n"] for item in page.items], page.total, notes.listed) == ([0, 1], None, 3)


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"state": "raised"}, [1, 3]),
        ({"state": "raised,cleared"}, [0, 1, 2, 3]),
        ({"state.ne": "raised"}, [0, 2]),
        ({"n.gte": "2"}, [2, 3]),
        ({"n.gt": "0", "n.lt": "3"}, [1, 2]),
        ({"place.site": "s2"}, [2]),
        ({"place.site.ne": "s2"}, [0, 1, 3]),
    ],
)
def test_filters(client: TestClient, parameters: dict[str, str], found: list[int]) -> None:
    fill(client, 4)
    assert [item["n"] for item in client.get(ALARMS, params=parameters).json()] == found


@pytest.mark.parametrize(
    ("parameters", "field", "said"),
    [
        ({"unheard": "of"}, "unheard", "one of at, n, place.site, state"),
        ({"state.regex": "r.*"}, "state.regex", "one of"),
        ({"n": "many"}, "n", "such as 29.90"),
        ({"at.gt": "2026-01-01"}, "at", "such as 2026"),
        ({"sort": "at"}, "sort: at", "one of n, place.site, state"),
        ({"sort": "n,-n"}, "sort", "each once"),
        ({"offset": "2000000"}, "offset", "rel=next"),
        ({"limit": "9" * 5000 + "x"}, "limit", "0 or more"),
        ({"cursor": "abc"}, "cursor", "rel=next"),
    ],
)
def test_what_a_list_does_not_take_is_named(
    client: TestClient, parameters: dict[str, str], field: str, said: str
) -> None:
    answer = client.get(ALARMS, params=parameters)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert said in answer.json()["remedy"]


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        ("-n", [3, 2, 1, 0]),
        ("state,-n", [2, 0, 3, 1]),
        ("-state,n", [1, 3, 0, 2]),
        ("-place.site", [3, 2, 1, 0]),
    ],
)
def test_lists_are_sorted_as_asked(client: TestClient, sort: str, found: list[int]) -> None:
    fill(client, 4)
    assert [item["n"] for item in client.get(ALARMS, params={"sort": sort}).json()] == found


def test_fields_keep_what_no_resource_may_lack(client: TestClient) -> None:
    fill(client, 1)
    assert set(client.get(ALARMS, params={"fields": "n"}).json()[0]) == {"id", "href", "@type", "n"}


def test_merge_patch_changes_and_removes(client: TestClient) -> None:
    made = client.post(ALARMS, json={"state": "raised", "n": 1}).json()
    patched = client.patch(
        made["href"],
        content='{"state": "cleared", "n": null}',
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert patched.status_code == 200
    assert patched.json() == {**{k: v for k, v in made.items() if k != "n"}, "state": "cleared"}


def test_json_patch_is_applied_as_a_whole_or_not_at_all(client: TestClient) -> None:
    made = client.post(ALARMS, json={"state": "raised", "tags": ["a"]}).json()

    def patch(steps: str) -> Any:
        return client.patch(
            made["href"], content=steps, headers={"Content-Type": "application/json-patch+json"}
        )

    good = patch('[{"op": "add", "path": "/tags/-", "value": "b"}, {"op": "remove", "path": "/state"}]')
    assert good.json()["tags"] == ["a", "b"]
    assert "state" not in good.json()
    bad = patch('[{"op": "add", "path": "/tags/-", "value": "c"}, {"op": "test", "path": "/n", "value": 1}]')
    assert (bad.status_code, bad.json()["field"]) == (400, "body")
    assert client.get(made["href"]).json()["tags"] == ["a", "b"]


def test_other_patches_are_refused(client: TestClient) -> None:
    made = client.post(ALARMS, json={"state": "raised"}).json()
    answer = client.patch(
        made["href"], content="[]", headers={"Content-Type": "application/json-patch-query+json"}
    )
    assert (answer.status_code, answer.json()["field"]) == (415, "Content-Type")


def test_a_change_based_on_an_old_reading_is_refused(client: TestClient) -> None:
    made = client.post(ALARMS, json={"state": "raised"}).json()
    tag = client.get(made["href"]).headers["ETag"]
    first = client.patch(made["href"], json={"state": "cleared"}, headers={"If-Match": tag})
    late = client.patch(made["href"], json={"state": "raised"}, headers={"If-Match": tag})
    assert (first.status_code, late.status_code) == (200, 412)
    assert client.get(made["href"]).json()["state"] == "cleared"
    fresh = client.get(made["href"]).headers["ETag"]
    assert fresh == first.headers["ETag"]
    assert client.get(made["href"], headers={"If-None-Match": fresh}).status_code == 304


def test_delete_and_what_is_not_there(client: TestClient) -> None:
    made = client.post(ALARMS, json={"state": "raised"}).json()
    assert client.delete(made["href"]).status_code == 204
    gone = client.get(made["href"])
    assert (gone.status_code, gone.json()["code"], gone.json()["field"]) == (404, "not_found", "id")
    assert client.patch(made["href"], json={}).status_code == 404
    assert client.put(made["href"], json={}).json()["code"] == "method_not_allowed"
    assert client.get("/nothing").json()["code"] == "not_found"


def test_tokens_open_only_what_their_scopes_name(runtime: Runtime, notes: Notes) -> None:
    reader = client_of(runtime, [component(runtime, notes)], scopes=["notes:read"])
    assert reader.get(ALARMS).status_code == 200
    refused = reader.post(ALARMS, json={"state": "raised"})
    assert (refused.status_code, "notes:write" in refused.json()["remedy"]) == (403, True)
    nobody = reader.get(ALARMS, headers={"Authorization": ""})
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert notes.listed == 0


def test_the_unit_knows_who_acts(runtime: Runtime, notes: Notes) -> None:
    seen = []
    resource = Resource(
        api="TMF642",
        name="alarm",
        type_name="Alarm",
        component="sample",
        scope="notes",
        create=lambda unit, body, key: (seen.append(unit.actor), {"id": "1"})[1],
    )
    client = client_of(
        runtime, [Component(name="sample", service=None, routers=[router([resource], runtime)])]
    )
    with runtime.database.engine.begin() as connection:
        token = issue_token(connection, "shop", ["notes:write"], now=runtime.clock.now())
    client.post(ALARMS, json={}, headers={"Authorization": f"Bearer {token}"})
    assert seen == ["token:shop"]


def test_instants_money_and_ids_on_the_wire(runtime: Runtime) -> None:
    document = {
        "id": UUID(int=1),
        "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "price": Decimal("29.90"),
        "when": datetime(2026, 1, 2, tzinfo=UTC),
    }
    resource = Resource(
        api="TMF642",
        name="alarm",
        type_name="Alarm",
        component="sample",
        scope="notes",
        get=lambda identity: document,
        list=lambda query: [document],
        attributes=ATTRIBUTES,
    )
    client = client_of(
        runtime, [Component(name="sample", service=None, routers=[router([resource], runtime)])]
    )
    text = client.get(f"{ALARMS}/1").text
    assert '"at":"2026-01-02T03:04:05Z"' in text
    assert '"price":29.90' in text
    assert f'"id":"{UUID(int=1)}"' in text
    assert len(client.get(ALARMS, params={"at.gte": "2026-01-02T03:04:05Z"}).json()) == 1
    assert client.get(ALARMS, params={"at.gt": "2026-01-02T03:04:05Z"}).json() == []
    assert client.post(ALARMS, json={}).status_code == 405


def test_health_metrics_and_docs_need_no_token(client: TestClient) -> None:
    client.get(ALARMS)
    bare = {"Authorization": ""}
    assert client.get("/livez", headers=bare).json() == {"status": "ok"}
    ready = client.get("/readyz", headers=bare)
    assert (ready.status_code, ready.json()["checks"]["migrations"]) == (200, "ok")
    figures = client.get("/metrics", headers=bare).text
    assert f'turnup_http_requests_total{{method="GET",route="{ALARMS}",status="200"}}' in figures
    assert "turnup_events_unsequenced 0.0" in figures
    assert "turnup_database_up 1.0" in figures
    assert ALARMS in client.get("/openapi.json", headers=bare).json()["paths"]


def test_not_ready_without_tables(postgres: ConnectionInfo) -> None:
    create_database(postgres, "empty_for_readyz")
    with runtime_on(postgres.url("empty_for_readyz")) as runtime:
        answer = TestClient(make_app([], runtime)).get("/readyz")
    drop_database(postgres, "empty_for_readyz")
    assert (answer.status_code, "turnup migrate" in answer.json()["checks"]["migrations"]) == (503, True)


def test_a_database_that_is_gone_is_said_not_crashed(runtime: Runtime, notes: Notes) -> None:
    with runtime_on("postgresql+psycopg://nobody@127.0.0.1:1/none") as dead:
        client = TestClient(
            make_app(
                [
                    router(
                        [
                            Resource(
                                api="TMF642",
                                name="alarm",
                                type_name="Alarm",
                                component="sample",
                                scope="notes",
                                list=Notes(dead).all,
                            )
                        ],
                        dead,
                    )
                ],
                dead,
            ),
            raise_server_exceptions=False,
        )
        assert client.get("/readyz").status_code == 503
        answer = client.get(ALARMS, headers={"Authorization": "Bearer tu_a_b"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_a_cut_list_names_its_next_page(client: TestClient, notes: Notes) -> None:
    fill(client, 5)
    url, seen = ALARMS + "?limit=2", []
    while url:
        page = client.get(url)
        seen += [item["n"] for item in page.json()]
        url = page.links.get("next", {}).get("url", "")
    assert seen == [0, 1, 2, 3, 4]
    assert "next" not in client.get(ALARMS).links
