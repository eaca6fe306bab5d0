"""The month closes: run, invoice, explanation, PDF."""

from datetime import timedelta
from typing import Any

from rich.progress import Progress

from turnup.app.demo.stage import expect, wait_until
from turnup.app.demo.story.scene import ZONE, Scene, first_of_next_month
from turnup.contracts.billing import InvoiceView
from turnup.kernel.clock import business_date, start_of_day
from turnup.kernel.ids import RunId
from turnup.kernel.money import Money


def close_the_month(scene: Scene) -> None:
    stage, house, lab = scene.stage, scene.house, scene.stand.lab
    stage.chapter("5. The month closes")
    now = house.runtime.clock.now()
    first = first_of_next_month(business_date(now, ZONE))
    scene.stand.pass_time(start_of_day(first, ZONE) - now - timedelta(minutes=30))
    lab.interim(username=scene.she.login)
    scene.stand.settle()
    scene.stand.pass_time(timedelta(hours=2))
    scene.stand.settle()
    today = business_date(house.runtime.clock.now(), ZONE)
    stage.say(f"(the clock moved to {today:%d %B %Y})")
    with (
        stage.step("bill_run", "Bill run: draft, number, post"),
        Progress(console=stage.console, transient=True) as progress,
    ):
        bar = progress.add_task("shards", total=None)
        with house.runtime.unit("billing", "demo") as unit:
            run_id = house.billing.start_run(unit, today)
        result = wait_until(lambda: _run_done(scene, run_id, progress, bar), "the run is done", timeout_s=60)
    expect(result.parked == 0, f"{result.parked} accounts parked: {house.billing.parked(run_id)[:2]}")
    expect(result.invoices == scene.count(), f"{result.invoices} invoices for {scene.count()} customers")
    stage.say(f"{result.invoices} invoices, {Money(result.total_minor, 'EUR')} in all, none parked")
    invoice = house.billing.invoices(scene.she.account_id)[-1]
    _check_invoice(scene, invoice)
    scene.invoice = invoice.number or ""
    stage.figures["invoice"] = {
        "number": invoice.number,
        "total_minor": invoice.total_minor,
        "currency": invoice.currency,
        "lines": [
            {"text": line.text, "kind": line.kind, "net_minor": line.net_minor} for line in invoice.lines
        ],
    }
    stage.table(
        ["line", "net"], [(line.text, Money(line.net_minor, invoice.currency)) for line in invoice.lines]
    )
    stage.say(f"[bold]turnup explain {invoice.number}[/]")
    stage.console.print(house.billing.explain(scene.invoice), style="dim")
    with stage.step("pdf", "The invoice as PDF"):
        pdf = house.billing.pdf(scene.invoice, "Example Net")
        expect(pdf.startswith(b"%PDF"), "a PDF")
        path = scene.stand.data_dir.parent / f"{invoice.number}.pdf"
        path.write_bytes(pdf)
        stage.say(f"written to {path}")


def _run_done(scene: Scene, run_id: RunId, progress: Progress, bar: Any) -> Any:
    run = scene.house.billing.run(run_id)
    if run is None:
        return None
    progress.update(bar, description=run.state, completed=run.shards_done, total=run.shards_total or None)
    expect(run.state != "failed", "the bill run failed")
    return run if run.state == "done" else None


def _check_invoice(scene: Scene, invoice: InvoiceView) -> None:
    texts = " | ".join(line.text for line in invoice.lines)
    for wanted in ("Fibre 300/50", "Fibre 1000/200", "Static IPv4", "Traffic"):
        expect(wanted in texts, f"a line for {wanted}; there are: {texts}")
    expect(
        any(line.kind == "credit" and line.net_minor < 0 for line in invoice.lines),
        f"an outage credit: {texts}",
    )
    expect(invoice.tax_minor > 0, "tax is charged")
    expect(invoice.total_minor == invoice.net_minor + invoice.tax_minor, "the sum is right")
