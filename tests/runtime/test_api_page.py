"""/docs works without the Internet: the page and all it names come from the app itself."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlparse

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient

from builders.house import NOON, lay_out
from turnup.kernel.clock import ManualClock
from turnup.runtime.component import Runtime
from turnup.runtime.database import Database
from turnup.runtime.web import make_app

_PAGE = "http://testserver/docs"
_OUTSIDE_URL = re.compile(r"url\(\s*[\"']?(?!data:|#)([^)\"']+)")


class _Named(HTMLParser):
    """The addresses that a page's tags name, and what its scripts say."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]


@pytest.fixture
def client(database_url: str) -> TestClient:
    lay_out(database_url, [])
    database = Database(database_url, pool_size=1)
    runtime = Runtime(database, ManualClock(NOON), None)  # type: ignore[arg-type]
    return TestClient(make_app([APIRouter()], runtime))


def test_the_page_and_every_asset_come_from_the_app_itself(client: TestClient) -> None:
    page = client.get(_PAGE)
    assert (page.status_code, "swagger-ui" in page.text) == (200, True)
    named = _Named()
    named.feed(page.text)
    described = re.findall(r"url: '([^']+)'", page.text)
    assert described == ["/openapi.json"]
    addresses = [urljoin(_PAGE, address) for address in [*named.addresses, *described]]
    assert {urlparse(address).netloc for address in addresses} == {"testserver"}
    assert {address.rpartition(".")[2] for address in addresses} == {"js", "css", "png", "json"}
    for address in addresses:
        asset = client.get(address)
        assert (asset.status_code, len(asset.content) > 100) == (200, True), address
        if address.endswith(".css"):
            assert _OUTSIDE_URL.findall(asset.text) == []


def test_the_page_asks_nobody_else(client: TestClient) -> None:
    page = client.get(_PAGE).text
    scripts = page[page.index("<body>") :]
    assert "https://" not in page
    assert '"validatorUrl": null' in scripts
    assert client.get("/redoc").status_code == 404
    assert client.get("/docs/assets/../web.py").status_code == 404
