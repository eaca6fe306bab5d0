"""Billing's own stories against a real database: events in, invoices, ledger and events out."""

from datetime import date

import pytest
from billing_house import Customer, House, charge, instant

from turnup.bss.billing.model import RunState
from turnup.contracts.monitoring import ServiceOutageEnded, UsageMeasured
from turnup.contracts.provisioning import ServiceCeased, ServiceResumed, ServiceSuspended
from turnup.kernel.ids import ProblemId, derived_id

ADA = Customer("ada")
JULY = date(2026, 7, 1)
AUGUST = date(2026, 8, 1)


def amounts(house: House, who: Customer) -> list[list[tuple[str, int]]]:
    """(kind, net) of the lines of each invoice of an account."""
    return [[(line.kind, line.net_minor) for line in i.lines] for i in house.billing.invoices(who.account)]


def test_the_month_of_the_story(house: House) -> None:
    """Old plan and new plan prorated, static address, usage, outage credit, tax; explained and printed."""
    house.tell(
        ADA.opened(date(2026, 6, 1)),
        ADA.agreed(
            charge("activation", "49.00", "one_time"),
            charge("fibre_300", "30.00"),
            charge("static_ipv4", "5.00"),
            charge("traffic", "0.05", "usage", included_micro=100 * 10**6),
        ),
        ADA.accepted("2026-06-01T09:00"),
        UsageMeasured(
            service_id=ADA.service,
            key="session-1:1",
            started_at=instant("2026-06-05T10:00"),
            ended_at=instant("2026-06-05T11:00"),
            upload_octets=20 * 10**9,
            download_octets=130 * 10**9,
        ),
        ADA.agreed(
            charge("fibre_1000", "60.00"), charge("static_ipv4", "5.00"), revision=2, at="2026-06-11T12:00"
        ),
        ServiceOutageEnded(
            service_id=ADA.service,
            problem_id=ProblemId(derived_id("problem", 1)),
            started_at=instant("2026-06-20T10:00"),
            at=instant("2026-06-20T13:30"),
        ),
    )
    preview = house.billing.preview(ADA.account, date(2026, 6, 21))
    house.at("2026-07-01T02:00").bill(JULY)
    (invoice,) = house.billing.invoices(ADA.account)
    # 10 of 30 days old, 20 of 30 new; 150 GB less 100 GB x 10/30; four started hours at 5 % of 60 and of 5.
    lines = {
        (line.text.split(",")[0], line.period_from): (line.net_minor, line.tax_minor)
        for line in invoice.lines
    }
    june, change, fault = date(2026, 6, 1), date(2026, 6, 11), date(2026, 6, 20)
    assert lines == {
        ("Activation", june): (4900, 931),
        ("Fibre 300", june): (1000, 190),
        ("Static ipv4", june): (167, 32),
        ("Traffic", june): (583, 111),
        ("Fibre 1000", change): (4000, 760),
        ("Static ipv4", change): (333, 63),
        ("Credit for an outage on 2026-06-20: Fibre 1000", fault): (-1200, -228),
        ("Credit for an outage on 2026-06-20: Static ipv4", fault): (-100, -19),
    }
    assert (invoice.net_minor, invoice.tax_minor) == tuple(map(sum, zip(*lines.values(), strict=True)))
    assert invoice.number == "INV-00000001"
    assert preview is not None
    assert (preview.net_minor, preview.tax_minor, preview.state) == (
        invoice.net_minor,
        invoice.tax_minor,
        "draft",
    )
    assert [line.explanation for line in preview.lines] == [line.explanation for line in invoice.lines]
    text = house.billing.explain("INV-00000001")
    assert "30.00 EUR per month x 10 of 30 days (served 2026-06-01 to 2026-06-10" in text
    assert "outage of 210 minutes: 20 % of 60.00 EUR per month = -12.00 EUR" in text
    assert house.billing.pdf("INV-00000001", "Example Net").startswith(b"%PDF")
    credited = house.events("OutageCredited")
    assert [(e["minutes"], e["amount_minor"], e["currency"]) for e in credited] == [(210, 1300, "EUR")]
    assert house.billing.balance_minor(ADA.account) == invoice.total_minor


