"""Planted by every way in; exported whole; erased from every table, log and file but where law keeps it."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from builders.direct_run import DirectRun
from privacy.conftest import EXTERNAL, MARK, SYSTEM, Planted, everything
from turnup.app.cli.main import app
from turnup.app.house import House
from turnup.app.privacy.erasing import run_erasure
from turnup.runtime.erasures import ErasureState

LAW_KEEPS = {
    "crm.document_recipient": "name and address on invoices, which tax law keeps; used to print them only",
    "billing.payment": "the reference stands in the bank's voucher: a bookkeeping record",
    "configuration.backup": "an element's whole old configuration; cannot be taken apart, goes by age",
}
"""Where a word of hers may remain, and why."""

PHONE, ADDRESS = "9876543210", "100.64.1.77"


def places(house: House, *words: str) -> dict[str, list[str]]:
    """Every table that holds one of these words."""
    found: dict[str, list[str]] = {}
    with house.database.engine.connect() as connection:
        for table, row in everything(connection):
            if any(word.lower() in row.lower() for word in words):
                found.setdefault(table, []).append(row)
    return found


def files_with(folder: Path, *words: str) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(word.lower().encode() in path.read_bytes().lower() for word in words)
    ]


def test_she_is_planted_by_every_way_in(planted: Planted) -> None:
    """Or the tests below would prove little."""
    found = set(places(planted.house, MARK))
    assert found >= {
        "crm.party", "crm.contact", "crm.address", "crm.message",
        "orders.product_order", "orders.step", "provisioning.service", "inventory.holding",
        "configuration.intent", "configuration.backup", "monitoring.session", "billing.usage",
        "billing.payment", "mediation.quarantine", "reconciliation.finding", "dbos.operation_outputs",
        "mediation.raw_row", "crm.payment_method",
    }  # fmt: skip
    assert {"runtime.audit", "runtime.event"} & found == set()
    assert len(files_with(planted.house.settings.data_dir, MARK)) == 1  # the mail


def test_the_export_holds_everything_and_no_secret(planted: Planted, tmp_path: Path) -> None:
    out = tmp_path / "person.json"
    done = CliRunner().invoke(app, ["privacy", "export", planted.number, "--out", str(out)])
    assert done.exit_code == 0, done.output
    exported = json.loads(out.read_text())
    components = exported["components"]
    # what names her but leads to nobody by an id: an unplaced payment, an element's whole configuration
    unlinked = {"configuration.backup", "dbos.operation_outputs"}
    for place in set(places(planted.house, MARK)) - unlinked:
        schema, table = place.split(".")
        assert MARK.lower() in json.dumps(components[schema][table]).lower(), place
    assert PHONE in json.dumps(components["crm"]["contact"])
    assert ADDRESS in json.dumps(components["monitoring"]["session"])
    (mail,) = exported["files"]["mail"].values()
    assert MARK in mail
    assert "secret_sealed" not in json.dumps(exported)
    assert (out.stat().st_mode & 0o777) == 0o600
    with planted.house.database.engine.connect() as connection:
        assert any(
            "privacy.exported" in row for table, row in everything(connection) if table == "runtime.audit"
        )
    assert CliRunner().invoke(app, ["privacy", "export", planted.number, "--out", str(out)]).exit_code != 0


def test_what_is_in_the_way_is_said_and_changes_nothing(planted: Planted) -> None:
    before = places(planted.house, MARK)
    survey = planted.api.post("/turnup/v1/privacy/erasure/survey", json={"person": planted.number}).json()
    assert len(survey["inTheWay"]) == 2
    assert "services are not ceased" in survey["inTheWay"][0]
    assert "sessions are still open" in survey["inTheWay"][1]
    refused = planted.api.post("/turnup/v1/privacy/erasure", json={"person": planted.number})
    assert refused.status_code == 409
    assert "not ceased" in refused.json()["message"] + refused.json()["reason"]
    assert places(planted.house, MARK) == before
    assert planted.house.rights.erasures() == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE billing.invoice SET open_minor = 5 WHERE account_id = :a", "not paid"),
        ("UPDATE billing.invoice SET open_minor = -5 WHERE account_id = :a", "credit"),
        ("UPDATE billing.payment SET unallocated_minor = 5 WHERE account_id = :a", "credit"),
        (
            "INSERT INTO billing.dunning_case VALUES (gen_random_uuid(), :a, '2026-01-01', 1, false, now())",
            "dunning",
        ),
        ("UPDATE monitoring.session SET ended_at = NULL", "sessions are still open"),
        ("UPDATE orders.product_order SET state = 'held' WHERE account_id = :a", "orders are open"),
        ("UPDATE billing.agreement SET to_date = NULL, to_at = NULL, from_date = NULL, from_at = NULL"
         " WHERE account_id = :a;"
         "INSERT INTO billing.billable_period SELECT id, 9, account_id, 'active', '2025-11-01', NULL,"
         " '2025-11-01', NULL, 'test' FROM billing.service WHERE account_id = :a;"
         "UPDATE billing.account SET billed_through = '2025-12-01', next_bill_date = '2026-01-01',"
         " taken_over_through = NULL WHERE id = :a", "last bill"),
    ],
)  # fmt: skip
def test_each_precondition_stops_it(planted: Planted, statement: str, said: str) -> None:
    planted.leave()
    assert planted.house.rights.survey(planted.number).in_the_way == []
    for each in statement.split(";"):
        planted.sql(each, a=planted.account)
    assert said in " ".join(planted.house.rights.survey(planted.number).in_the_way)


def test_after_the_erasure_no_table_log_or_file_holds_her(
    planted: Planted, capfd: pytest.CaptureFixture[str]
) -> None:
    house = planted.house
    planted.leave()
    planted.erase()
    remaining = places(house, MARK, PHONE, ADDRESS)
    assert set(remaining) <= set(LAW_KEEPS) | {"inventory.slot"}
    # the address of the line is free again and belongs to nobody
    assert all(str(planted.service) not in row for row in remaining.get("inventory.slot", ()))
    assert set(LAW_KEEPS) - set(remaining) == set(), "take what nothing is left of off the list"
    assert files_with(house.settings.data_dir, MARK, PHONE, ADDRESS) == []
    told = capfd.readouterr()
    assert MARK.lower() not in (told.out + told.err).lower()
    with house.database.engine.connect() as connection:
        assert not any(
            MARK.lower() in row.lower() for t, row in everything(connection) if t == "runtime.audit"
        )


def test_what_stays_says_why_and_until_when(planted: Planted) -> None:
    planted.leave()
    erasure = planted.house.rights.erasure(planted.erase())
    assert erasure is not None
    assert erasure.state is ErasureState.DONE
    kept = {each["where"]: each for each in erasure.kept}
    assert {"billing.invoice", "billing.payment", "billing.ledger_entry", "crm.document_recipient"} <= set(
        kept
    )
    year = planted.house.runtime.clock.now().year
    until = (date(year, 12, 31) + timedelta(days=3653)).isoformat()
    assert kept["billing.invoice"]["until"] == kept["crm.document_recipient"]["until"] == until
    assert all(each["why"] for each in erasure.kept)
    assert erasure.changed["crm"]["party"] == 1
    assert erasure.changed["files"] == {"mail": 1}


def test_her_invoice_is_still_addressed_to_her_and_she_is_nobody_elsewhere(planted: Planted) -> None:
    planted.leave()
    planted.erase()
    recipient = planted.house.crm.recipient(planted.customer)
    assert recipient is not None
    assert (recipient.name, recipient.street) == (f"{MARK} Mustermann", f"{MARK} Street 7")
    customer = planted.house.crm.customer(planted.customer)
    assert customer is not None
    assert (customer.name, customer.email, customer.status) == ("(erased)", None, "closed")
    listed = planted.api.get("/tmf-api/partyManagement/v5/individual")
    assert MARK not in listed.text


def test_the_books_still_balance_and_usage_is_a_sum_a_day(planted: Planted) -> None:
    planted.leave()
    before = planted.sql("SELECT sum(octets) FROM billing.usage").scalar()
    planted.erase()
    rows = planted.sql("SELECT key, octets FROM billing.usage").all()
    assert [tuple(row) for row in rows] == [("day:2026-01-05", before)]
    assert planted.sql("SELECT sum(amount_minor) FROM billing.ledger_entry").scalar() == 0


def test_once_more_changes_nothing(planted: Planted) -> None:
    planted.leave()
    first = planted.erase()
    with planted.house.database.engine.connect() as connection:
        before = [row for row in everything(connection) if not row[0].startswith(("runtime.api", "dbos."))]
    again = planted.api.post("/turnup/v1/privacy/erasure", json={"person": planted.number}).json()
    assert again == {"erasure": str(first), "state": "done"}
    run_erasure(DirectRun(planted.house.runtime), str(first), rights=planted.house.rights)  # type: ignore[arg-type]
    with planted.house.database.engine.connect() as connection:
        after = [row for row in everything(connection) if not row[0].startswith(("runtime.api", "dbos."))]
    assert sorted(after) == sorted(before)


def test_the_old_file_does_not_bring_her_back(planted: Planted, tmp_path: Path) -> None:
    planted.leave()
    planted.erase()
    old = next(tmp_path.parent.glob(f"{tmp_path.name}-files/customers.csv"))
    report = planted.house.importer.take_over_customers(old, system=SYSTEM)
    assert (report.applied, len(report.quarantined)) == (0, 1)
    assert report.quarantined[0].external_id == EXTERNAL
    assert [c.name for c in planted.house.crm.all_customers()] == ["(erased)"]
    changed = planted.api.patch(
        f"/tmf-api/partyManagement/v5/individual/{planted.party}", json={"familyName": MARK}
    )
    assert changed.status_code == 409


def killed_after(rights: Any, name: str) -> Any:
    """A run whose worker dies right after the step of this name."""

    class Dying(DirectRun):
        def unit(self, component: str, step: str, function: Any, *args: Any) -> Any:
            done = super().unit(component, step, function, *args)
            return self._die(step, done)

        def world(self, step: str, function: Any, *args: Any, **more: Any) -> Any:
            return self._die(step, super().world(step, function, *args, **more))

        def _die(self, step: str, done: Any) -> Any:
            if step == name:
                raise KeyboardInterrupt
            return done

    return Dying(rights._runtime)


@pytest.mark.parametrize("step", ["look", "register", "erase billing", "erase orders", "erase crm", "finish"])
def test_broken_off_anywhere_it_is_finished_by_a_repetition(planted: Planted, step: str) -> None:
    """Without the engine's checkpoints, which is harder: every step comes twice."""
    planted.leave()
    rights = planted.house.rights
    asked = planted.api.post("/turnup/v1/privacy/erasure", json={"person": planted.number}).json()["erasure"]
    with pytest.raises(KeyboardInterrupt):
        run_erasure(killed_after(rights, step), asked, rights=rights)
    seen = rights.look(asked)
    if seen is not None:
        run_erasure(DirectRun(planted.house.runtime), asked, rights=rights)  # type: ignore[arg-type]
    assert set(places(planted.house, MARK)) <= set(LAW_KEEPS) | {"crm.message", "dbos.operation_outputs"}
    erasure = rights.erasures()[0]
    assert erasure.state is ErasureState.DONE


