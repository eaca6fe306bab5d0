"""TMF632, TMF629, TMF666: every response fits the v5 schema, and v4 shapes are read."""

from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from builders.house import attach_workflows, client_of
from builders.tmf_schema import complaints
from crm.conftest import Mailbox, Services
from turnup.bss.crm import tables
from turnup.bss.crm.component import build, new_service
from turnup.bss.crm.service import CrmService
from turnup.runtime.auth import Realm
from turnup.runtime.component import Component, Runtime

PARTIES = "/tmf-api/partyManagement/v5"
CUSTOMERS = "/tmf-api/customer/v5/customer"
ADDRESSES = "/tmf-api/geographicAddressManagement/v5/geographicAddress"
ACCOUNTS = "/tmf-api/accountManagement/v5/billingAccount"
MEDIA: list[dict[str, Any]] = [
    {"@type": "EmailContactMedium", "emailAddress": "jane@example.net"},
    {"@type": "PhoneContactMedium", "phoneNumber": "+49 30 123456"},
    {
        "@type": "GeographicAddressContactMedium",
        "street1": "Hauptstr. 1",
        "postCode": "10115",
        "city": "Berlin",
        "country": "DE",
    },
]
JANE = {"@type": "Individual", "givenName": "Jane", "familyName": "Roe", "contactMedium": MEDIA}


@pytest.fixture
def client(runtime: Runtime, component: Component) -> TestClient:
    return client_of(runtime, [component], scopes=["crm:write"])


