"""Verbs of reconciliation, pure: which mismatch it is, whose it is, what mends it, and whether that is safe.

Safe is what only restores a decision that was taken already, by orders and provisioning alike:

* what is missing or differs on an element is applied again when the service is sold, and desired, open. That
  includes opening what the element walls by itself. A repair never suspends or ceases, not even again: what
  keeps a subscriber out is applied by a person.
* where orders and provisioning disagree about suspended or open, a person decides: whoever is right, the
  repair would cut off or give away.
* a fragment nobody sold is never removed by itself: it may be the only trace of a customer we lost.
* billing is started for what is sold, open, and due to be billed; it is stopped for what is neither sold
  nor desired.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta

from turnup.integration.reconciliation.model import (
    BilledAs,
    DesiredAs,
    Held,
    Repair,
    Situation,
    SoldAs,
    Verdict,
)

SETTLING = timedelta(minutes=1)
"""The books of different components follow each other by events: facts younger than this are in flight."""

_IN_FLIGHT = frozenset({"pendingActive", "pendingTerminate"})
_SOLD = {"active": SoldAs.ACTIVE, "suspended": SoldAs.SUSPENDED}
_WALLED_VALUES: Mapping[str, Mapping[str | None, bool]] = {
    "walled": {"yes": True, "no": False},
    "state": {"walled": True, "disabled": True, "active": False},
}
"""Which values of which attribute keep a subscriber out (fragments of provisioning)."""


def sold_as(status: str | None) -> SoldAs:
    """A product's TMF637 status; no product at all is not sold."""
    return _SOLD.get(status or "", SoldAs.NO)


def sale_in_flight(status: str | None) -> bool:
    return status in _IN_FLIGHT


def desired_as(admission: str | None) -> DesiredAs:
    return DesiredAs.NO if admission in (None, "none") else DesiredAs(admission)


def billing_clock(billing_start: str) -> tuple[str, int]:
    """What billing waits for, as (attribute of the desired service, days after it)."""
    if billing_start == "first_online":
        return "first_online_at", 0
    word, _, days = billing_start.partition("+")
    if word == "ready":
        return "configured_at", int(days or 0)
    return "accepted_at", 0


def held_as(
    *, missing: bool, unexpected: bool, attributes: Mapping[str, tuple[str | None, str | None]]
) -> Held:
    """What a difference between intent and element amounts to."""
    if missing:
        return Held.MISSING
    if unexpected:
        return Held.STRAY
    for name, walls in _WALLED_VALUES.items():
        if name in attributes:
            wanted, have = (walls.get(value) for value in attributes[name])
            if wanted is not None and have is not None and wanted != have:
                return Held.OPENED if wanted else Held.WALLED
    return Held.DRIFT if attributes else Held.EQUAL


def difference_text(attributes: Mapping[str, tuple[str | None, str | None]]) -> str:
    return ", ".join(
        f"{name} should be {want or 'absent'} and is {have or 'absent'}"
        for name, (want, have) in sorted(attributes.items())
    )


def judge_service(situation: Situation) -> tuple[Verdict, ...]:
    """What is wrong between the books; at most one mismatch of the service and one of its billing."""
    service = _service_mismatch(situation)
    billing = _billing_mismatch(situation, service)
    return tuple(verdict for verdict in (service, billing) if verdict is not None)


