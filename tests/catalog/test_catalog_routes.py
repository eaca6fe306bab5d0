"""TMF620: every response fits the v5 schema."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from builders.house import client_of
from builders.tmf_schema import complaints
from turnup.bss.catalog.service import CatalogService
from turnup.runtime.component import Component, Runtime

BASE = "/tmf-api/productCatalogManagement/v5"


@pytest.fixture
def client(
    runtime: Runtime, component: Component, catalog: CatalogService, document: dict[str, Any]
) -> TestClient:
    with runtime.unit("catalog", "cli:anna") as unit:
        catalog.publish(unit, document)
    return client_of(runtime, [component], scopes=["catalog:read"])


@pytest.mark.parametrize(
    ("name", "schema", "count"),
    [("productOffering", "ProductOffering", 4), ("productOfferingPrice", "ProductOfferingPrice", 16)],
)
def test_every_response_fits_the_schema(client: TestClient, name: str, schema: str, count: int) -> None:
    listed = client.get(f"{BASE}/{name}").json()
    assert len(listed) == count
    for document in listed:
        assert complaints("TMF620-5", schema, document) == []
        assert client.get(document["href"]).json() == document


def test_an_offering_is_found_by_its_code_and_leads_to_its_prices(client: TestClient) -> None:
    offering = client.get(f"{BASE}/productOffering/fibre-300-50").json()
    assert (offering["name"], offering["isSellable"]) == ("Fibre 300/50", True)
    version = offering["externalIdentifier"][0]["id"]
    assert client.get(f"{BASE}/productOffering/{version}").json() == offering
    monthly = client.get(offering["productOfferingPrice"][1]["href"]).json()
    assert (monthly["price"], monthly["priceType"]) == ({"unit": "EUR", "value": 34.90}, "recurring")
    assert client.get(f"{BASE}/productOffering", params={"name": "Fibre 300/50"}).json() == [offering]
    missing = client.get(f"{BASE}/productOffering/fibre-9")
    assert missing.status_code == 404
    assert complaints("TMF620-5", "Error__own", missing.json()) == []
    assert client.get(f"{BASE}/productOfferingPrice/fibre-9").status_code == 404
