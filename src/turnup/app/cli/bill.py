"""`turnup bill`, `explain`, `pay`, `dunning`, `reconcile`: money, and whether it agrees with the network."""

import time
from datetime import date, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import Progress

from turnup.app.cli.output import AsJson, console, money, print_json, print_table, tell
from turnup.app.cli.session import actor, house
from turnup.app.house import House
from turnup.contracts.billing import RunProgress
from turnup.contracts.crm import AccountView
from turnup.kernel.clock import business_date
from turnup.kernel.errors import NotFound
from turnup.kernel.ids import FindingId, PaymentId, RunId
from turnup.kernel.money import Money

app = typer.Typer(help="Bill runs, invoices, payments, dunning.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="bill")
    parent.command()(explain)
    parent.command()(reconcile)


@app.command("run")
def run(
    bill_date: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Default: today.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bill every account whose bill date has come. A repeated run does nothing more."""
    with house() as assembled:
        day = bill_date.date() if bill_date else _today(assembled)
        with assembled.runtime.unit("billing", actor()) as unit:
            run_id = assembled.billing.start_run(unit, day)
        result = follow(assembled, run_id, quiet=as_json)
    if as_json:
        print_json(result)
    else:
        console.print(f"run of {day}: {result.invoices} invoices, {result.parked} accounts parked")


def follow(assembled: House, run_id: RunId, *, quiet: bool, timeout_s: float = 3600.0) -> RunProgress:
    """Wait for a run, with a progress bar."""
    until = time.monotonic() + timeout_s
    with Progress(console=console, transient=True, disable=quiet) as progress:
        bar = progress.add_task("bill run", total=None)
        while True:
            now = assembled.billing.run(run_id)
            if now is not None:
                progress.update(
                    bar, description=now.state, completed=now.shards_done, total=now.shards_total or None
                )
                if now.state in ("done", "failed") or time.monotonic() > until:
                    return now
            time.sleep(0.1)


@app.command("preview")
def preview(account: str, as_json: AsJson = False) -> None:
    """What the account's next bill would say today, by the same calculation as the run."""
    with house() as assembled:
        found = _account(assembled, account)
        view = assembled.billing.preview(found.id, _today(assembled))
    if view is None:
        console.print("nothing to bill")
    elif as_json:
        print_json(view)
    else:
        rows = [(line.text, money(line.net_minor, view.currency)) for line in view.lines]
        print_table(f"Preview, {money(view.total_minor, view.currency)} with tax", ["line", "net"], rows)


@app.command("list")
def list_invoices(account: str, as_json: AsJson = False) -> None:
    """An account's invoices and what is still open."""
    with house() as assembled:
        views = assembled.billing.invoices(_account(assembled, account).id)
    if as_json:
        print_json(views)
        return
    rows = [
        (
            v.number,
            v.invoice_date,
            v.due_date,
            money(v.total_minor, v.currency),
            money(v.open_minor, v.currency),
        )
        for v in views
    ]
    print_table("Invoices", ["number", "date", "due", "total", "open"], rows)


@app.command("pdf")
def pdf(
    number: str,
    file: Path,
    seller: Annotated[str, typer.Option(help="Name of the ISP.")] = "Turnup",
    as_json: AsJson = False,
) -> None:
    """Write an invoice as PDF."""
    with house() as assembled:
        file.write_bytes(assembled.billing.pdf(number, seller))
    tell(f"{number} written to {file}", {"invoice": number, "file": str(file)}, as_json=as_json)


@app.command("pay")
def pay(
    account: str,
    amount: Annotated[str, typer.Argument(help="In major units, e.g. 29.90.")],
    reference: Annotated[str, typer.Option(help="Names the payment: the same reference counts once.")],
    as_json: AsJson = False,
) -> None:
    """Record a payment by hand; the oldest invoices are paid first."""
    with house() as assembled:
        found = _account(assembled, account)
        minor = _minor(amount, found.currency)
        with assembled.runtime.unit("billing", actor()) as unit:
            payment_id = assembled.billing.pay(
                unit, found.id, minor, found.currency, reference, _today(assembled)
            )
        balance = assembled.billing.balance_minor(found.id)
    if as_json:
        print_json({"payment": payment_id, "balance_minor": balance})
    else:
        console.print(f"paid {money(minor, found.currency)}, balance {money(balance, found.currency)}")


@app.command("pay-file")
def pay_file(
    file: Path,
    currency: Annotated[str, typer.Option(help="Currency (ISO 4217) of the file.")] = "EUR",
    as_json: AsJson = False,
) -> None:
    """Take over a payment file (CSV: date, reference, amount); unmatched lines are kept with their reason."""
    with house() as assembled, assembled.runtime.unit("billing", actor()) as unit:
        report = assembled.billing.import_payments(unit, file.name, file.read_bytes(), currency)
    if as_json:
        print_json(report)
    else:
        console.print(report)


@app.command("payment-methods")
def payment_methods(
    account: Annotated[str, typer.Argument(help="Number of the account.")], as_json: AsJson = False
) -> None:
    """How an account pays: mandates and tokens, with the last four characters only."""
    with house() as assembled:
        found = assembled.crm.payment_methods(_account(assembled, account).id)
    if as_json:
        print_json(found)
        return
    rows = [(p.kind, p.reference, p.provider, p.signed_on, f"…{p.hint}") for p in found]
    print_table("Payment methods", ["kind", "reference", "provider", "signed", "ends in"], rows)


@app.command("unmatched")
def unmatched(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show, the oldest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Payments that belong to nobody yet, and why."""
    with house() as assembled:
        found, total = assembled.billing.unmatched_payments(limit=limit)
    if as_json:
        print_json({"total": total, "payments": found})
        return
    rows = [(p.received_on, money(p.amount_minor, p.currency), p.reference, p.reason, p.id) for p in found]
    title = "Unmatched payments" if total == len(found) else f"Unmatched payments, {len(found)} of {total}"
    print_table(title, ["received", "amount", "reference", "why", "payment"], rows)


@app.command("assign")
def assign(
    payment: Annotated[UUID, typer.Argument(help="Id of the payment, from `turnup bill unmatched`.")],
    account: Annotated[str, typer.Argument(help="Number of the account it belongs to.")],
    as_json: AsJson = False,
) -> None:
    """Give an unmatched payment to an account: it is booked and pays the oldest invoices first."""
    with house() as assembled:
        found = _account(assembled, account)
        with assembled.runtime.unit("billing", actor()) as unit:
            assembled.billing.assign_payment(unit, PaymentId(payment), found.id)
        balance = assembled.billing.balance_minor(found.id)
    if as_json:
        print_json({"payment": payment, "balance_minor": balance})
    else:
        console.print(f"booked to {account}, balance {money(balance, found.currency)}")


@app.command("dunning")
def dunning(as_json: AsJson = False) -> None:
    """Take the dunning steps that are due today."""
    with house() as assembled, assembled.runtime.unit("billing", actor()) as unit:
        steps = assembled.billing.dunning_tick(unit, _today(assembled))
    if as_json:
        print_json({"steps": steps})
    else:
        console.print(f"{steps} dunning steps taken")


def explain(
    invoice: Annotated[str, typer.Argument(help="Number of the invoice, e.g. INV-00000001.")],
    as_json: AsJson = False,
) -> None:
    """Explain every cent of an invoice: price, convention, days over days, source."""
    with house() as assembled:
        if as_json:
            view = assembled.billing.invoice_by_number(invoice)
            if view is None:
                raise NotFound(f"no invoice {invoice!r}", field="invoice", remedy="turnup bill list ACCOUNT")
            print_json(view)
        else:
            console.print(assembled.billing.explain(invoice))


def reconcile(
    repair: Annotated[bool, typer.Option("--repair", help="Repair what is safe to repair.")] = False,
    finding: Annotated[
        UUID | None, typer.Option(help="Repair this finding only (its id, see --json).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare sold, desired, live and billed for every service; price and name what differs."""
    with house() as assembled:
        if finding is not None:
            gone = assembled.reconciler.repair(FindingId(finding), actor())
            console.print("repaired" if gone else "still there: see the log, or wait for the element")
            return
        report = assembled.reconciler.run(repair=repair)
    if as_json:
        print_json(report)
        return
    console.print(
        f"{report.checked} services checked, {report.found} findings, {report.repaired} repaired, "
        f"{report.unknown} unknown (element silent), {report.in_flight} in flight"
    )
    rows = [
        (f.kind, f.service_number, money(f.monthly_minor, f.currency), f.owner, f.detail, f.repair)
        for f in report.findings
    ]
    if rows:
        print_table("Findings", ["kind", "service", "per month", "owner", "detail", "repair"], rows)


def _today(assembled: House) -> date:
    return business_date(assembled.runtime.clock.now(), assembled.settings.default_time_zone)


def _account(assembled: House, number: str) -> AccountView:
    found = assembled.crm.account_by_number(number)
    if found is None:
        raise NotFound(f"no billing account {number!r}", field="account", remedy="numbers look like A-100001")
    return found


def _minor(text: str, currency: str) -> int:
    return Money.parse(text, currency).minor
