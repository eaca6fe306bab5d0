"""Sold, provisioned, live and billed are compared; what was broken behind Turnup's back is repaired."""

from turnup.app.demo.outside import lose_billing
from turnup.app.demo.stage import expect
from turnup.app.demo.story.scene import Scene
from turnup.kernel.money import Money


def reconcile(scene: Scene) -> None:
    stage, house = scene.stage, scene.house
    stage.chapter("7. Sold = provisioned = live = billed?")
    scene.stand.settle()
    with stage.step("reconcile_clean", "Reconciliation of every service"):
        clean = house.reconciler.run(repair=False)
    expect(clean.found == 0, f"nothing to find yet, but: {clean.findings[:3]}")
    stage.say(f"{clean.checked} services checked, nothing found")
    on_device, in_books = scene.customers[3], scene.customers[8]
    stage.say(
        f"behind Turnup's back: {on_device.login} is slowed down on {on_device.olt}; "
        f"{in_books.login} vanishes from the books"
    )
    scene.stand.lab.tamper(
        device=on_device.olt, lines=[f"set service {on_device.element_key} down-kbps 1000"], save=True
    )
    lose_billing(scene.stand.engine.url, in_books.element_key)
    with stage.step("reconcile_repair", "Found, priced, repaired"):
        report = house.reconciler.run(repair=True)
    stage.table(
        ["finding", "service", "per month", "repair", "repaired"],
        [
            (
                f.kind,
                f.service_number,
                Money(f.monthly_minor, f.currency),
                f.repair,
                "yes" if f.repaired_at else "no",
            )
            for f in report.findings
        ],
    )
    found = {finding.service_id for finding in report.findings}
    expect(
        found == {on_device.element_key, in_books.element_key},
        f"exactly the two broken ones, not {report.findings}",
    )
    expect(report.repaired == 2, f"{report.repaired} of 2 repaired")
    scene.stand.settle()
    with stage.step("reconcile_again", "Once more"):
        after = house.reconciler.run(repair=False)
    expect(after.found == 0, f"nothing is left, but: {after.findings[:3]}")
    stage.figures["reconciliation"] = {
        "checked": report.checked,
        "found": report.found,
        "repaired": report.repaired,
    }