def created(client: TestClient, url: str, body: dict[str, Any], **headers: str) -> Any:
    answer = client.post(url, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_person_becomes_a_customer_with_an_account(client: TestClient) -> None:
    person = created(client, f"{PARTIES}/individual", JANE)
    assert complaints("TMF632-5", "Individual", person) == []
    assert (person["name"], person["givenName"], len(person["contactMedium"])) == ("Jane Roe", "Jane", 3)
    customer = created(
        client, CUSTOMERS, {"name": "Jane", "engagedParty": {"id": person["id"], "@type": "PartyRef"}}
    )
    assert complaints("TMF629-5", "Customer", customer) == []
    assert customer["engagedParty"]["id"] == person["id"]
    account = client.get(f"{ACCOUNTS}/{customer['account'][0]['id']}").json()
    assert complaints("TMF666-5", "BillingAccount", account) == []
    assert account["name"] == "A-100001"
    assert client.get(f"{CUSTOMERS}/C-100001").json() == customer
    assert client.get(f"{ACCOUNTS}/A-100001").json() == account


def test_in_one_go_once_per_key_and_in_the_v4_shape(client: TestClient) -> None:
    v4 = {
        "name": "Roe Ltd",
        "engagedParty": {"@referredType": "Organization"},
        "contactMedium": [
            {"mediumType": "email", "characteristic": {"emailAddress": "office@example.net"}},
            {
                "mediumType": "postal address",
                "characteristic": {
                    "street1": "Kai 2", "postCode": "20457", "city": "Hamburg", "country": "DE",
                },
            },
        ],
        "characteristic": [{"name": "billCycleDay", "value": 15}],
    }  # fmt: skip
    customer = created(client, CUSTOMERS, v4, **{"Idempotency-Key": "a"})
    assert created(client, CUSTOMERS, v4, **{"Idempotency-Key": "a"}) == customer
    other = client.post(CUSTOMERS, json={**v4, "name": "Other Ltd"}, headers={"Idempotency-Key": "a"})
    assert (other.status_code, other.json()["field"]) == (409, "Idempotency-Key")
    assert complaints("TMF629-5", "Customer", customer) == []
    [organization] = client.get(f"{PARTIES}/organization").json()
    assert complaints("TMF632-5", "Organization", organization) == []
    assert organization["name"] == "Roe Ltd"
    [account] = client.get(ACCOUNTS).json()
    assert account["billStructure"]["cycleSpecification"]["name"] == "monthly on day 15"


def test_a_person_can_be_changed(client: TestClient) -> None:
    person = created(client, f"{PARTIES}/individual", JANE)
    merge = client.patch(
        person["href"], json={"familyName": "Miller", "name": "Jane Miller"},
        headers={"Content-Type": "application/merge-patch+json"},
    ).json()  # fmt: skip
    assert (merge["name"], merge["familyName"]) == ("Jane Miller", "Miller")
    steps = client.patch(
        person["href"],
        content='[{"op": "replace", "path": "/contactMedium/0/emailAddress", "value": "m@example.net"}]',
        headers={"Content-Type": "application/json-patch+json"},
    ).json()
    assert steps["contactMedium"][0]["emailAddress"] == "m@example.net"
    assert steps["contactMedium"][2] == merge["contactMedium"][2]  # the address stayed the same one
    assert complaints("TMF632-5", "Individual", steps) == []
    assert client.get(f"{PARTIES}/organization/{person['id']}").status_code == 404


def test_lists_page_and_filter(client: TestClient) -> None:
    for n in range(3):
        created(client, CUSTOMERS, {"name": f"Customer {n}", "contactMedium": MEDIA})
    page = client.get(CUSTOMERS, params={"offset": 1, "limit": 1})
    assert (page.headers["X-Total-Count"], [one["name"] for one in page.json()]) == ("3", ["Customer 1"])
    assert len(client.get(CUSTOMERS, params={"name": "Customer 2"}).json()) == 1
    found = client.get(
        CUSTOMERS,
        params={"contactMedium.emailAddress": "jane@example.net", "limit": 2},
        headers={"X-Total-Count": "true"},
    )
    assert (found.headers["X-Total-Count"], len(found.json())) == ("3", 2)
    people = client.get(f"{PARTIES}/individual", params={"name": "Customer 0"})
    assert [complaints("TMF632-5", "Individual", one) for one in people.json()] == [[]]


def test_pages_follow_one_another_while_customers_come(client: TestClient) -> None:
    for n in range(3):
        created(client, CUSTOMERS, {"name": f"Customer {n}", "contactMedium": MEDIA})
    url, seen = f"{CUSTOMERS}?limit=1&sort=-name", []
    while url:
        page = client.get(url)
        seen += [one["name"] for one in page.json()]
        url = page.links.get("next", {}).get("url", "")
        if len(seen) == 1:
            created(client, CUSTOMERS, {"name": "Customer 9", "contactMedium": MEDIA})  # before what was seen
    assert seen == ["Customer 2", "Customer 1", "Customer 0"]


def test_addresses_are_found_and_as_the_specification_says(client: TestClient, runtime: Runtime) -> None:
    created(client, CUSTOMERS, {"name": "Jane", "contactMedium": MEDIA})
    (address,) = client.get(ADDRESSES).json()
    assert complaints("TMF673-5", "GeographicAddress", address) == []
    assert (address["streetName"], address["city"]) == ("Hauptstr. 1", "Berlin")
    assert client.get(address["href"]).json() == address
    assert client.get(ADDRESSES, params={"postcode": "10117,10119"}).json() == []
    assert client.get(ADDRESSES, params={"postcode.gte": "10115", "sort": "-city"}).json() == [address]
    with runtime.unit("crm", "test") as unit:
        place = {"latitude": Decimal("52.53"), "longitude": Decimal("13.38")}
        unit.connection.execute(update(tables.address).values(**place))
    placed = client.get(address["href"]).json()
    assert placed["geographicLocation"]["geoJson"]["coordinates"] == [13.38, 52.53]  # RFC 7946: x, y
    assert complaints("TMF673-5", "GeographicAddress", placed) == []


@pytest.mark.parametrize(
    ("url", "body", "field"),
    [
        (f"{PARTIES}/individual", {"givenName": "Jane"}, "familyName"),
        (f"{PARTIES}/organization", {}, "name"),
        (f"{PARTIES}/individual", {**JANE, "contactMedium": {}}, "contactMedium"),
        (f"{PARTIES}/individual", {**JANE, "contactMedium": [{"@type": "Fax"}]}, "contactMedium[0].@type"),
        (
            f"{PARTIES}/individual",
            {**JANE, "contactMedium": [{"@type": "EmailContactMedium"}]},
            "contactMedium[0].emailAddress",
        ),
        (CUSTOMERS, {"name": "Jane"}, "contactMedium"),
        (CUSTOMERS, {"contactMedium": MEDIA}, "name"),
        (CUSTOMERS, {"name": "J", "engagedParty": {"id": "7"}}, "engagedParty.id"),
        (
            CUSTOMERS,
            {"name": "J", "engagedParty": {"id": "00000000-0000-0000-0000-000000000001"}},
            "engagedParty.id",
        ),
        (
            CUSTOMERS,
            {"name": "J", "contactMedium": MEDIA, "characteristic": [{"name": "billCycleDay", "value": "1"}]},
            "characteristic[0].value",
        ),
        (
            CUSTOMERS,
            {"name": "J", "contactMedium": MEDIA, "characteristic": [{"name": "shoeSize", "value": 1}]},
            "characteristic[0].name",
        ),
    ],
)
def test_errors_name_the_field(client: TestClient, url: str, body: dict[str, Any], field: str) -> None:
    answer = client.post(url, json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert answer.json()["remedy"]


def test_a_confined_token_sees_and_makes_its_own_only(
    runtime: Runtime, component: Component, client: TestClient
) -> None:
    crm: CrmService = component.service
    with runtime.unit("crm", "test") as unit:
        other = crm.ensure_legal_entity(unit, "south", "South Ltd")
    mine = created(client, CUSTOMERS, {"name": "Jane", "contactMedium": MEDIA})
    entity = crm.legal_entity("default")
    at_home, abroad = (
        client_of(runtime, [component], scopes=["crm:write"], realm=Realm(legal)) for legal in (entity, other)
    )
    account = mine["account"][0]["id"]
    for path, found in ((f"{CUSTOMERS}/{mine['id']}", 200), (f"{ACCOUNTS}/{account}", 200)):
        assert at_home.get(path).status_code == found
        assert abroad.get(path).status_code == 404
    for path in (CUSTOMERS, ACCOUNTS):
        assert len(at_home.get(path).json()) == 1
        hidden = abroad.get(path, params={"limit": 10, "offset": 0})
        assert (hidden.json(), hidden.headers["X-Total-Count"]) == ([], "0")
    for confined in (at_home, abroad):  # a party is of no legal entity, a new customer of none yet
        assert confined.get(f"{PARTIES}/individual").status_code == 403
        body = {"id": mine["id"], "name": "Mallory", "contactMedium": MEDIA}
        assert confined.post(CUSTOMERS, json=body).status_code == 403


def test_the_default_language_is_the_installations(
    runtime: Runtime, services: Services, mailbox: Mailbox
) -> None:
    part = build(runtime, new_service(runtime), services=services, gateway=mailbox, language="nl")  # type: ignore[arg-type]
    attach_workflows(runtime, [part])
    client = client_of(runtime, [part])
    person = created(client, f"{PARTIES}/individual", JANE)
    assert person["languageAbility"][0]["languageCode"] == "nl"
    german = {**JANE, "languageAbility": [{"languageCode": "de", "isFavouriteLanguage": True}]}
    assert created(client, f"{PARTIES}/individual", german)["languageAbility"][0]["languageCode"] == "de"
    customer = created(client, CUSTOMERS, {"name": "Ann Poe", "contactMedium": MEDIA})
    party = client.get(f"{PARTIES}/individual/{customer['engagedParty']['id']}").json()
    assert party["languageAbility"][0]["languageCode"] == "nl"
