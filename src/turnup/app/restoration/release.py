"""A named person releases restored books: who is right, service by service, and then work goes on.

`books`: the element gets what the books say. `network`: the element keeps what it has; the service is only
observed until a person adopts it or orders anew. For what the books have never heard of, `books` takes it off
the element, `network` leaves it there, where the standing reconciliation goes on finding it.

All generations rise to the second of the release: above every fence that an element can hold from the time
that was lost, those of deleted services included, which no element tells. So nothing is refused for ever as
stale, and nothing that waited from before can pass for newer without the decision above.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from turnup.app.house import House
from turnup.app.restoration.comparison import Comparison, Found, compare
from turnup.kernel.clock import SystemClock
from turnup.kernel.errors import InvalidInput, NotAllowed, NotFound
from turnup.kernel.ids import FreezeId, ServiceId
from turnup.runtime import faultpoint, restored

_DEADLINE_S = 15.0


class Side(StrEnum):
    BOOKS = "books"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Released:
    """`applied` services get what the books say, by the workers; `observed` are left to the network;
    `removed` fragments were taken off their element; `failed` says which could not be, and why."""

    applied: int
    observed: int
    removed: int
    failed: tuple[str, ...]
    generation: int


def release(
    house: House,
    actor: str,
    reason: str,
    decisions: Mapping[ServiceId, Side],
    rest: Side | None = None,
) -> Released:
    """Look again, carry out the decisions and open the books. `rest` decides what has no decision of its own.

    Raises NotFound when nothing waits, NotAllowed for who is no person, InvalidInput naming what is open.
    Killed on the way, it may be repeated: the books stay closed until the last transaction.
    """
    waiting = house.runtime.gate.closed_by()
    if waiting is None:
        raise NotFound("no restore waits for a release", field="restore", remedy="see: turnup restore status")
    _require_person(actor, reason)
    found = compare(house, waiting)
    sides = _decided(found, decisions, rest)
    floor = _floor(house)
    network = sorted({f.service_id for f in found.found if f.number and sides[f.service_id] is Side.NETWORK})
    books = sorted({f.service_id for f in found.found if f.number and sides[f.service_id] is Side.BOOKS})
    strangers = [f for f in found.found if not f.number and sides[f.service_id] is Side.BOOKS]
    _raise_fences(house, actor, floor, strangers)
    faultpoint.reach("release.fences_raised")
    with house.runtime.closed_unit("provisioning", actor) as unit:
        house.provisioning.only_observe(unit, network, reason)
        for service_id in books:
            house.provisioning.repair(unit, service_id, f"restored:{waiting.id}")
    with house.runtime.closed_unit("configuration", actor) as unit:
        house.configuration.lift(unit, FreezeId(waiting.freeze_id), reason)
    faultpoint.reach("release.lifted")
    failed = _remove(house, strangers)
    with house.database.engine.begin() as connection:
        restored.close(
            connection,
            waiting.id,
            at=SystemClock().now(),
            by=actor,
            reason=reason,
            decisions={str(service): side.value for service, side in sides.items()},
        )
    return Released(len(books), len(network), len(strangers) - len(failed), failed, floor)


def _require_person(actor: str, reason: str) -> None:
    kind, _, name = actor.partition(":")
    if kind not in ("cli", "user", "token") or not name:
        raise NotAllowed(f"{actor!r} is no person", field="actor", remedy="release it by your shell or token")
    if not reason.strip():
        raise InvalidInput("a reason is missing", field="reason", remedy="say why, for those who come later")


def _decided(
    found: Comparison, decisions: Mapping[ServiceId, Side], rest: Side | None
) -> Mapping[ServiceId, Side]:
    concerned = found.undecided
    if strange := sorted(set(decisions) - set(concerned)):
        raise InvalidInput(
            f"{strange[0]} does not differ", field="decisions", remedy="turnup restore compare says which do"
        )
    open_ones = [service for service in concerned if service not in decisions]
    if open_ones and rest is None:
        raise InvalidInput(
            f"{len(open_ones)} services are not decided, the first is {open_ones[0]}",
            field="rest",
            remedy="decide each with --books ID or --network ID, and the others with --rest books or network",
        )
    return {service: decisions.get(service, rest or Side.NETWORK) for service in concerned}


def _floor(house: House) -> int:
    """A generation above all fences: generations rise by one a change, hence slower than seconds pass."""
    known = max(house.provisioning.highest_generation(), house.configuration.highest_generation())
    return max(int(SystemClock().now().timestamp()), known + 1)


def _raise_fences(house: House, actor: str, floor: int, strangers: list[Found]) -> None:
    with house.runtime.closed_unit("provisioning", actor) as unit:
        house.provisioning.raise_generations(unit, floor)
    with house.runtime.closed_unit("configuration", actor) as unit:
        house.configuration.raise_generations(unit, floor)
        for found in strangers:
            house.configuration.disown(unit, found.element_id, found.service_id, found.fragment_kind, floor)


def _remove(house: House, strangers: list[Found]) -> tuple[str, ...]:
    """Take off the elements what nobody has in the books; by the one apply path."""
    failed = []
    for found in strangers:
        outcome = house.path.apply(found.element_id, [found.service_id], deadline_s=_DEADLINE_S)
        done = outcome[found.service_id]
        if not done.verified:
            failed.append(f"{found.element} {found.service_id}: {done.error}")
    return tuple(failed)
