"""She does not pay, and then she pays."""

from datetime import date, timedelta

from turnup.app.demo.stage import expect, wait_until
from turnup.app.demo.story.scene import ZONE, Scene
from turnup.contracts.provisioning import ServiceState
from turnup.kernel.clock import business_date
from turnup.kernel.money import Money


def remind_suspend_restore(scene: Scene) -> None:
    stage, house, lab = scene.stage, scene.house, scene.stand.lab
    stage.chapter("6. She doesn't pay; then she pays")
    invoice = house.billing.invoices(scene.she.account_id)[-1]
    with stage.step("payment_file", "A bank file arrives: everybody else has paid"):
        _everybody_else_pays(scene, invoice.due_date)
    scene.pass_to(invoice.due_date + timedelta(days=8))
    with stage.step("reminder", "A week overdue: she is reminded"):
        _dunning_tick(scene)
        wait_until(lambda: scene.mail("overdue") or scene.mail("remind"), "the reminder is sent")
    scene.pass_to(invoice.due_date + timedelta(days=16))
    with stage.step("suspended", "Two weeks overdue: walled garden on the network"):
        _dunning_tick(scene)
        wait_until(lambda: scene.service().state is ServiceState.SUSPENDED, "suspended", timeout_s=30)
        lab.wait_for(lambda client: not client.reach(name="maria", to="internet"))
    expect(lab.reach(name="maria", to="portal"), "the payment page stays reachable")
    stage.say("internet: blocked; payment page: reachable")
    owed = house.billing.balance_minor(scene.she.account_id)
    with stage.step("restored", f"She pays {Money(owed, 'EUR')}: back in seconds"):
        with house.runtime.unit("billing", "demo") as unit:
            today = business_date(unit.now, ZONE)
            house.billing.pay(unit, scene.she.account_id, owed, "EUR", f"demo-{scene.invoice}", today)
        wait_until(lambda: scene.service().state is ServiceState.ACCEPTED, "restored", timeout_s=30)
        lab.wait_for(lambda client: client.reach(name="maria", to="internet"))
    expect(house.billing.balance_minor(scene.she.account_id) == 0, "nothing is owed")


def _everybody_else_pays(scene: Scene, on: date) -> None:
    """A CSV file as a bank delivers it: date, reference (the invoice number), amount."""
    rows = ["date,reference,amount"]
    for account in scene.house.crm.all_accounts():
        owed = scene.house.billing.balance_minor(account.id)
        if account.id != scene.she.account_id and owed > 0:
            number = scene.house.billing.invoices(account.id)[-1].number
            rows.append(f"{on.isoformat()},{number},{owed // 100}.{owed % 100:02d}")
    with scene.house.runtime.unit("billing", "demo") as unit:
        content = "\n".join(rows).encode()
        report = scene.house.billing.import_payments(unit, "bank.csv", content, "EUR")
    expect(report.matched == len(rows) - 1, f"every payment finds its invoice: {report}")


def _dunning_tick(scene: Scene) -> None:
    with scene.house.runtime.unit("billing", "demo") as unit:
        scene.house.billing.dunning_tick(unit, business_date(unit.now, ZONE))
    scene.stand.settle()
