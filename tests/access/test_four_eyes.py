"""What is dangerous waits for a second person, happens once, or never."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from access.conftest import Siren
from turnup.kernel.access import ApprovalNeeded, ApprovalState
from turnup.kernel.errors import Conflict, InvalidInput, TurnupError
from turnup.kernel.ids import BrandId, derived_id
from turnup.runtime.access.edge import Access
from turnup.runtime.access.four_eyes import FourEyes
from turnup.runtime.access.staff import access_unit
from turnup.runtime.auth import Caller, issue_token, revoke_token
from turnup.runtime.component import Runtime
from turnup.runtime.dangerous import DangerousOutside

Browser = Callable[..., TestClient]
APPROVALS = "/turnup/v1/approvals"


@pytest.fixture
def people(hire: Any) -> None:
    hire("anna", "administrator")
    hire("ben", "administrator")
    hire("cleo", "billing")


def asked(client: TestClient, why: str = "fire") -> str:
    answer = client.post("/siren", params={"why": why})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["approval"]["id"])


def test_a_second_person_lets_it_happen_once(people: None, browser: Browser, audited: Any) -> None:
    anna, ben, cleo = browser("anna"), browser("ben"), browser("cleo")
    approval = asked(anna)
    assert asked(anna) == approval, "the same request, while it waits, is the same"
    [shown] = ben.get(APPROVALS).json()
    assert (shown["what"], shown["askedBy"], shown["state"]) == ("sound the siren: fire", "anna", "waiting")
    assert cleo.get(APPROVALS).json() == []
    assert cleo.get(f"{APPROVALS}/{approval}").status_code == 404
    for wrong in (anna, cleo):
        assert wrong.post(f"{APPROVALS}/{approval}/approve").status_code == 403
    assert audited("siren.sounded") == []
    done = ben.post(f"{APPROVALS}/{approval}/approve").json()
    assert (done["state"], done["decidedBy"], done["result"]) == ("executed", "ben", {"by": "staff:anna"})
    assert ben.post(f"{APPROVALS}/{approval}/approve").status_code == 409
    assert audited("siren.sounded") == [("staff:anna", "fire")]
    assert audited("approval.asked") == [("staff:anna", approval)]
    assert audited("approval.approved") == [("staff:ben", approval)]
    assert asked(anna) != approval, "what is done may be asked for again"


def test_two_who_approve_at_once_do_it_once(
    people: None, hire: Any, browser: Browser, access: Access, audited: Any
) -> None:
    approval = UUID(asked(browser("anna")))
    ben = Caller("ben", frozenset({"*"}), kind="staff", person="ben")

    def approve(_: int) -> bool:
        try:
            access.four_eyes.approve(approval, ben)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(approve, range(4))) == 1
    assert len(audited("siren.sounded")) == 1


def test_who_asked_may_take_it_back_and_others_refuse(people: None, browser: Browser, audited: Any) -> None:
    anna, ben = browser("anna"), browser("ben")
    first, second = asked(anna, "fire"), asked(anna, "flood")
    assert ben.post(f"{APPROVALS}/{first}/refuse", json={"reason": " "}).status_code == 400
    assert ben.post(f"{APPROVALS}/{first}/refuse", json={"reason": "a drill"}).json()["state"] == "refused"
    assert anna.post(f"{APPROVALS}/{second}/refuse", json={"reason": "over"}).json()["decidedBy"] == "anna"
    assert ben.post(f"{APPROVALS}/{first}/approve").status_code == 409
    assert ben.get(APPROVALS).json() == []
    assert len(ben.get(APPROVALS, params={"all": True}).json()) == 2
    assert audited("siren.sounded") == []


def test_who_is_confined_neither_sees_nor_decides(people: None, hire: Any, browser: Browser) -> None:
    approval = asked(browser("anna"))
    hire("dora", "administrator", brand_id=BrandId(derived_id("brand", "red")))
    dora = browser("dora")
    assert dora.get(APPROVALS).json() == []
    assert dora.get(f"{APPROVALS}/{approval}").status_code == 404
    assert dora.post(f"{APPROVALS}/{approval}/approve").status_code == 403
    assert dora.post(f"{APPROVALS}/{approval}/refuse", json={"reason": "x"}).status_code == 403


def test_it_expires(people: None, runtime: Any, browser: Browser, audited: Any) -> None:
    approval = asked(browser("anna"))
    runtime.clock.advance(timedelta(hours=8))
    ben = browser("ben")
    answer = ben.post(f"{APPROVALS}/{approval}/approve")
    assert (answer.status_code, "expired" in answer.json()["message"]) == (409, True)
    assert ben.get(APPROVALS).json() == []
    assert ben.get(f"{APPROVALS}/{approval}").json()["state"] == "expired"
    assert audited("siren.sounded") == []


def test_what_fails_happened_not_at_all_and_still_waits(
    people: None, siren: Siren, browser: Browser, audited: Any
) -> None:
    approval = asked(browser("anna"))
    ben, siren.breaks = browser("ben"), True
    assert ben.post(f"{APPROVALS}/{approval}/approve").json()["message"] == "the siren is broken"
    assert (audited("siren.sounded"), audited("approval.approved")) == ([], [])
    siren.breaks = False
    assert ben.post(f"{APPROVALS}/{approval}/approve").json()["state"] == "executed"


def test_what_could_not_happen_is_not_kept(
    people: None, siren: Siren, browser: Browser, audited: Any
) -> None:
    anna, siren.breaks = browser("anna"), True
    assert anna.post("/siren?why=fire").json()["message"] == "the siren is broken"
    assert anna.put("/turnup/v1/staff/No Name", json={"roles": ["billing"]}).status_code == 400
    assert anna.get(APPROVALS).json() == []
    assert (audited("siren.sounded"), audited("approval.asked")) == ([], [])


def test_who_may_no_more_has_not_asked(people: None, hire: Any, browser: Browser, audited: Any) -> None:
    approval = asked(browser("anna"))
    ben = browser("ben")
    hire("anna", "billing", password=None)  # another role since
    answer = ben.post(f"{APPROVALS}/{approval}/approve")
    assert (answer.status_code, "any more" in answer.json()["message"]) == (403, True)
    assert ben.post(f"{APPROVALS}/{approval}/refuse", json={"reason": "gone"}).status_code == 200
    assert audited("siren.sounded") == []


def test_a_token_asks_for_its_owner_and_approves_nothing(
    people: None, runtime: Runtime, browser: Browser
) -> None:
    def program(owner: str | None) -> TestClient:
        with access_unit(runtime, "cli:test") as unit:
            token = issue_token(unit.connection, f"of {owner}", ["*"], now=unit.now, owner=owner)
        client = browser()
        client.headers["Authorization"] = f"Bearer {token}"
        return client

    of_anna, of_ben, of_nobody = program("anna"), program("ben"), program(None)
    refused = of_nobody.post("/siren?why=fire")
    assert (refused.status_code, refused.json()["code"]) == (403, "approval_needs_a_person")
    approval = asked(of_anna)
    for client in (of_anna, of_ben, of_nobody, browser("anna")):
        assert client.post(f"{APPROVALS}/{approval}/approve").status_code == 403
    with access_unit(runtime, "cli:test") as unit:
        revoke_token(unit.connection, "of anna")
    gone = browser("ben").post(f"{APPROVALS}/{approval}/approve")
    assert "any more" in gone.json()["message"], "a token that was stolen and revoked asked for nothing"


def test_an_administrator_does_not_make_her_own_second_person(people: None, browser: Browser) -> None:
    anna, ben = browser("anna"), browser("ben")
    hired = anna.put("/turnup/v1/staff/eve", json={"roles": ["administrator"], "oidc_identity": "eve"})
    assert hired.status_code == 202
    assert "eve" not in {each["name"] for each in anna.get("/turnup/v1/staff").json()}
    done = ben.post(f"{APPROVALS}/{hired.json()['approval']['id']}/approve").json()
    assert done["result"]["roles"] == ["administrator"]
    assert "eve" in {each["name"] for each in anna.get("/turnup/v1/staff").json()}


def test_what_is_more_than_a_transaction_is_started_at_most_once(people: None, runtime: Runtime) -> None:
    started: list[str] = []

    def run(actor: str, arguments: Any) -> dict[str, str]:
        started.append(actor)
        raise OSError("disk full")

    rotate = DangerousOutside(
        action="keys.rotate", scope="operations:write", what=lambda arguments: "rotate", run=run
    )
    four_eyes = FourEyes(runtime, [rotate], required=["keys.rotate"])
    anna, ben = (Caller(name, frozenset({"*"}), kind="staff", person=name) for name in ("anna", "ben"))
    waits = four_eyes.ask("keys.rotate", {}, anna).waits
    assert waits is not None
    with pytest.raises(OSError):
        four_eyes.approve(waits.id, ben)
    with pytest.raises(Conflict, match="started"):
        four_eyes.approve(waits.id, ben)
    assert started == ["staff:anna"]
    assert four_eyes.approval(waits.id).state is ApprovalState.STARTED


def test_without_the_setting_one_pair_is_enough(runtime: Runtime, siren: Siren, audited: Any) -> None:
    four_eyes = FourEyes(runtime, [siren.dangerous()])
    shell = Caller("root", frozenset({"*"}), kind="cli")
    assert four_eyes.ask("siren.sound", {"why": "fire"}, shell).result == {"by": "cli:root"}
    assert audited("siren.sounded") == [("cli:root", "fire")]
    with pytest.raises(ApprovalNeeded):
        FourEyes(runtime, [siren.dangerous()], required=["siren.sound"]).ask(
            "siren.sound", {"why": "x"}, shell
        )
    with pytest.raises(TurnupError, match="scope"):
        four_eyes.ask("siren.sound", {"why": "x"}, Caller("shop", frozenset({"orders:write"})))
    with pytest.raises(InvalidInput, match="no dangerous action"):
        FourEyes(runtime, [siren.dangerous()], required=["siren.sing"])
