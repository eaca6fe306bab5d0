"""Billing over HTTP: TMF678 and TMF676 documents fit their schemas; runs, payments, explanations."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from billing_house import Customer, FakeCatalog, FakeCrm, charge
from fastapi.testclient import TestClient

from builders.house import attach_workflows, client_of, runtime_on
from builders.tmf_schema import complaints
from turnup.bss.billing.component import POLICY_CHECKS, SCHEMA, build
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import RunId, new_id
from turnup.runtime.component import Component, Runtime

BILLS = "/tmf-api/customerBillManagement/v5/customerBill"
PAYMENTS = "/tmf-api/payment/v4/payment"
RATES = "/tmf-api/customerBillManagement/v5/appliedCustomerBillingRate"
ADA, BOB = Customer("ada"), Customer("bob")


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    start = datetime(2026, 6, 2, tzinfo=UTC)
    with runtime_on(database_url, start=start, default_currency="EUR") as running:
        yield running


@pytest.fixture
def component(runtime: Runtime) -> Component:
    made = build(runtime, catalog_reads=FakeCatalog(), crm_reads=FakeCrm())  # type: ignore[arg-type]
    attach_workflows(runtime, [made])
    for who in (ADA, BOB):
        for event in (
            who.opened(date(2026, 6, 1)),
            who.agreed(charge("plan", "49.90"), charge("setup", "20.00", kind="one_time")),
            who.accepted("2026-06-11"),
        ):
            with runtime.unit("billing", "test") as unit:
                made.handlers[type(event)](unit, event)
    runtime.clock.advance(timedelta(days=29))  # type: ignore[attr-defined]
    return made


@pytest.fixture
def client(runtime: Runtime, component: Component) -> TestClient:
    return client_of(runtime, [component], scopes=["billing:read", "billing:write"])


def bill(client: TestClient, runtime: Runtime, component: Component, day: str = "2026-07-01") -> Any:
    """Start a run over HTTP, and do its durable work here."""
    answer = client.post("/turnup/v1/bill-runs", json={"bill_date": day})
    assert answer.status_code == 202, answer.text
    run, runs = answer.json(), component.service.runs
    run_id = RunId(UUID(run["id"]))
    shards = range(run["shards"]["total"])
    for step, numbers in ((runs.draft, shards), (runs.number, [None]), (runs.post, shards)):
        for n in numbers:
            with runtime.unit("billing", "test") as unit:
                step(unit, run_id, *([] if n is None else [n]))
    return run


def test_a_run_is_started_once_and_followed(
    client: TestClient, runtime: Runtime, component: Component
) -> None:
    run = bill(client, runtime, component)
    assert run["state"] == "drafting"
    done = client.get(f"/turnup/v1/bill-runs/{run['id']}").json()
    assert (done["state"], done["invoices"], done["parked"]) == ("done", 2, 0)
    assert done["shards"]["done"] == done["shards"]["total"]
    again = client.post("/turnup/v1/bill-runs", json={"bill_date": "2026-07-01"}).json()
    assert (again["id"], again["state"]) == (run["id"], "done")
    assert client.get(f"/turnup/v1/bill-runs/{new_id()}").status_code == 404


def test_bills_and_rates_are_tm_forum_documents(
    client: TestClient, runtime: Runtime, component: Component
) -> None:
    bill(client, runtime, component)
    bills = client.get(BILLS).json()
    assert len(bills) == 2
    for document in bills:
        assert complaints("TMF678-5", "CustomerBill", document) == []
    (ada,) = client.get(BILLS, params={"billingAccount.id": str(ADA.account)}).json()
    net = round(20 + 49.90 * 20 / 30, 2)
    assert ada["taxExcludedAmount"] == {"unit": "EUR", "value": net}
    assert ada["taxIncludedAmount"]["value"] == pytest.approx(net + ada["taxItem"][0]["taxAmount"]["value"])
    assert ada["remainingAmount"] == ada["taxIncludedAmount"]
    assert (ada["state"], ada["billingPeriod"]["startDateTime"]) == ("new", "2026-06-01T00:00:00.000Z")
    assert client.get(f"{BILLS}/{ada['id']}").json() == ada
    assert client.get(f"{BILLS}/{ada['billNo']}").json() == ada
    assert client.get(f"{BILLS}/{new_id()}").status_code == 404
    rates = client.get(RATES, params={"bill.id": ada["id"]}).json()
    assert len(rates) == 2
    for document in rates:
        assert complaints("TMF678-5", "AppliedCustomerBillingRate", document) == []
        assert client.get(f"{RATES}/{document['id']}").json() == document
    assert sum(rate["taxExcludedAmount"]["value"] for rate in rates) == pytest.approx(net)
    assert len(client.get(RATES).json()) == 4
    assert client.get(f"{RATES}/{ada['id']}-99").status_code == 404


def test_an_invoice_explains_itself_as_text_and_as_data(
    client: TestClient, runtime: Runtime, component: Component
) -> None:
    bill(client, runtime, component)
    url = "/turnup/v1/invoices/INV-00000001"
    told = client.get(f"{url}/explain").json()
    assert [line["kind"] for line in told["lines"]] == ["one_time", "recurring"] or [
        line["kind"] for line in told["lines"]
    ] == ["recurring", "one_time"]
    assert sum(line["grossMinor"] for line in told["lines"]) == told["totalMinor"]
    text = client.get(f"{url}/explain", headers={"Accept": "text/plain"})
    assert text.headers["content-type"].startswith("text/plain")
    assert text.text == told["text"]
    assert "20 of 30 days" in text.text
    pdf = client.get(f"{url}.pdf")
    assert (pdf.headers["content-type"], pdf.content[:4]) == ("application/pdf", b"%PDF")
    assert client.get("/turnup/v1/invoices/INV-99999999/explain").status_code == 404


def test_a_payment_counts_once_by_its_reference(
    client: TestClient, runtime: Runtime, component: Component
) -> None:
    bill(client, runtime, component)
    owed = client.get(f"/turnup/v1/accounts/{ADA.account}/balance").json()
    assert owed["balanceMinor"] > 0
    assert owed == client.get("/turnup/v1/accounts/A-ada/balance").json()
    payment = {"account": "A-ada", "amount": "10.00", "reference": "wire 1", "received_on": "2026-07-02"}
    first = client.post("/turnup/v1/payments", json=payment)
    assert first.status_code == 201
    assert client.post("/turnup/v1/payments", json=payment).json() == first.json()
    assert first.json()["balanceMinor"] == owed["balanceMinor"] - 1000
    (document,) = client.get(BILLS, params={"billingAccount.id": str(ADA.account)}).json()
    assert document["state"] == "partiallyPaid"
    other = client.post("/turnup/v1/payments", json={**payment, "amount": "11.00"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    wrong = client.post("/turnup/v1/payments", json={**payment, "amount": "ten"})
    assert wrong.status_code == 400
    unknown = client.post("/turnup/v1/payments", json={**payment, "account": "A-nobody"})
    assert unknown.status_code == 404


def test_a_payment_file_counts_once(client: TestClient, runtime: Runtime, component: Component) -> None:
    bill(client, runtime, component)
    owed = client.get("/turnup/v1/accounts/A-ada/balance").json()["balanceMinor"]
    content = f"date,reference,amount\n2026-07-03,A-ada,{owed / 100:.2f}\n2026-07-03,A-nobody,5.00\n"

    def send() -> Any:
        return client.post(
            "/turnup/v1/payment-files",
            params={"name": "july.csv"},
            content=content,
            headers={"Content-Type": "text/csv"},
        ).json()

    first = send()
    assert (first["rows"], first["matched"], first["unmatched"], first["repeated"]) == (2, 1, 1, 0)
    assert "A-nobody" in first["reasons"][0]
    assert send()["repeated"] == 2
    assert client.get("/turnup/v1/accounts/A-ada/balance").json()["balanceMinor"] == 0
    (document,) = client.get(BILLS, params={"billingAccount.id": str(ADA.account)}).json()
    assert document["state"] == "settled"


def test_dunning_takes_each_step_once(client: TestClient, runtime: Runtime, component: Component) -> None:
    bill(client, runtime, component)
    runtime.clock.advance(timedelta(days=31))  # type: ignore[attr-defined]
    day = {"today": "2026-08-01"}
    assert client.post("/turnup/v1/dunning-runs", json=day).json() == {"steps": 2}
    assert client.post("/turnup/v1/dunning-runs", json=day).json() == {"steps": 0}


def test_a_preview_stores_nothing(client: TestClient) -> None:
    shown = client.get("/turnup/v1/accounts/A-ada/preview").json()
    assert (shown["state"], shown["number"]) == ("draft", None)
    assert shown["lines"]
    assert client.get(BILLS).json() == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/turnup/v1/bill-runs", {"bill_date": "2026-07-01"}),
        ("POST", "/turnup/v1/dunning-runs", {"today": "2026-07-01"}),
        (
            "POST",
            "/turnup/v1/payments",
            {"account": "A-ada", "amount": "1", "reference": "x", "received_on": "2026-07-01"},
        ),
    ],
)
def test_reading_rights_do_not_write(
    runtime: Runtime, component: Component, method: str, path: str, body: dict[str, str]
) -> None:
    reader = client_of(runtime, [component], scopes=["billing:read"])
    assert reader.request(method, path, json=body).status_code == 403
    stranger = client_of(runtime, [component], scopes=["orders:read"])
    assert stranger.get("/turnup/v1/accounts/A-ada/balance").status_code == 403


def test_the_pdf_is_addressed_from_crm(
    runtime: Runtime, component: Component, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill(client, runtime, component)
    seen: dict[str, Any] = {}

    def render(invoice: Any, **given: Any) -> bytes:
        seen.update(given)
        return b"%PDF"

    monkeypatch.setattr("turnup.bss.billing.service.documents.render_pdf", render)
    client.get("/turnup/v1/invoices/INV-00000001.pdf")
    assert (seen["seller"], seen["recipient"].street, seen["recipient"].city) == (
        "Example Net",
        "Hauptstr. 1",
        "Berlin",
    )


@pytest.mark.parametrize(
    ("kind", "document", "field"),
    [
        ("billing", {"charge_while_suspended": "perhaps"}, "p.charge_while_suspended"),
        ("billing", {"series": "a b"}, "p.series"),
        ("credit", {"per": "year"}, "p.per"),
        ("dunning", {"steps": [{"days_overdue": 7, "action": "shout"}]}, "p.steps[0].action"),
        ("tax", {"rates": [{"percent": "nineteen"}]}, "p.rates[0].percent"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_its_path(
    kind: str, document: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        POLICY_CHECKS[kind](document, "p")
    assert refused.value.field == field


def test_the_schema_is_the_components() -> None:
    assert SCHEMA.name == "billing"


def test_an_unmatched_payment_is_shown_and_given_to_its_account(
    client: TestClient, runtime: Runtime, component: Component
) -> None:
    bill(client, runtime, component)
    owed = client.get("/turnup/v1/accounts/A-ada/balance").json()["balanceMinor"]
    content = "date,reference,amount\n2026-07-03,Miss Ada,5.00\n2026-07-02,???,1.00\n"
    sent = client.post("/turnup/v1/payment-files", params={"name": "july.csv"}, content=content,
                       headers={"Content-Type": "text/csv"})  # fmt: skip
    assert sent.json()["unmatched"] == 2
    waiting = client.get("/turnup/v1/payments/unmatched").json()
    assert (waiting["total"], [p["reference"] for p in waiting["payments"]]) == (2, ["???", "Miss Ada"])
    second = client.get("/turnup/v1/payments/unmatched", params={"offset": 1, "limit": 1}).json()
    assert (second["total"], second["payments"]) == (2, waiting["payments"][1:])
    url = f"/turnup/v1/payments/{second['payments'][0]['id']}/assign"
    assigned = client.post(url, json={"account": "A-ada"})
    assert (assigned.status_code, assigned.json()["balanceMinor"]) == (200, owed - 500)
    assert client.post(url, json={"account": "A-ada"}).json() == assigned.json()  # again: nothing more
    assert client.post(url, json={"account": "A-bob"}).status_code == 409
    assert client.get("/turnup/v1/payments/unmatched").json()["total"] == 1
    nobody = client.post(f"/turnup/v1/payments/{new_id()}/assign", json={"account": "A-ada"})
    assert (nobody.status_code, nobody.json()["field"]) == (404, "payment")


def payment_of(
    account: Any = ADA.account, value: Any = 49.9, unit: str = "EUR", **more: Any
) -> dict[str, Any]:
    return {
        "account": {"id": str(account)},
        "totalAmount": {"value": value, "unit": unit},
        "paymentMethod": {"@type": "BankTransfer"},
        **more,
    }


def test_a_payment_is_booked_once_and_says_what_it_settled(
    client: TestClient,
    runtime: Runtime,
    component: Component,
) -> None:
    bill(client, runtime, component)
    made = client.post(PAYMENTS, json=payment_of(value=10, correlatorId="bank-1"))
    assert made.status_code == 201, made.text
    again = client.post(PAYMENTS, json=payment_of(value=10, correlatorId="bank-1"))
    assert again.json() == made.json()
    payment = made.json()
    assert complaints("TMF676-4", "Payment", payment) == []
    assert payment["totalAmount"] == {"unit": "EUR", "value": 10.0}
    (item,) = payment["paymentItem"]
    settled = client.get(item["item"]["href"]).json()
    assert settled["billingAccount"]["id"] == str(ADA.account)
    assert settled["amountDue"]["value"] - settled["remainingAmount"]["value"] == pytest.approx(10)
    assert client.get(payment["href"]).json() == payment
    assert [each["id"] for each in client.get(PAYMENTS).json()] == [payment["id"]]
    other = client.post(PAYMENTS, json=payment_of(value=11, correlatorId="bank-1"))
    assert (other.status_code, other.json()["field"]) == (409, "correlatorId")


def test_the_key_tells_payments_apart_where_they_have_no_reference(client: TestClient) -> None:
    keys = ["k1", "k1", "k2"]
    made = [
        client.post(PAYMENTS, json=payment_of(), headers={"Idempotency-Key": key}).json()["id"]
        for key in keys
    ]
    assert (made[0] == made[1], made[0] == made[2]) == (True, False)


def test_lists_are_narrowed_and_paged_and_know_only_what_is_booked(client: TestClient) -> None:
    csv = "date,reference,amount\n2026-06-20,A-bob,5.00\n2026-06-21,nobody,7.00\n"
    headers = {"Content-Type": "text/csv"}
    taken = client.post("/turnup/v1/payment-files?name=a", content=csv, headers=headers).json()
    assert (taken["matched"], taken["unmatched"]) == (1, 1)
    client.post(PAYMENTS, json=payment_of(correlatorId="x", value="12.30"))

    def found(**parameters: str) -> list[Any]:
        return [each["totalAmount"]["value"] for each in client.get(PAYMENTS, params=parameters).json()]

    assert found() == [12.3, 5.0]
    assert found(sort="paymentDate") == [5.0, 12.3]
    assert found(**{"account.id": str(BOB.account)}) == [5.0]
    assert found(**{"paymentDate.lte": date(2026, 6, 20).isoformat()}) == [5.0]
    assert found(**{"totalAmount.value": "12.30"}) == [12.3]
    first = client.get(PAYMENTS, params={"limit": 1})
    assert client.get(first.links["next"]["url"]).json()[0]["totalAmount"]["value"] == 5.0


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (payment_of(), "correlatorId"),
        ({**payment_of(correlatorId="a"), "paymentMethod": None}, "paymentMethod"),
        (payment_of(account="ada", correlatorId="a"), "account.id"),
        (payment_of(account=new_id(), correlatorId="a"), "account.id"),
        (payment_of(value=-1, correlatorId="a"), "totalAmount.value"),
        (payment_of(value=1.234, correlatorId="a"), "totalAmount.value"),
        (payment_of(value=True, correlatorId="a"), "totalAmount.value"),
        (payment_of(unit="USD", correlatorId="a"), "totalAmount.unit"),
        ({**payment_of(correlatorId="a"), "totalAmount": {"value": 1}}, "totalAmount.unit"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_booked(
    client: TestClient,
    sent: dict[str, Any],
    field: str,
) -> None:
    answer = client.post(PAYMENTS, json=sent)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["field"] == field
    assert client.get(PAYMENTS).json() == []