def test_what_comes_into_the_way_meanwhile_blocks_it_visibly(planted: Planted) -> None:
    planted.leave()
    rights = planted.house.rights
    asked = planted.api.post("/turnup/v1/privacy/erasure", json={"person": planted.number}).json()["erasure"]
    planted.sql("UPDATE billing.invoice SET open_minor = 5 WHERE account_id = :a", a=planted.account)
    run_erasure(DirectRun(planted.house.runtime), asked, rights=rights)  # type: ignore[arg-type]
    (blocked,) = rights.erasures(open_only=True)
    assert blocked.state is ErasureState.BLOCKED
    assert "not paid" in blocked.in_the_way[0]
    assert rights.apply_again() == 0  # tried again a day later, not at once
    planted.sql("UPDATE runtime.erasure SET tried_at = tried_at - interval '2 days'")
    planted.sql("UPDATE billing.invoice SET open_minor = 0 WHERE account_id = :a", a=planted.account)
    assert rights.apply_again() == 1
    run_erasure(DirectRun(planted.house.runtime), asked, rights=rights)  # type: ignore[arg-type]
    assert rights.erasures()[0].state is ErasureState.DONE


def test_books_that_went_back_forget_and_are_told_again(planted: Planted) -> None:
    """The register's file knows what the table has lost. (A restore of the cluster: tests/restoration.)"""
    house = planted.house
    planted.leave()
    planted.erase()
    (erasure,) = house.rights.erasures()
    planted.sql("DELETE FROM runtime.erasure")
    planted.sql("DELETE FROM dbos.workflow_status WHERE name = 'privacy.erase'")
    planted.sql(
        "UPDATE crm.party SET erased_at = NULL, name = :n WHERE party_id = :p",
        n=f"{MARK} Again",
        p=planted.party,
    )
    planted.sql("DELETE FROM crm.document_recipient")
    assert [entry.party for entry in house.rights.not_applied()] == [planted.party]
    assert house.rights.apply_again() == 1
    assert house.rights.apply_again() == 0
    run_erasure(DirectRun(house.runtime), str(erasure.id), rights=house.rights)  # type: ignore[arg-type]
    (again,) = house.rights.erasures()
    assert (again.again, again.state, again.asked_at) == (True, ErasureState.DONE, erasure.asked_at)
    assert "crm.party" not in places(house, MARK)


