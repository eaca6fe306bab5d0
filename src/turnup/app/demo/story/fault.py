"""An access device fails: who is hit, who is told, how long it lasted."""

from datetime import timedelta

from turnup.app.demo.stage import expect, wait_until
from turnup.app.demo.story.scene import Scene


def fail_and_recover(scene: Scene) -> None:
    stage, lab, house = scene.stage, scene.stand.lab, scene.house
    held = house.inventory.reservation(scene.she.service_id)
    assert held is not None
    olt = held.resources["access_port"].partition("/")[0]
    scene.stand.pass_time(timedelta(days=2))
    stage.say("(two days later)")
    behind = {
        service.id
        for service in house.provisioning.services()
        if (h := house.inventory.reservation(service.id)) and h.resources["access_port"].startswith(f"{olt}/")
    }
    with stage.step("outage_found", f"{olt} fails; monitoring finds the cause and who is hit"):
        lab.power_off(device=olt)
        wait_until(lambda: house.monitoring.problems(), "a service problem is open", timeout_s=30)
    problem = house.monitoring.problems()[0]
    expect(len(house.monitoring.problems()) == 1, "one cause, one problem")
    expect(set(problem.service_ids) == behind, "the services behind it and no others")
    stage.say(
        f"{problem.cause}: {len(problem.service_ids)} services hit, "
        f"the other {scene.count() - len(behind)} are not"
    )
    with stage.step("outage_told", "She is told"):
        wait_until(lambda: scene.mail("is disturbed"), "the message is sent", timeout_s=20)
    scene.stand.pass_time(timedelta(hours=5))
    with stage.step("outage_cleared", "Five hours later (moved) it is back, and so is she"):
        lab.power_on(device=olt)
        wait_until(lambda: not house.monitoring.problems(), "the problem is closed", timeout_s=30)
        lab.wait_for(lambda client: client.cpe(name="maria")["state"] == "online", timeout_s=20)
        wait_until(lambda: scene.service().facts.online, "she is seen online again")
        scene.stand.settle()
    closed = next(p for p in house.monitoring.problems(open_only=False) if p.id == problem.id)
    assert closed.cleared_at is not None
    minutes = (closed.cleared_at - closed.opened_at).total_seconds() / 60
    expect(299 <= minutes <= 303, f"the outage lasted {minutes:.1f} minutes")
    stage.say(f"outage of {minutes:.0f} minutes recorded; the credit comes with the bill, by policy")