def _service_mismatch(s: Situation) -> Verdict | None:
    if s.sold is SoldAs.NO:
        if s.desired is not DesiredAs.NO or s.stray:
            return _verdict(
                "configured_not_sold",
                "the network serves what nobody was sold",
                "find the customer and sell it, or cease the service",
                sign=1,
            )
        if s.online:
            return _verdict(
                "online_not_sold",
                "a session is live though nothing is sold or configured",
                "disconnect the session on the NAS",
                sign=1,
            )
        return None
    if s.desired is DesiredAs.NO:
        return _verdict(
            "sold_not_desired",
            "it is sold, but provisioning has no service for it, or has ceased it",
            "order it anew, or end the product",
            sign=-1 if s.billed is BilledAs.RUNNING else 0,
        )
    if s.stray:
        return _verdict(
            "stray_fragment",
            "an element that does not serve it any more still holds it",
            "apply the service, or remove the fragment from the element",
            sign=0,
        )
    if s.sold is SoldAs.SUSPENDED and s.desired is DesiredAs.FULL:
        return _verdict(
            "suspended_but_open",
            "orders has it suspended, provisioning wants it open",
            "order the suspension again, or resume the product",
            sign=1,
        )
    if s.sold is SoldAs.ACTIVE and s.desired is DesiredAs.WALLED:
        return _verdict(
            "open_but_suspended",
            "orders has it active, provisioning keeps it in the walled garden",
            "order the resumption again, or suspend the product",
            sign=-1,
        )
    return None


def _verdict(kind: str, explanation: str, remedy: str, *, sign: int) -> Verdict:
    """A mismatch that only a person can resolve."""
    return Verdict(
        kind, "network", Repair.PERSON, safe=False, sign=sign, explanation=explanation, remedy=remedy
    )


def _billing_mismatch(s: Situation, service: Verdict | None) -> Verdict | None:
    if s.sold is SoldAs.NO and s.billed is BilledAs.RUNNING:
        dead = service is None
        return Verdict(
            "billed_not_live",
            "billing",
            Repair.STOP_BILLING if dead else Repair.PERSON,
            dead,
            -1,
            "it is billed though it is not sold any more",
            "" if dead else "settle first whether it is served",
        )
    if not (s.sold is SoldAs.ACTIVE and s.desired is DesiredAs.FULL and s.billing_due):
        return None
    if s.billed is BilledAs.STOPPED:
        return Verdict(
            "live_not_billed",
            "billing",
            Repair.START_BILLING,
            safe=True,
            sign=1,
            explanation="it is sold, served and due to be billed, and is not billed",
        )
    if s.billed is BilledAs.UNKNOWN:
        return Verdict(
            "live_without_price",
            "billing",
            Repair.PERSON,
            safe=False,
            sign=1,
            explanation="it is sold and served, but billing knows no price for it",
            remedy="deliver the product's price agreement to billing again",
        )
    return None


def judge_element(situation: Situation, held: Held) -> Verdict | None:
    """What is wrong on one element that should hold the service. Strays are the service's matter."""
    make = _ELEMENT.get(held)
    if make is None or situation.sold is SoldAs.NO or situation.desired is DesiredAs.NO:
        return None
    kind, explanation, sign_of = make
    agreed = (situation.sold is SoldAs.ACTIVE) == (situation.desired is DesiredAs.FULL)
    safe = agreed and not situation.observed and situation.desired is DesiredAs.FULL
    remedy = "" if safe else _why_not(situation, agreed=agreed)
    repair = Repair.APPLY if safe else Repair.PERSON
    return Verdict(kind, "network", repair, safe, sign_of(situation), explanation, remedy)


def _why_not(s: Situation, *, agreed: bool) -> str:
    if s.observed:
        return "the service is only observed: take it over, then apply it"
    if not agreed:
        return "settle first whether it is suspended, then apply it"
    return "a repair would keep the subscriber out: a person applies it"


def _undelivered(s: Situation) -> int:
    """Billed for what the network does not give."""
    return -1 if s.billed is BilledAs.RUNNING else 0


_ELEMENT: Mapping[Held, tuple[str, str, Callable[[Situation], int]]] = {
    Held.NOT_CONFIGURED: (
        "sold_not_configured",
        "neither on the element nor in its intended state",
        _undelivered,
    ),
    Held.NOT_INTENDED: ("not_intended", "on the element, but its intended state has lost it", lambda _: 0),
    Held.MISSING: ("missing_on_element", "not on the element", _undelivered),
    Held.DRIFT: ("drift", "", _undelivered),
    Held.OPENED: ("suspended_but_open", "", lambda _: 1),
    Held.WALLED: ("open_but_suspended", "", _undelivered),
}