def test_an_advance_charge_is_corrected_when_the_plan_changes(house: House) -> None:
    house.tell(
        ADA.opened(date(2026, 6, 1)),
        ADA.agreed(charge("old", "30.00", in_advance=True)),
        ADA.accepted("2026-06-16T00:00"),
    )
    house.at("2026-07-01T02:00").bill(JULY)
    assert amounts(house, ADA) == [[("recurring", 1500), ("recurring", 3000)]]
    house.at("2026-07-11T08:00").tell(
        ADA.agreed(charge("new", "62.00", in_advance=True), revision=2, at="2026-07-11T08:00")
    )
    house.at("2026-08-01T02:00").bill(AUGUST)
    old, new, ahead = amounts(house, ADA)[1]
    assert (old, new, ahead) == (("recurring", 968 - 3000), ("recurring", 4200), ("recurring", 6200))
    assert "billed before" in house.billing.invoices(ADA.account)[1].lines[0].explanation


def test_suspension_resume_and_cease_bound_what_is_billed(house: House) -> None:
    house.catalog.documents["billing"] = {"standard": {"charge_while_suspended": False}}
    house.tell(
        ADA.opened(date(2026, 6, 1)),
        ADA.happened(ServiceSuspended, "2026-06-11T10:00", reason="dunning"),  # before anyone knows a price
        ADA.agreed(charge("plan", "30.00")),
        ADA.accepted("2026-06-01T09:00"),
        ADA.happened(ServiceCeased, "2026-06-21T10:00"),
        ADA.happened(ServiceResumed, "2026-06-16T10:00"),  # late and out of order
    )
    house.at("2026-07-01T02:00").bill(JULY)
    assert amounts(house, ADA) == [[("recurring", 1500)]]
    (billed,) = house.billing.billed_services()
    assert (billed.billing_active, billed.monthly_minor) == (False, 3000)


def test_repeating_any_step_of_a_run_changes_nothing(house: House) -> None:
    house.billing.runs._shard_accounts = 2
    customers = [Customer(f"c{n}") for n in range(5)]
    for each in customers:
        house.tell(
            each.opened(date(2026, 6, 1)), each.agreed(charge("plan", "29.90")), each.accepted("2026-06-01")
        )
    house.at("2026-07-01T02:00")
    with house.unit() as unit:
        run_id = house.billing.start_run(unit, JULY)
        assert house.billing.start_run(unit, JULY) == run_id
    for step, shards in (("draft", 3), ("number", 1), ("post", 3)):
        for n in range(shards):
            for _ in range(2):
                with house.unit() as unit:
                    getattr(house.billing.runs, step)(unit, run_id, *([] if step == "number" else [n]))
    assert house.bill(JULY) == run_id
    progress = house.billing.run(run_id)
    assert progress is not None
    assert (progress.state, progress.invoices, progress.shards_done) == (RunState.DONE, 5, 3)
    assert house.rows("SELECT number FROM billing.invoice_number ORDER BY 1") == [(n,) for n in range(1, 6)]
    assert [len(house.billing.invoices(each.account)) for each in customers] == [1] * 5
    assert house.rows("SELECT sum(amount_minor), count(*) FROM billing.ledger_entry") == [(0, 15)]
    assert sorted(e["invoices"] for e in house.events("InvoicesPosted")) == [1, 2, 2]


def test_a_parked_account_gets_no_number_and_is_taken_up_again(house: House) -> None:
    bob, eve = Customer("bob"), Customer("eve")
    for each, category in ((ADA, "standard"), (bob, "unheard_of"), (eve, "standard")):
        house.tell(
            each.opened(date(2026, 6, 1)),
            each.agreed(charge("plan", "29.90", tax_category=category)),
            each.accepted("2026-06-01"),
        )
    run_id = house.at("2026-07-01T02:00").bill(JULY)
    assert house.billing.parked(run_id) == [
        (bob.account, "no tax rate for class standard, category unheard_of on 2026-06-30")
    ]
    assert house.billing.invoices(bob.account) == []
    rates = house.catalog.documents["tax"]["standard"]["rates"]
    house.catalog.documents["tax"]["standard"] = {
        "rates": [*rates, {"class": "standard", "category": "unheard_of", "percent": "7"}]
    }
    again = house.bill(JULY)
    assert again != run_id
    assert [i.number for i in house.billing.invoices(bob.account)] == ["INV-00000003"]
    assert [len(house.billing.invoices(each.account)) for each in (ADA, eve)] == [1, 1]


