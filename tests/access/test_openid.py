"""Login at an OpenID provider that is a process of its own; and the ways in which it may be none of ours."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient

from builders.openid_provider import CLIENT, SECRET
from turnup.kernel.errors import InvalidInput
from turnup.runtime.access.edge import CALLBACK, Access
from turnup.runtime.access.oidc import OpenIdLogin, Provider
from turnup.runtime.component import Runtime
from turnup.runtime.web import make_app

START = "/turnup/v1/login/oidc"
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    command = [sys.executable, str(TESTS / "builders" / "openid_provider.py"), "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
def tell(issuer: str) -> Callable[..., None]:
    def told(*, claims: dict[str, Any] | None = None, **more: Any) -> None:
        httpx.post(f"{issuer}/told", json={"claims": claims or {}, **more}).raise_for_status()

    told()
    return told


@pytest.fixture
def login(runtime: Runtime, access: Access, issuer: str, tell: Any) -> Callable[..., OpenIdLogin]:
    def made(**changed: Any) -> OpenIdLogin:
        provider = Provider(issuer, CLIENT, SECRET, f"http://testserver{CALLBACK}")
        return OpenIdLogin(runtime, access.logins, replace(provider, **changed))

    return made


@pytest.fixture
def page(runtime: Runtime, access: Access, login: Any) -> Callable[..., TestClient]:
    """`page()`: a browser in front of Turnup with this provider."""

    def opened(**changed: Any) -> TestClient:
        app = make_app([], runtime, access=replace(access, oidc=login(**changed)))
        return TestClient(app, raise_server_exceptions=False, follow_redirects=False)

    return opened


def back_from_provider(client: TestClient, **asked_for: str) -> str:
    """Where the provider sends the browser after she has logged in there."""
    away = client.get(START, params=asked_for)
    assert away.status_code == 303
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    assert len(asked["code_challenge"][0]) == 43 and "code_verifier" not in asked
    return str(httpx.get(away.headers["location"]).headers["location"])


def log_in(client: TestClient) -> httpx.Response:
    return client.get(back_from_provider(client))


def test_a_session_by_the_provider(hire: Any, page: Any, runtime: Runtime, audited: Any) -> None:
    hire("anna", "billing", password=None, oidc_identity="sub-anna")
    client = page()
    answer = log_in(client)
    assert (answer.status_code, answer.json()["name"]) == (200, "anna")
    assert client.get("/turnup/v1/me").json()["actor"] == "staff:anna", "the cookie is there"
    assert audited("login.opened") == [("staff:anna", "anna")]
    with runtime.database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM runtime.oidc_login").scalar() == 0


def test_nobody_gets_an_account_by_logging_in(hire: Any, page: Any, audited: Any) -> None:
    answer = log_in(page())
    assert (answer.status_code, answer.json()["code"]) == (401, "login_refused")
    assert audited("login.refused") == [("nobody", "oidc")]


def test_an_answer_counts_once_in_the_browser_that_began(
    hire: Any, page: Any, runtime: Any, audited: Any
) -> None:
    hire("anna", "billing", password=None, oidc_identity="sub-anna")
    mine, other = page(), page()
    back = back_from_provider(mine)
    back_from_provider(other)
    assert "browser" in other.get(back).json()["message"], "a login begun by somebody else"
    cookie = mine.cookies["turnup_login"]
    assert mine.get(back).status_code == 200
    mine.cookies.set("turnup_login", cookie, path=START)
    assert "already" in mine.get(back).json()["message"]
    late = page()
    back = back_from_provider(late)
    runtime.clock.advance(timedelta(minutes=10))
    assert "too long" in late.get(back).json()["message"]
    assert len(audited("login.opened")) == 1


@pytest.mark.parametrize(
    ("misbehaviour", "why"),
    [
        ({"sign_with_other": True}, "does not hold"),
        ({"algorithm": "HS256"}, "does not hold"),
        ({"forget_nonce": True}, "does not hold"),
        ({"claims": {"aud": "another"}}, "does not hold"),
        ({"claims": {"iss": "https://evil.example"}}, "does not hold"),
        ({"claims": {"exp": 1_000_000}}, "does not hold"),
        ({"claims": {"aud": [CLIENT, "another"]}}, "another application"),
        ({"claims": {"azp": "another"}}, "another application"),
        ({"claims": {"sub": "sub-eve"}}, "nobody here"),
        ({"claims": {"sub": 7}}, "does not hold"),
    ],
)
def test_tokens_that_open_nothing(hire: Any, page: Any, tell: Any, misbehaviour: Any, why: str) -> None:
    hire("anna", "billing", password=None, oidc_identity="sub-anna")
    tell(**misbehaviour)
    answer = log_in(page())
    assert (answer.status_code, why in answer.json()["message"]) == (401, True), answer.text


def test_a_wrong_client_secret_and_another_issuer(hire: Any, page: Any, issuer: str) -> None:
    hire("anna", "billing", password=None, oidc_identity="sub-anna")
    assert "did not take the code" in log_in(page(client_secret="guess")).json()["message"]
    assert page(issuer=f"{issuer}/").get(START).status_code == 503, "it calls itself otherwise"
    client = page()
    back = back_from_provider(client)
    mixed_up = back.split("&iss=")[0] + "&iss=https%3A%2F%2Fevil.example"
    assert "another provider" in client.get(mixed_up).json()["message"]


def test_an_address_counts_when_verified_and_stays_with_its_person(hire: Any, page: Any, tell: Any) -> None:
    hire("anna", "billing", password=None, oidc_identity="anna@isp.example")
    tell(claims={"email": "anna@isp.example"})
    assert "not verified" in log_in(page(claim="email")).json()["message"]
    verified = {"email": "anna@isp.example", "email_verified": True}
    tell(claims=verified)
    assert log_in(page(claim="email")).status_code == 200
    tell(claims={**verified, "sub": "sub-her-successor"})
    assert "another person" in log_in(page(claim="email")).json()["message"]


def test_the_disabled_stay_out(hire: Any, page: Any, runtime: Runtime) -> None:
    hire("anna", "billing", password=None, oidc_identity="sub-anna")
    with runtime.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE runtime.staff SET disabled_at = now()")
    assert log_in(page()).status_code == 401


def test_a_provider_that_is_silent_or_in_clear(page: Any, login: Any) -> None:
    assert page(issuer="http://127.0.0.1:1").get(START).status_code == 503
    with pytest.raises(InvalidInput, match="https"):
        login(issuer="http://login.isp.example")


def test_without_a_provider(browser: Any) -> None:
    assert browser().get(START).status_code == 404


def test_the_login_leads_back_to_a_page_of_the_console_only(hire: Any, page: Any) -> None:
    hire("anna", "billing", password=None, oidc_identity="sub-anna")
    for wanted, status in (
        ("/console/noc?x=1&y=ä", 303),
        ("https://evil.example/console", 200),
        ("/turnup/v1/me", 200),
    ):
        client = page()
        answer = client.get(back_from_provider(client, next=wanted))
        assert answer.status_code == status
        assert unquote(answer.headers.get("location", wanted)) == wanted
        assert client.get("/turnup/v1/me").status_code == 200
        assert "turnup_next" not in client.cookies
