"""What a person decides at the desk: about everything frozen, what the brake holds, and a finding."""

import re
from html import unescape

from turnup.contracts.provisioning import Admission, Cause, CauseKind, HoldState

_LIMIT = 25
"""The brake's: so many changes of services go through by themselves in an hour."""


def text_of(page):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def test_everything_frozen_is_lifted_after_its_effects_were_shown(desk_of, isp):
    desk = desk_of("noc")
    frozen = desk.post("/console/noc/freeze", data={"target": "all", "reason": "a storm is coming"})
    assert frozen.headers["location"].startswith("/console/noc?done=")
    freeze = isp.house.configuration.everything_frozen()
    assert freeze is not None and freeze.reason == "a storm is coming"
    lift = f"/console/noc/freezes/{freeze.id}/lift"
    assert "Dunning goes on" in text_of(desk.get(lift))
    without = desk.post(lift, data={"reason": ""})
    assert without.status_code == 400 and isp.house.configuration.everything_frozen() is not None
    assert desk.post(lift, data={"reason": "it is over"}).headers["location"] == "/console/noc?done=lifted"
    assert isp.house.configuration.everything_frozen() is None


def held(isp, mark):
    """Two requests that the brake holds: one change too many for this hour, twice."""
    house = isp.house
    for n in range(_LIMIT + 2):
        cause = Cause(CauseKind.BULK, f"{mark}:{n}", "a rule went wild")
        with house.runtime.unit("provisioning", "tick:rule") as unit:
            house.provisioning.admit(unit, {isp.service.id: Admission.WALLED}, cause)
    return [each for each in house.provisioning.holds() if each.cause.key.startswith(mark)][-2:]


def test_what_the_brake_holds_is_released_or_refused(desk_of, isp, numbers):
    first, second = held(isp, "desk")
    desk = desk_of("noc")
    page = desk.get(f"/console/noc/holds/{first.id}/release")
    assert "a rule went wild" in text_of(page) and numbers.service in page.text
    released = desk.post(f"/console/noc/holds/{first.id}/release", data={"reason": "it is meant"})
    assert released.headers["location"] == "/console/noc?done=released"
    refusal = f"/console/noc/holds/{second.id}/refuse"
    assert "never happens" in text_of(desk.get(refusal))
    assert desk.post(refusal, data={"reason": ""}).status_code == 400, "who refuses says why"
    assert desk.post(refusal, data={"reason": "no"}).headers["location"] == "/console/noc?done=refused"
    decided = {each.id: each for each in isp.house.provisioning.holds(open_only=False)}
    assert [decided[each.id].state for each in (first, second)] == [HoldState.RELEASED, HoldState.REFUSED]
    assert {decided[each.id].decided_by for each in (first, second)} == {"staff:noc"}
    assert isp.house.provisioning.service(isp.service.id).state is isp.service.state, "nobody was cut off"


def test_who_may_not_write_decides_nothing(desk_of, isp):
    support = desk_of("sue")
    for path in ("/console/noc/freeze", "/console/noc/holds/01920000-0000-7000-8000-000000000001/release"):
        assert support.get(path).status_code == 403
        assert support.post(path, data={"reason": "mine"}).status_code == 403


def test_a_finding_is_dismissed_with_a_reason_and_stays_silent(desk_of, isp):
    isp.mislay(isp.offline)
    [finding, *_] = isp.house.reconciler.findings.findings()
    desk = desk_of("root")
    dismiss = f"/console/reconciliation/{finding.id}/dismiss"
    assert "leaves this list" in text_of(desk.get(dismiss))
    assert desk.post(dismiss, data={"reason": ""}).status_code == 400
    done = desk.post(dismiss, data={"reason": "known and meant"})
    assert done.headers["location"].endswith("done=dismissed")
    isp.house.reconciler.run(repair=False)
    assert finding.id not in {each.id for each in isp.house.reconciler.findings.findings()}
