"""Making a service real: intent to configuration, apply and verify on every element, the live session after.

Touches the world, so every call may come twice, late, or from a worker that lost its lease: the generation
is the fencing token all the way down to the element.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from uuid import UUID

from turnup.contracts import configuration, inventory
from turnup.contracts.configuration import ApplyOutcome, Frozen
from turnup.contracts.provisioning import AaaGateway, LiveSession, Management, ManagementMove, Realisation
from turnup.contracts.unit import Unit
from turnup.kernel.actors import require_person, require_reason
from turnup.kernel.errors import InvalidInput, NotFound, TurnupError, Unavailable
from turnup.kernel.ids import ElementId, ServiceId
from turnup.oss.provisioning import rules
from turnup.oss.provisioning.model import Service
from turnup.oss.provisioning.service import REALISE, Provisioning
from turnup.runtime import faultpoint, telemetry
from turnup.runtime.component import Runtime
from turnup.runtime.durable import Run, Workflow

DEADLINE_S = 15.0
_RETRY_DELAYS_S = (0.2, 1.0, 5.0, 15.0)
_ACTOR = "workflow:provisioning"
_LIFTED_AT_ONCE = 200


class NetworkRealiser:
    """Implements contracts.provisioning.Realise."""

    def __init__(
        self,
        runtime: Runtime,
        provisioning: Provisioning,
        intents: configuration.Commands,
        intended: configuration.Reads,
        path: configuration.Apply,
        network: inventory.Reads,
        aaa: AaaGateway,
        freezes: configuration.Freezes,
    ) -> None:
        self._freezes = freezes
        self._runtime = runtime
        self._provisioning = provisioning
        self._intents = intents
        self._intended = intended
        self._path = path
        self._network = network
        self._aaa = aaa
        self._elements = ThreadPoolExecutor(max_workers=32, thread_name_prefix="element")

    def realise(self, service_id: ServiceId, *, deadline_s: float = DEADLINE_S) -> Realisation:
        """Bring every element to the service's desired state, verify there, update the live session, and
        record what was proved. Transient trouble is reported, not raised."""
        started = time.perf_counter()
        service = self._provisioning.designed(service_id)
        if service is None:
            raise NotFound(f"no service {service_id}", field="service_id")
        if service.management is Management.OBSERVED:
            return _refused(service, "the service is only observed: take it over first")
        with (
            telemetry.bind(service_id=service.id, service=service.number),
            telemetry.span("provisioning.realise", service=service.number, generation=service.generation),
        ):
            element_ids = self._intend(service)
            faultpoint.reach("provisioning.intended")
            outcomes = self._apply(service, element_ids, deadline_s)
            faultpoint.reach("provisioning.applied")
            session = self._update_session(service, outcomes, deadline_s)
            realisation = self._summary(service, outcomes, session, started)
            if realisation.ok:
                with self._runtime.unit("provisioning", _ACTOR) as unit:
                    self._provisioning.record_realised(unit, realisation)
        total_ms = (time.perf_counter() - started) * 1000
        return replace(realisation, turnup_ms=max(0.0, total_ms - realisation.device_ms))

    def frozen(self, service_ids: Sequence[ServiceId]) -> bool:
        """Whether an element that one of these services concerns is frozen."""
        if not self._freezes.freezes():
            return False
        services = self._provisioning.all_designed(service_ids)
        concerned = {element for service in services for element in service.elements.values()}
        concerned |= {element for one in service_ids for element in self._intended.concerned(one)}
        return self._freezes.any_frozen(sorted(concerned))

    def adopt_intents(self, unit: Unit, service_id: ServiceId) -> None:
        """What an adopted service has on the network is intended from now on; nothing is sent."""
        service = self._provisioning.designed(service_id)
        if service is None:
            raise NotFound(f"no service {service_id}", field="service_id")
        for element_id, fragment in rules.fragments_by_element(service).items():
            self._intents.intend(unit, element_id, fragment)

    def wait_for_lift(self, unit: Unit, service_id: str) -> None:
        self._provisioning.wait_for_lift(unit, ServiceId(UUID(service_id)))

    def _intend(self, service: Service) -> list[ElementId]:
        """Tell configuration what each element should hold; returns every element concerned, the ones that
        held something before included."""
        by_element = rules.fragments_by_element(service)
        # the withdrawn included: a former attempt may have got no further than the books
        before = self._intended.concerned(service.id)
        with self._runtime.unit("configuration", _ACTOR) as unit:
            for element_id, fragment in by_element.items():
                self._intents.intend(unit, element_id, fragment)
            for element_id in before:
                if element_id not in by_element:
                    self._intents.withdraw(unit, element_id, service.id, service.generation)
        return sorted({*by_element, *before})

    def _apply(
        self, service: Service, element_ids: Sequence[ElementId], deadline_s: float
    ) -> list[ApplyOutcome]:
        def one(element_id: ElementId) -> ApplyOutcome:
            with telemetry.bind(element_id=element_id), telemetry.span("configuration.apply"):
                return self._path.apply(element_id, [service.id], deadline_s=deadline_s)[service.id]

        return list(self._elements.map(telemetry.carried(one), element_ids))

    def _update_session(
        self, service: Service, outcomes: Sequence[ApplyOutcome], deadline_s: float
    ) -> "_SessionDone":
        """A live session keeps its old rates until told: CoA, or Disconnect where the NAS needs it; then ask
        the NAS."""
        if service.generation == 1 or not all(outcome.verified for outcome in outcomes):
            return _SessionDone()
        bng = service.elements.get("bng")
        element = self._network.element(bng) if bng else None
        if element is None:
            return _SessionDone()
        started = time.perf_counter()
        done = _SessionDone()
        try:
            done.speeds = self._align_session(service, element, deadline_s)
        except (Frozen, Unavailable) as error:
            done.error, done.frozen = str(error), isinstance(error, Frozen)
        done.ms = (time.perf_counter() - started) * 1000
        return done

    def _align_session(
        self, service: Service, element: inventory.ElementView, deadline_s: float
    ) -> tuple[int, int] | None:
        wanted = rules.live_session(service)
        if not self._aaa.reports_sessions(element.code):
            with self._path.writing(element.id, deadline_s=deadline_s):
                return self._tell_unseen(service, element.code, wanted, deadline_s)
        live = self._aaa.live_session(element.code, service.login, deadline_s=deadline_s)
        if live is None:
            return None
        if live == wanted:
            return live.down_kbps, live.up_kbps
        with self._path.writing(element.id, deadline_s=deadline_s):
            return self._tell_session(service, element.code, wanted, deadline_s)

    def _tell_session(
        self, service: Service, nas: str, wanted: LiveSession | None, deadline_s: float
    ) -> tuple[int, int] | None:
        changed = wanted is not None and self._aaa.change_authorization(
            nas, service.login, wanted, deadline_s=deadline_s
        )
        if not changed:  # she re-authenticates by herself, and gets what the AAA server now says
            self._aaa.disconnect(nas, service.login, deadline_s=deadline_s)
        # whatever it answered: a refused Disconnect leaves a ceased customer online
        read_back = self._aaa.live_session(nas, service.login, deadline_s=deadline_s)
        if read_back is None:
            return None
        if read_back != wanted:
            raise Unavailable(f"{nas}: the session should be {wanted or 'gone'} and is {read_back}")
        return read_back.down_kbps, read_back.up_kbps

    def _tell_unseen(
        self, service: Service, nas: str, wanted: LiveSession | None, deadline_s: float
    ) -> tuple[int, int] | None:
        """A NAS that cannot be asked is told in any case: what it acknowledges is in force; what it does not
        change, it ends; and that it has no session is an answer, too."""
        if wanted is not None and self._aaa.change_authorization(
            nas, service.login, wanted, deadline_s=deadline_s
        ):
            return wanted.down_kbps, wanted.up_kbps
        self._aaa.disconnect(nas, service.login, deadline_s=deadline_s)
        return None

    @staticmethod
    def _summary(
        service: Service,
        outcomes: Sequence[ApplyOutcome],
        session: "_SessionDone",
        started: float,
    ) -> Realisation:
        failed = [outcome for outcome in outcomes if not outcome.verified]
        error = "; ".join(f"{o.element}: {o.error or 'read back differs'}" for o in failed) or session.error
        waited = max((outcome.device_ms for outcome in outcomes), default=0.0) + session.ms
        frozen = session.frozen or any(outcome.frozen for outcome in failed)
        return Realisation(
            service_id=service.id,
            generation=service.generation,
            ok=not failed and session.error is None,
            outcomes=tuple(outcomes),
            turnup_ms=(time.perf_counter() - started) * 1000 - waited,
            device_ms=waited,
            speeds_kbps=session.speeds,
            error=error,
            transient=not frozen and all(outcome.transient for outcome in failed),
            frozen=frozen,
        )


class Takeover:
    """Moves services between observed, adopted and managed. Reads elements, never writes to one."""

    def __init__(
        self,
        runtime: Runtime,
        provisioning: Provisioning,
        realiser: NetworkRealiser,
        elements: configuration.Reads,
        network: inventory.Reads,
    ) -> None:
        self._runtime = runtime
        self._provisioning = provisioning
        self._realiser = realiser
        self._elements = elements
        self._network = network

    def chosen(
        self, *, service: str | None = None, element: str | None = None, site: str | None = None
    ) -> list[ServiceId]:
        """The services of this number, on this element or at this site (by codes); exactly one is given.
        Raises InvalidInput, NotFound."""
        if sum(each is not None for each in (service, element, site)) != 1:
            raise InvalidInput(
                "which services?", field="service", remedy="name a service, an element or a site"
            )
        if service is not None:
            view = self._provisioning.service_by_number(service)
            if view is None:
                raise NotFound(
                    f"no service {service!r}", field="service", remedy="numbers look like S-100001"
                )
            return [view.id]
        wanted = self._wanted(element, site)
        if not wanted:
            what = f"no element {element!r}" if element is not None else f"no elements at site {site!r}"
            raise NotFound(what, field="element" if element is not None else "site")
        return [
            view.id for view in self._provisioning.services() if not wanted.isdisjoint(view.elements.values())
        ]

    def _wanted(self, element: str | None, site: str | None) -> set[ElementId]:
        if element is not None:
            found = self._network.element_by_code(element)
            return set() if found is None else {found.id}
        sites = {view.id for view in self._network.sites() if view.code == site}
        return {view.id for view in self._network.elements() if view.site_id in sites}

    def move(
        self, service_ids: Sequence[ServiceId], to: Management, reason: str, actor: str
    ) -> list[ManagementMove]:
        """Each by itself. To adopted: the desired state is taken from the elements first. To adopted or
        managed: only where the elements hold just what is desired, read now. Changes nothing on elements."""
        require_person(actor, "say how services are managed")
        require_reason(reason)
        services = {each.id: each for each in self._provisioning.all_designed(service_ids)}
        moving = [each for each in services.values() if each.management is not to]
        refused: dict[ServiceId, str] = {}
        for each in moving:
            try:
                rules.check_transition(each, to)
            except TurnupError as error:
                refused[each.id] = str(error)
        taken: dict[ServiceId, Mapping[str, str]] = {}
        reading = [each for each in moving if each.id not in refused and to is not Management.OBSERVED]
        if to is Management.ADOPTED:
            taken = self._take_values([s for s in reading if s.management is Management.OBSERVED], actor)
        refused |= self._differing(reading)
        moves = []
        for each in moving:
            if each.id not in refused:
                with self._runtime.unit("provisioning", actor) as unit:
                    self._provisioning.set_management(unit, each.id, to, reason)
            moves.append(
                ManagementMove(
                    service_id=each.id,
                    number=each.number,
                    before=each.management,
                    now=each.management if each.id in refused else to,
                    refused=refused.get(each.id),
                    taken={
                        name: (each.characteristics.get(name, ""), value)
                        for name, value in taken.get(each.id, {}).items()
                    },
                )
            )
        return moves

    def _take_values(self, services: Sequence[Service], actor: str) -> dict[ServiceId, Mapping[str, str]]:
        """Of services that were only observed: what their elements have becomes what is desired."""
        actual: dict[ServiceId, dict[ElementId, configuration.Fragment]] = {}
        for element_id, ids in _by_element(services).items():
            try:
                for service_id, fragment in self._elements.actual(element_id, ids).items():
                    actual.setdefault(service_id, {})[element_id] = fragment
            except TurnupError:
                continue  # unknown: the comparison that follows says so
        taken: dict[ServiceId, Mapping[str, str]] = {}
        for service in services:
            values = rules.taken_from(service, actual.get(service.id, {}))
            if values:
                with self._runtime.unit("provisioning", actor) as unit:
                    self._provisioning.take_values(unit, service.id, values)
                with self._runtime.unit("configuration", actor) as unit:
                    self._realiser.adopt_intents(unit, service.id)
                taken[service.id] = values
        return taken

    def _differing(self, services: Sequence[Service]) -> dict[ServiceId, str]:
        """Why a service is not what it should be: on which element, in what; or that nobody knows."""
        found: dict[ServiceId, str] = {}
        for element_id, ids in _by_element(services).items():
            element = self._network.element(element_id)
            code = element.code if element is not None else str(element_id)
            try:
                differences = self._elements.differences(element_id, ids)
            except TurnupError as error:
                found |= dict.fromkeys(ids, f"{code}: {error}")
                continue
            found |= {
                each.service_id: f"{code}: {each.text}" for each in differences if each.service_id in ids
            }
        return found


def _by_element(services: Sequence[Service]) -> dict[ElementId, list[ServiceId]]:
    found: dict[ElementId, list[ServiceId]] = {}
    for service in services:
        for element_id in rules.fragments_by_element(service):
            found.setdefault(element_id, []).append(service.id)
    return found


@dataclass(slots=True)
class _SessionDone:
    """What became of the live session: speeds read back, milliseconds waited."""

    error: str | None = None
    frozen: bool = False
    speeds: tuple[int, int] | None = None
    ms: float = 0.0


def _refused(service: Service, reason: str) -> Realisation:
    return Realisation(
        service_id=service.id,
        generation=service.generation,
        ok=False,
        outcomes=(),
        turnup_ms=0.0,
        device_ms=0.0,
        error=reason,
    )


def workflows(realiser: NetworkRealiser) -> Sequence[Workflow]:
    def realise(run: Run, service_id: str) -> None:
        """Apply one service's desired state until it is proved; used for drift, late equipment, repairs."""
        for delay_s in (*_RETRY_DELAYS_S, None):
            result: Mapping[str, object] = run.world("realise", _realise_once, realiser, service_id)
            if result["ok"] or not result["transient"] or delay_s is None:
                break
            run.sleep(delay_s)
        if result["frozen"]:
            run.unit("provisioning", "wait for lift", realiser.wait_for_lift, service_id)

    return [Workflow(name=REALISE, function=realise, queue="orders", logged=("service_id",))]


def _realise_once(realiser: NetworkRealiser, service_id: str) -> Mapping[str, object]:
    try:
        done = realiser.realise(ServiceId(UUID(service_id)))
    except TurnupError as error:
        transient = isinstance(error, Unavailable)
        return {"ok": False, "transient": transient, "error": str(error), "frozen": False}
    return {"ok": done.ok, "transient": done.transient, "error": done.error, "frozen": done.frozen}


def resume_lifted(runtime: Runtime, provisioning: Provisioning, realiser: NetworkRealiser) -> None:
    """Whatever waited for a freeze that is lifted goes on; called by the clock."""
    for service_id in provisioning.waiting_for_lift(_LIFTED_AT_ONCE):
        if not realiser.frozen([service_id]):
            with runtime.unit("provisioning", _ACTOR) as unit:
                provisioning.go_on_after_lift(unit, service_id)
