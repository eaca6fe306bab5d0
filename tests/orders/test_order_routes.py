"""Orders over HTTP: every answer fits its v5 schema (TMF622, 637, 638, 639); pages, cancellations."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from builders.direct_run import DirectRun
from builders.house import client_of, deliver_events
from builders.tmf_schema import complaints
from orders.conftest import World, add
from turnup.bss.orders.service import FULFIL, UNDO
from turnup.bss.orders.workflows import workflows
from turnup.contracts.orders import ItemAction, NewOrderItem
from turnup.kernel.ids import LegalEntityId, new_id
from turnup.runtime.auth import Realm

COUNT = {"X-Total-Count": "true"}
ORDERS = "/tmf-api/productOrderingManagement/v5/productOrder"
CANCELLATIONS = "/tmf-api/productOrderingManagement/v5/cancelProductOrder"
PRODUCTS = "/tmf-api/productInventory/v5/product"
SERVICES = "/tmf-api/serviceInventory/v5/service"
RESOURCES = "/tmf-api/resourceInventoryManagement/v5/resource"
SPECIFICATIONS = {
    ORDERS: ("TMF622-5", "ProductOrder", ("timeline", "service")),
    CANCELLATIONS: ("TMF622-5", "CancelProductOrder", ()),
    PRODUCTS: ("TMF637-5", "Product", ()),
    SERVICES: (
        "TMF638-5",
        "Service",
        ("facts", "turnupState", "management", "generation", "verifiedGeneration"),
    ),
    RESOURCES: ("TMF639-5", "PhysicalResource", ()),
}
"""By address: the specification, the schema, and what Turnup adds of its own."""


@pytest.fixture
def client(world: World) -> TestClient:
    return client_of(world.runtime, world.components)


def body_of(world: World, **more: Any) -> dict[str, Any]:
    return {
        "@type": "ProductOrder",
        "billingAccount": {"id": str(world.customers.jane), "@type": "BillingAccountRef"},
        "servingSite": "pop1",
        "productOrderItem": [
            {
                "@type": "ProductOrderItem",
                "action": "add",
                "productOffering": {"id": "fibre-100", "@type": "ProductOfferingRef"},
            }
        ],
        **more,
    }


def work(world: World, order_id: str, *, attempt: int = 1, name: str = FULFIL) -> None:
    """What a worker would do with the order."""
    functions = {workflow.name: workflow.function for workflow in workflows(world.fulfilment)}
    functions[name](DirectRun(world.runtime), order_id, str(attempt))
    deliver_events(world.runtime, world.components)


def fits(url: str, document: Any) -> None:
    specification, schema, own = SPECIFICATIONS[url]
    assert complaints(specification, schema, document, own=own) == []
    assert document["@type"] == schema
    assert document["href"].endswith(f"{url}/{document['id']}")


def test_created_read_listed_and_patched_orders_fit_the_schema(world: World, client: TestClient) -> None:
    answer = client.post(ORDERS, json=body_of(world), headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201, answer.text
    order = answer.json()
    fits(ORDERS, order)
    assert answer.headers["Location"] == order["href"]
    assert client.post(ORDERS, json=body_of(world), headers={"Idempotency-Key": "k"}).json() == order
    assert client.get(f"{ORDERS}/{order['id']}").json() == order
    work(world, order["id"])
    (done,) = client.get(ORDERS).json()
    fits(ORDERS, done)
    assert (done["state"], len(done["productOrderMilestone"])) == ("completed", 3)
    waiting = client.post(
        ORDERS, json=body_of(world, requestedStartDate="2030-01-01T00:00:00Z"),
        headers={"Idempotency-Key": "later"},
    ).json()  # fmt: skip
    patched = client.patch(f"{ORDERS}/{waiting['id']}", json={"state": "cancelled"})
    assert (patched.status_code, patched.json()["state"]) == (200, "cancelled")
    fits(ORDERS, patched.json())
    refused = client.patch(f"{ORDERS}/{order['id']}", json={"description": "x"})
    assert (refused.status_code, refused.json()["field"]) == (400, "description")
    assert complaints("TMF622-5", "Error", refused.json(), own=("field", "remedy")) == []


@pytest.mark.parametrize("url", [PRODUCTS, SERVICES, RESOURCES])
def test_what_an_order_makes_fits_the_schema_listed_and_read(
    world: World, client: TestClient, url: str
) -> None:
    work(world, str(world.submit(add(floor="2"))))
    listed = client.get(url).json()
    assert listed
    for document in listed:
        fits(url, document)
        assert client.get(f"{url}/{document['id']}").json() == document
    assert client.get(f"{url}/{new_id()}").status_code == 404


def cancelled(client: TestClient, order_id: str, **more: Any) -> Any:
    body = {"@type": "CancelProductOrder", "productOrder": {"id": order_id, "@type": "ProductOrderRef"}}
    return client.post(CANCELLATIONS, json={**body, **more})


def test_a_cancellation_has_an_id_of_its_own_and_says_how_it_went(world: World, client: TestClient) -> None:
    world.network.trouble = ["refused"]
    order_id = str(world.submit(add()))
    work(world, order_id)  # falls out
    answer = cancelled(client, order_id, cancellationReason="changed my mind")
    assert answer.status_code == 201, answer.text
    begun = answer.json()
    fits(CANCELLATIONS, begun)
    assert begun["id"] != order_id
    assert (begun["productOrder"]["id"], begun["state"]) == (order_id, "inProgress")
    assert "effectiveCancellationDate" not in begun
    work(world, order_id, attempt=2, name=UNDO)
    done = client.get(f"{CANCELLATIONS}/{begun['id']}").json()
    fits(CANCELLATIONS, done)
    assert (done["state"], done["cancellationReason"]) == ("done", "changed my mind")
    assert done["effectiveCancellationDate"] == client.get(f"{ORDERS}/{order_id}").json()["completionDate"]
    again = cancelled(client, order_id, cancellationReason="really")
    assert (again.status_code, again.json()) == (201, done)
    assert client.get(CANCELLATIONS).json() == [done]


def test_a_cancellation_that_comes_too_late_says_so(world: World, client: TestClient) -> None:
    sold = str(world.submit(add()))
    work(world, sold)
    refused = cancelled(client, sold)
    assert (refused.status_code, refused.json()["field"]) == (409, "state")
    assert client.get(CANCELLATIONS).json() == []
    [product] = world.orders.products()
    delete = str(world.submit(NewOrderItem(action=ItemAction.DELETE, product_id=product.id)))
    answers: list[Any] = []
    world.network.meanwhile = lambda: answers.append(cancelled(client, delete).json())
    work(world, delete)
    assert answers[0]["state"] == "acknowledged"  # it came while the network was being told
    (ended,) = client.get(CANCELLATIONS, params={"productOrder.id": delete}).json()
    fits(CANCELLATIONS, ended)
    assert (ended["id"], ended["state"]) == (answers[0]["id"], "terminatedWithError")
    assert client.get(CANCELLATIONS, params={"productOrder.id": sold}).json() == []


def test_a_cancellation_begins_at_once_or_is_refused(world: World, client: TestClient) -> None:
    order_id = str(world.submit(add()))
    later = cancelled(client, order_id, requestedCancellationDate="2030-01-01T00:00:00Z")
    assert (later.status_code, later.json()["field"]) == (400, "requestedCancellationDate")
    assert [order.state.value for order in world.orders.orders()] == ["inProgress"]
    assert cancelled(client, str(new_id())).status_code == 404
    assert client.post(CANCELLATIONS, json={}).json()["field"] == "productOrder.id"


def test_a_cut_list_says_so_and_goes_on(world: World, client: TestClient) -> None:
    placed = [str(world.submit(add())) for _ in range(5)]
    joes = str(world.submit(add(), account_id=world.customers.joe))
    first = client.get(ORDERS, params={"limit": 4}, headers=COUNT)
    assert (first.status_code, len(first.json())) == (200, 4)
    assert (first.headers["X-Total-Count"], first.headers["X-Result-Count"]) == ("6", "4")
    assert "cursor=" in first.links["next"]["url"]
    rest = client.get(first.links["next"]["url"])
    assert "next" not in rest.links
    found = [order["id"] for order in [*first.json(), *rest.json()]]
    assert sorted(found) == sorted([*placed, joes])
    mine = client.get(
        ORDERS, params={"billingAccount.id": str(world.customers.joe), "limit": 1}, headers=COUNT
    )
    assert ([order["id"] for order in mine.json()], mine.headers["X-Total-Count"]) == ([joes], "1")
    world.act(world.orders.cancel, world.orders.orders()[0].id, "x")
    every = client.get(ORDERS, params={"state": "acknowledged,inProgress,cancelled", "offset": 0})
    assert every.headers["X-Total-Count"] == "6"
    by_item = {"productOrderItem.action": "add", "limit": 2, "offset": 2}
    page = client.get(ORDERS, params=by_item)  # the database cannot: the toolkit filters
    assert (len(page.json()), page.headers["X-Total-Count"]) == (2, "6")
    last = client.get(page.links["next"]["url"])
    assert (len(last.json()), last.links) == (2, {})


def test_a_confined_token_cancels_and_sees_its_own_only(world: World, client: TestClient) -> None:
    account: Any = world.customers.account(world.customers.jane)
    at_home = client_of(world.runtime, world.components, scopes=["orders:write"],
                        realm=Realm(account.legal_entity_id))  # fmt: skip
    abroad = client_of(world.runtime, world.components, scopes=["orders:write", "x:read"],
                       realm=Realm(LegalEntityId(new_id())))  # fmt: skip
    order_id = str(world.submit(add()))
    assert cancelled(abroad, order_id).status_code == 403
    assert client.get(CANCELLATIONS).json() == []
    made = cancelled(at_home, order_id).json()
    assert at_home.get(CANCELLATIONS).json() == [made]
    assert abroad.get(CANCELLATIONS).json() == []
    assert abroad.get(f"{CANCELLATIONS}/{made['id']}").status_code == 404
    assert (len(at_home.get(ORDERS).json()), abroad.get(ORDERS).json()) == (1, [])
