"""API tokens: issued once, checked cheaply, expired and revoked when they should be."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import event, text

from builders.house import lay_out, runtime_on
from turnup.kernel.clock import ManualClock
from turnup.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound, Unauthenticated
from turnup.kernel.ids import BrandId, LegalEntityId, derived_id
from turnup.runtime.auth import Authenticator, Caller, Realm, issue_token, list_tokens, revoke_token
from turnup.runtime.component import Runtime


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("runtime_only", lambda url: lay_out(url, []))


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with runtime_on(database_url) as runtime:
        yield runtime


def issue(runtime: Runtime, name: str, *scopes: str, expires_in: timedelta | None = None) -> str:
    now = runtime.clock.now()
    with runtime.database.engine.begin() as connection:
        return issue_token(
            connection, name, scopes, now=now, expires_at=now + expires_in if expires_in else None
        )


def authenticator(runtime: Runtime) -> Authenticator:
    return Authenticator(runtime.database.engine, runtime.clock)


def test_a_token_names_its_caller_and_is_not_stored(runtime: Runtime) -> None:
    token = issue(runtime, "shop", "orders:write")
    assert token.startswith("tu_")
    caller = authenticator(runtime).require(f"Bearer {token}", "orders:write")
    assert (caller.name, caller.actor) == ("shop", "token:shop")
    with runtime.database.engine.connect() as connection:
        stored = connection.scalar(text("SELECT string_agg(t::text, ',') FROM runtime.api_token t"))
    assert token.split("_", 2)[2] not in stored


@pytest.mark.parametrize(
    ("scopes", "wanted", "may"),
    [
        ({"*"}, "orders:write", True),
        ({"orders:*"}, "orders:write", True),
        ({"orders:write"}, "orders:read", True),
        ({"orders:read"}, "orders:write", False),
        ({"orders:read"}, "orders:read", True),
        ({"billing:*"}, "orders:read", False),
        (set(), "orders:read", False),
    ],
)
def test_scopes(scopes: set[str], wanted: str, may: bool) -> None:
    assert Caller("x", frozenset(scopes)).may(wanted) is may


@pytest.mark.parametrize(
    "header", [None, "", "Basic abc", "Bearer ", "Bearer x", "Bearer tu_0_0", "Bearer tu_"]
)
def test_what_is_no_token_opens_nothing(runtime: Runtime, header: str | None) -> None:
    with pytest.raises(Unauthenticated, match="Authorization"):
        authenticator(runtime).caller(header)


def test_a_changed_token_opens_nothing(runtime: Runtime) -> None:
    token = issue(runtime, "shop", "*")
    check = authenticator(runtime)
    check.caller(f"Bearer {token}")
    for wrong in (token[:-1] + ("a" if token[-1] != "a" else "b"), token.replace("tu_", "xx_"), token + "x"):
        with pytest.raises(Unauthenticated):
            check.caller(f"Bearer {wrong}")


def test_the_scope_that_is_missing_is_named(runtime: Runtime) -> None:
    token = issue(runtime, "shop", "orders:read")
    with pytest.raises(NotAllowed, match="orders:write"):
        authenticator(runtime).require(f"Bearer {token}", "orders:write")


def test_expiry_counts_even_for_a_remembered_token(runtime: Runtime) -> None:
    token = issue(runtime, "shop", "*", expires_in=timedelta(hours=1))
    check = authenticator(runtime)
    check.caller(f"Bearer {token}")
    assert isinstance(runtime.clock, ManualClock)
    runtime.clock.advance(timedelta(hours=1))
    with pytest.raises(Unauthenticated, match="expired"):
        check.caller(f"Bearer {token}")


def test_a_remembered_token_costs_no_query_and_is_forgotten_when_told(runtime: Runtime) -> None:
    token = issue(runtime, "shop", "*")
    check = authenticator(runtime)
    check.caller(f"Bearer {token}")
    queries: list[str] = []
    event.listen(runtime.database.engine, "before_cursor_execute", lambda *args: queries.append(args[2]))
    check.caller(f"Bearer {token}")
    assert queries == []
    with runtime.database.engine.begin() as connection:
        revoke_token(connection, "shop")
    check.forget()
    with pytest.raises(Unauthenticated):
        check.caller(f"Bearer {token}")


def test_names_are_unique_scopes_make_sense_and_lists_show_no_secret(runtime: Runtime) -> None:
    issue(runtime, "shop", "*")
    with pytest.raises(Conflict, match="name"):
        issue(runtime, "shop", "*")
    for scopes in ([], ["orders"], ["orders:fly"], [":read"]):
        with pytest.raises(InvalidInput, match="scopes"):
            issue(runtime, "other", *scopes)
    with runtime.database.engine.begin() as connection:
        assert [(view.name, view.scopes, view.revoked) for view in list_tokens(connection)] == [
            ("shop", ("*",), False)
        ]
        with pytest.raises(NotFound):
            revoke_token(connection, "nobody")
        revoke_token(connection, "shop")
    assert issue(runtime, "shop", "*"), "the name of a revoked token is free again"


ENTITY, OTHER_ENTITY = (LegalEntityId(derived_id("legal_entity", name)) for name in ("one", "two"))
BRAND, OTHER_BRAND = (BrandId(derived_id("brand", name)) for name in ("red", "blue"))


@pytest.mark.parametrize(
    ("confined_to", "whose", "inside"),
    [
        (Realm(ENTITY), Realm(ENTITY, BRAND), True),
        (Realm(ENTITY), Realm(OTHER_ENTITY, BRAND), False),
        (Realm(None, BRAND), Realm(OTHER_ENTITY, BRAND), True),
        (Realm(ENTITY, BRAND), Realm(ENTITY, OTHER_BRAND), False),
        (Realm(ENTITY), None, False),
    ],
)
def test_a_realm_holds_its_own_only(confined_to: Realm, whose: Realm | None, inside: bool) -> None:
    assert confined_to.holds(whose) is inside