def test_a_fact_that_comes_between_draft_and_posting_is_billed_next_time(house: House) -> None:
    house.tell(
        ADA.opened(date(2026, 6, 1)), ADA.agreed(charge("plan", "30.00")), ADA.accepted("2026-06-01T09:00")
    )
    house.at("2026-07-01T02:00")
    with house.unit() as unit:
        house.billing.start_run(unit, JULY)
    house.work(only="billing.draft_shard")
    house.tell(ADA.happened(ServiceCeased, "2026-06-21T10:00"))
    house.work()
    assert amounts(house, ADA) == [[("recurring", 3000)]]
    house.at("2026-08-01T02:00").bill(AUGUST)
    assert amounts(house, ADA)[1] == [("recurring", -1000)]
    assert house.billing.balance_minor(ADA.account) == round((3000 - 1000) * 1.19)


def test_late_usage_is_charged_as_a_difference(house: House) -> None:
    def used(key: str, gigabytes: int) -> UsageMeasured:
        return UsageMeasured(
            service_id=ADA.service,
            key=key,
            started_at=instant("2026-06-30T20:00"),
            ended_at=instant("2026-06-30T21:00"),
            upload_octets=0,
            download_octets=gigabytes * 10**9,
        )

    house.tell(
        ADA.opened(date(2026, 6, 1)),
        ADA.agreed(charge("traffic", "0.10", "usage")),
        ADA.accepted("2026-06-01"),
    )
    house.tell(used("a", 10))
    house.at("2026-07-01T02:00").bill(JULY)
    house.tell(used("b", 5))
    house.at("2026-08-01T02:00").bill(AUGUST)
    assert amounts(house, ADA) == [[("usage", 100)], [("usage", 50)]]


def test_a_session_across_the_bill_boundary_is_billed_on_both_sides(house: House) -> None:
    house.tell(
        ADA.opened(date(2026, 6, 1)),
        ADA.agreed(charge("traffic", "0.10", "usage")),
        ADA.accepted("2026-06-01"),
    )
    night = UsageMeasured(
        service_id=ADA.service,
        key="bng1:s1:1:2",
        started_at=instant("2026-06-30T21:30"),  # midnight in Berlin is at 22:00
        ended_at=instant("2026-06-30T23:00"),
        upload_octets=0,
        download_octets=30 * 10**9,
    )
    house.at("2026-07-01T02:00").tell(night)
    house.tell(night)
    house.bill(JULY)
    house.at("2026-08-01T02:00").bill(AUGUST)
    assert amounts(house, ADA) == [[("usage", 100)], [("usage", 200)]]


def test_a_customer_taken_over_is_billed_from_where_the_old_system_stopped(house: House) -> None:
    house.at("2026-06-20T10:00").tell(
        ADA.opened(date(2024, 3, 9), billed_through=date(2026, 6, 15), opening_balance_minor=2500),
        ADA.agreed(
            charge("activation", "49.00", "one_time"),
            charge("plan", "30.00"),
            at="2024-03-09T10:00",
            adopted=True,
        ),
    )
    assert house.billing.balance_minor(ADA.account) == 2500
    house.at("2026-07-01T02:00").bill(JULY)
    assert amounts(house, ADA) == [[], [("recurring", 1600)]]


def test_reconciliation_mends_what_is_billed(house: House) -> None:
    house.tell(ADA.opened(date(2026, 6, 1)), ADA.agreed(charge("plan", "30.00")))
    assert [s.billing_active for s in house.billing.billed_services()] == [False]
    with house.unit() as unit:
        house.billing.repair_billable(
            unit, ADA.service, active=True, since=instant("2026-06-16T00:00"), reason="live, not billed"
        )
    house.at("2026-06-17T00:00")
    assert [s.billing_active for s in house.billing.billed_services()] == [True]
    house.at("2026-07-01T02:00").bill(JULY)
    assert amounts(house, ADA) == [[("recurring", 1500)]]


@pytest.mark.parametrize("day", ["2026-06-15", "2026-06-30"])
def test_nobody_is_billed_before_the_day(house: House, day: str) -> None:
    house.tell(ADA.opened(date(2026, 6, 1)), ADA.agreed(charge("plan", "30.00")), ADA.accepted("2026-06-01"))
    run_id = house.bill(date.fromisoformat(day))
    progress = house.billing.run(run_id)
    assert progress is not None
    assert (progress.state, progress.accounts, progress.invoices) == ("done", 0, 0)
    assert house.billing.invoices(ADA.account) == []
