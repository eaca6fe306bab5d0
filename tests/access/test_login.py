"""Logging in: a session that names a person, ends when it should, and gives a guesser little."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from access.conftest import PASSWORD
from turnup.kernel.errors import InvalidInput, TooManyRequests
from turnup.kernel.ids import BrandId, derived_id
from turnup.runtime.access import lockout, staff
from turnup.runtime.access.edge import Access
from turnup.runtime.access.passwords import hash_password, is_outdated, matches
from turnup.runtime.access.staff import access_unit
from turnup.runtime.auth import issue_token
from turnup.runtime.component import Runtime

LOGIN = "/turnup/v1/login"
Browser = Callable[..., TestClient]


def test_a_session_names_the_person_and_no_secret_is_stored(
    runtime: Runtime, hire: Any, browser: Browser, audited: Any
) -> None:
    hire("anna", "billing")
    anna = browser("anna")
    assert anna.get("/orders").json() == {"actor": "staff:anna"}
    me = anna.get("/turnup/v1/me").json()
    assert (me["actor"], me["person"], "billing:write" in me["scopes"]) == ("staff:anna", "anna", True)
    assert audited("login.opened") == [("staff:anna", "anna")]
    secret = anna.headers["Authorization"].split("_", 2)[2]
    with runtime.database.engine.connect() as connection:
        for table in ("staff", "staff_session", "audit", "login_attempt"):
            stored = connection.scalar(text(f"SELECT string_agg(t::text, ',') FROM runtime.{table} t")) or ""
            assert PASSWORD not in stored and secret not in stored
        assert connection.scalar(text("SELECT password_hash FROM runtime.staff")).startswith("$argon2id$")


def test_a_role_opens_its_own_and_nothing_else(hire: Any, browser: Browser) -> None:
    hire("anna", "auditor")
    anna = browser("anna")
    assert anna.get("/turnup/v1/staff").status_code == 200
    for refused in (anna.post("/siren?why=x"), anna.post("/turnup/v1/staff/anna/unlock")):
        assert refused.status_code == 403
        assert "ask an administrator" in refused.json()["remedy"]
    assert anna.post("/turnup/v1/tokens", json={"name": "t", "scopes": ["*"], "days": 1}).status_code == 403


def test_wrong_name_and_wrong_password_look_the_same(hire: Any, browser: Browser, audited: Any) -> None:
    hire("anna", "billing")
    answers = [
        browser().post(LOGIN, json={"name": name, "password": "wrong wrong wrong"})
        for name in ("anna", "nobody")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json()["message"] == answers[1].json()["message"]
    assert audited("login.refused") == [("staff:anna", "anna"), ("nobody", "unknown name")]


def test_sessions_end_idle_old_or_told(runtime: Any, hire: Any, browser: Browser, access: Access) -> None:
    hire("anna", "billing")
    idle, used, left = browser("anna"), browser("anna"), browser("anna")
    for _ in range(35):
        runtime.clock.advance(timedelta(minutes=20))
        access.authenticator.forget()  # as if five seconds had passed for its memory, too
        assert used.get("/orders").status_code == 200
    assert "ended" in idle.get("/orders").json()["message"]
    runtime.clock.advance(timedelta(minutes=20))  # twelve hours old, used all the time
    access.authenticator.forget()
    assert used.get("/orders").status_code == 401
    fresh, other = browser("anna"), browser("anna")
    assert left.get("/orders").status_code == 401
    assert fresh.post("/turnup/v1/logout").status_code == 204
    assert fresh.get("/orders").status_code == 401
    assert other.get("/orders").status_code == 200
    assert other.delete("/turnup/v1/staff/anna/sessions").json()["ended"] >= 1
    assert other.get("/orders").status_code == 401


def test_a_remembered_session_expires_all_the_same(runtime: Any, hire: Any, browser: Browser) -> None:
    hire("anna", "billing")
    anna = browser("anna")
    assert anna.get("/orders").status_code == 200
    runtime.clock.advance(timedelta(minutes=30))
    assert "expired" in anna.get("/orders").json()["message"]


def test_who_is_disabled_is_out_with_her_tokens(hire: Any, browser: Browser, runtime: Runtime) -> None:
    hire("anna", "billing")
    hire("root", "administrator")
    anna, root = browser("anna"), browser("root")
    with runtime.database.engine.begin() as connection:
        token = issue_token(connection, "shop", ["*"], now=runtime.clock.now(), owner="anna")
    program = browser()
    program.headers["Authorization"] = f"Bearer {token}"
    assert program.get("/orders").json() == {"actor": "token:shop"}
    assert program.get("/turnup/v1/staff").status_code == 403, "the token opens no more than its owner may"
    assert root.post("/turnup/v1/staff/anna/disable").status_code == 200
    assert [client.get("/orders").status_code for client in (anna, program)] == [401, 401]
    assert browser().post(LOGIN, json={"name": "anna", "password": PASSWORD}).status_code == 401


def test_nobody_raises_herself_or_touches_who_may_more(hire: Any, browser: Browser, runtime: Runtime) -> None:
    hire("root", "administrator")
    with access_unit(runtime, "cli:test") as unit:
        token = issue_token(unit.connection, "hr", ["access:write", "orders:read"], now=unit.now)
    hr = browser()
    hr.headers["Authorization"] = f"Bearer {token}"
    assert hr.put("/turnup/v1/staff/eve", json={"roles": ["administrator"]}).status_code == 403
    assert hr.post("/turnup/v1/staff/root/disable").status_code == 403
    assert hr.post("/turnup/v1/tokens", json={"name": "x", "scopes": ["*"], "days": 1}).status_code == 403
    made = hr.post("/turnup/v1/tokens", json={"name": "x", "scopes": ["orders:read"], "days": 1})
    assert made.status_code == 201


def test_who_is_confined_sees_nothing_that_is_not_told_apart(hire: Any, browser: Browser) -> None:
    hire("anna", "administrator", brand_id=BrandId(derived_id("brand", "red")))
    anna = browser("anna")
    assert anna.get("/orders").status_code == 403
    assert anna.get("/turnup/v1/staff").status_code == 403
    assert anna.get("/turnup/v1/me").json()["confined"] is True


def test_lock_outs_grow_and_tell_when_to_come_back(runtime: Any, hire: Any, browser: Browser) -> None:
    hire("anna", "billing")
    nobody, wrong = browser(), {"name": "anna", "password": "wrong wrong wrong"}
    assert [nobody.post(LOGIN, json=wrong).status_code for _ in range(6)] == [401] * 6
    locked = nobody.post(LOGIN, json={"name": "anna", "password": PASSWORD})
    assert (locked.status_code, locked.headers["Retry-After"]) == (429, "15")
    runtime.clock.advance(timedelta(seconds=15))
    assert nobody.post(LOGIN, json=wrong).status_code == 401
    assert nobody.post(LOGIN, json=wrong).headers["Retry-After"] == "30"
    runtime.clock.advance(timedelta(seconds=30))
    assert nobody.post(LOGIN, json={"name": "anna", "password": PASSWORD}).status_code == 200
    assert nobody.post(LOGIN, json=wrong).status_code == 401, "a login that went well starts the count anew"


def test_an_administrator_unlocks(hire: Any, browser: Browser) -> None:
    hire("anna", "billing")
    hire("root", "administrator")
    root, nobody = browser("root"), browser()
    for _ in range(6):
        nobody.post(LOGIN, json={"name": "anna", "password": "wrong wrong wrong"})
    assert root.post("/turnup/v1/staff/anna/unlock").status_code == 200
    assert nobody.post(LOGIN, json={"name": "anna", "password": PASSWORD}).status_code == 200


def test_guesses_at_once_count_each(runtime: Runtime) -> None:
    def guess(_: int) -> bool:
        try:
            lockout.count_attempt(runtime.database.engine, "anna", "192.0.2.1", runtime.clock.now())
        except TooManyRequests:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(guess, range(40))) == 6


def test_many_names_from_one_address_lock_the_address(runtime: Runtime) -> None:
    now = runtime.clock.now()
    for n in range(21):
        lockout.count_attempt(runtime.database.engine, f"name{n}", f"2001:db8::{n:x}", now)
    with pytest.raises(TooManyRequests):
        lockout.count_attempt(runtime.database.engine, "another", "2001:db8::ffff:1", now)
    lockout.count_attempt(runtime.database.engine, "another", "2001:db8:0:1::1", now)
    with runtime.database.engine.begin() as connection:
        lockout.forgive(connection, "mine", "2001:db8::1")  # one account of his own
    with pytest.raises(TooManyRequests):
        lockout.count_attempt(runtime.database.engine, "another", "2001:db8::1", now)


def test_addresses() -> None:
    assert lockout.address_key("::ffff:192.0.2.1") == lockout.address_key("192.0.2.1")
    assert lockout.address_key("2001:db8::1") == "address:2001:db8::/64"
    assert lockout.address_key("a unix socket") == "address:unknown"


def test_a_password_of_ones_own(hire: Any, browser: Browser, audited: Any) -> None:
    hire("anna", "billing")
    anna, other = browser("anna"), browser("anna")
    new = "another four plain words"
    change = "/turnup/v1/me/password"
    assert anna.post(change, json={"old": "wrong", "new": new}).status_code == 401
    assert anna.post(change, json={"old": PASSWORD, "new": "short"}).status_code == 400
    assert anna.post(change, json={"old": PASSWORD, "new": new}).status_code == 204
    assert [client.get("/orders").status_code for client in (anna, other)] == [401, 401]
    assert browser("anna", new).get("/orders").status_code == 200
    assert ("staff:anna", "anna") in audited("staff.password_set")


def test_a_cookie_counts_only_on_requests_of_our_own_pages(hire: Any, browser: Browser) -> None:
    hire("root", "administrator")
    pages = browser()
    answer = pages.post(LOGIN, json={"name": "root", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie
    assert answer.headers["cache-control"] == "no-store"
    assert pages.get("/orders").status_code == 200
    logout = "/turnup/v1/logout"
    for foreign in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"},
                    {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"}):  # fmt: skip
        assert pages.post(logout, headers=foreign).status_code == 403
    assert pages.post(logout, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 204
    pages.post(LOGIN, json={"name": "root", "password": PASSWORD})
    assert pages.post(logout, headers={"Origin": "http://testserver"}).status_code == 204


def test_names_are_plain_and_roles_known(runtime: Runtime, hire: Any, audited: Any) -> None:
    for name in ("", "Anna", "anna berg", "a", "-anna", "staff:anna"):
        with pytest.raises(InvalidInput, match="staff name"):
            hire(name, "billing")
    with pytest.raises(InvalidInput, match="no role"):
        hire("anna", "king")
    hire("anna", "billing")
    hire("anna", "billing")
    assert audited("staff.granted") == [("cli:test", "anna")], "a repetition is no change"
    with runtime.database.engine.connect() as connection:
        assert [view.name for view in staff.everybody(connection)] == ["anna"]


def test_hashes() -> None:
    stored = hash_password(PASSWORD)
    assert matches(stored, PASSWORD) and not matches(stored, PASSWORD + "x")
    assert not matches(None, "nobody has this password"), "the stand-in opens nothing"
    assert not matches("no hash", PASSWORD)
    assert not is_outdated(stored)