def test_the_register_survives_the_loss_of_either_folder(planted: Planted) -> None:
    planted.leave()
    planted.erase()
    settings = planted.house.settings
    lines = {
        path.read_text()
        for path in (settings.data_dir / "erasures.jsonl", settings.backup_path / "erasures.jsonl")
    }
    (text,) = lines
    assert str(planted.party) in text
    assert MARK not in text
    (settings.data_dir / "erasures.jsonl").unlink()
    (settings.backup_path / "erasures.jsonl").write_text(text + '{"id": "half')
    planted.sql("DELETE FROM runtime.erasure")
    assert len(planted.house.rights.not_applied()) == 1


def test_scopes_and_words_that_name_nobody(planted: Planted, api: TestClient) -> None:
    from turnup.runtime.auth import issue_token

    with planted.house.database.engine.begin() as connection:
        token = issue_token(
            connection, "reader", ["privacy:read", "crm:write"], now=planted.house.runtime.clock.now()
        )
    reader = {"Authorization": f"Bearer {token}"}
    for path in ("export", "erasure", "purge"):
        assert api.post(f"/turnup/v1/privacy/{path}", json={"person": "x"}, headers=reader).status_code == 403
    assert api.get("/turnup/v1/privacy/erasure", headers=reader).status_code == 200
    for named in ("C-0", "nobody@example.net", "00000000-0000-0000-0000-000000000000", ""):
        assert api.post("/turnup/v1/privacy/erasure", json={"person": named}).status_code == 404
    for named in (f"{MARK}@mail.example".upper(), str(planted.customer), str(planted.party)):
        answer = api.post("/turnup/v1/privacy/erasure/survey", json={"person": named})
        assert answer.json()["party"] == str(planted.party)
