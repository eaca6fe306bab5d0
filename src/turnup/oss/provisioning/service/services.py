"""Use cases of provisioning: design a service, prove it on the network, follow what the network reports."""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from turnup.contracts import inventory
from turnup.contracts.provisioning import (
    Admission,
    BrakeView,
    Cause,
    CauseKind,
    ChangeHeld,
    HoldState,
    HoldView,
    Management,
    Realisation,
    ServiceAccepted,
    ServiceFacts,
    ServiceRequest,
    ServiceState,
    ServiceView,
)
from turnup.contracts.unit import Unit
from turnup.kernel.errors import Conflict, NotFound
from turnup.kernel.ids import AccountId, HoldId, ServiceId
from turnup.oss.provisioning import rules, store
from turnup.oss.provisioning.model import Hold, Service
from turnup.oss.provisioning.rules import brake as brake_rules
from turnup.oss.provisioning.rules.brake import BrakePolicy
from turnup.oss.provisioning.service.brake import Brake, PolicyAt
from turnup.runtime.component import Runtime
from turnup.runtime.rows import Rows, Wanted
from turnup.runtime.secrets import key_id_of

REALISE = "provisioning.realise"

Seal = Callable[[str, str], str]
"""(secret, or what sealed it before; context) -> sealed text that may be stored."""

Sighting = tuple[ServiceId, datetime]
"""A service, and the network's instant at which something was seen of it."""


class Provisioning:
    """Implements contracts.provisioning Reads and Commands."""

    def __init__(self, runtime: Runtime, seal: Seal, policy_at: PolicyAt = lambda _: BrakePolicy()) -> None:
        self._runtime = runtime
        self._seal = seal
        self._brake = Brake(runtime, policy_at)

    # --- commands -----------------------------------------------------------------------------------------

    def design(
        self, unit: Unit, request: ServiceRequest, reservation: inventory.Reservation, cause: Cause
    ) -> int:
        present = store.load(unit.connection, request.service_id, lock=True)
        if present is None:
            service = self._new(unit, request, reservation)
            rules.fragments(service)  # a specification that cannot be rendered fails now, not on the network
            store.add(unit.connection, service, unit.now)
            unit.audit(
                "provisioning.designed",
                service.id,
                after={"number": service.number, "product": str(service.product_id)},
            )
            return service.generation
        if present.state is ServiceState.CEASED:
            raise Conflict(
                f"service {present.number} has ceased", field="service_id", remedy="order a new product"
            )
        self._refuse_observed(present)
        wanted = replace(
            present,
            spec=request.spec,
            characteristics=dict(request.characteristics),
            resources=dict(reservation.resources),
            elements=dict(reservation.elements),
            admission=request.admission,
        )
        if wanted == present:
            return present.generation
        if brake_rules.counts(present.state, present.admission, request.admission, redesigned=True):
            self._require_admitted(unit, present, cause, "reconfigure")
        wanted = replace(wanted, generation=present.generation + 1)
        rules.fragments(wanted)
        store.save(unit.connection, wanted)
        unit.audit(
            "provisioning.redesigned",
            present.id,
            before=_audited(present),
            after={**_audited(wanted), "cause": _cause_text(cause)},
        )
        return wanted.generation

    def set_admission(self, unit: Unit, service_id: ServiceId, admission: Admission, cause: Cause) -> int:
        present = self._locked(unit, service_id)
        if present.admission is admission:
            return present.generation
        if present.state is ServiceState.CEASED:
            raise Conflict(
                f"service {present.number} has ceased", field="service_id", remedy="order a new product"
            )
        self._refuse_observed(present)
        if brake_rules.counts(present.state, present.admission, admission):
            self._require_admitted(unit, present, cause, _what(admission))
        wanted = replace(present, admission=admission, reason=cause.text, generation=present.generation + 1)
        store.save(unit.connection, wanted)
        unit.audit(
            "provisioning.admission",
            service_id,
            before=present.admission.value,
            after={"admission": admission.value, "cause": _cause_text(cause)},
        )
        return wanted.generation

    def record_realised(self, unit: Unit, realisation: Realisation) -> None:
        present = self._locked(unit, realisation.service_id)
        service, events = rules.after_realised(present, realisation, unit.now)
        if realisation.speeds_kbps is not None:
            service = replace(service, facts=replace(service.facts, speeds_kbps=realisation.speeds_kbps))
        if service != present:
            store.save(unit.connection, service)
            if service.state is not present.state:
                unit.audit(
                    "provisioning.realised", service.id, before=present.state.value, after=service.state.value
                )
        for event in events:
            unit.emit(event)

    def accept(self, unit: Unit, service_id: ServiceId, at: datetime) -> None:
        present = self._locked(unit, service_id)
        if present.accepted_at is not None:
            return
        if present.configured_at is None:
            raise Conflict(
                f"service {present.number} is not configured yet",
                field="service_id",
                remedy="wait for the order to complete",
            )
        service = replace(present, accepted_at=at)
        if present.state is not ServiceState.SUSPENDED:
            service = replace(service, state=rules.unsuspended_state(service))
        store.save(unit.connection, service)
        unit.audit("provisioning.accepted", service_id, before=present.state.value, after=service.state.value)
        unit.emit(
            ServiceAccepted(
                service_id=service.id, product_id=service.product_id, account_id=service.account_id, at=at
            )
        )

    def adopt(
        self, unit: Unit, request: ServiceRequest, reservation: inventory.Reservation, at: datetime
    ) -> None:
        if store.load(unit.connection, request.service_id, lock=True) is not None:
            return
        service = self._new(unit, request, reservation)
        suspended = request.admission is Admission.WALLED
        service = replace(
            service,
            verified_generation=service.generation,
            state=ServiceState.SUSPENDED if suspended else ServiceState.ACCEPTED,
            configured_at=at,
            first_online_at=at,
            accepted_at=at,
        )
        rules.fragments(service)
        store.add(unit.connection, service, unit.now)
        unit.audit("provisioning.adopted", service.id, after={"number": service.number})

    @staticmethod
    def _refuse_observed(present: Service) -> None:
        if present.management is Management.OBSERVED:
            raise Conflict(
                f"service {present.number} is only observed",
                field="service_id",
                remedy=f"take it over first: turnup service manage adopted --service {present.number}",
            )

    def take_values(self, unit: Unit, service_id: ServiceId, values: Mapping[str, str]) -> Service:
        """What an observed service has on its elements becomes its desired state: proved as it is read."""
        present = self._locked(unit, service_id)
        generation = present.generation + 1
        wanted = replace(
            present,
            characteristics={**present.characteristics, **values},
            generation=generation,
            verified_generation=generation,
        )
        store.save(unit.connection, wanted)
        before = {name: present.characteristics.get(name) for name in values}
        unit.audit("provisioning.taken_from_elements", service_id, before=before, after=dict(values))
        return wanted

    def set_management(self, unit: Unit, service_id: ServiceId, management: Management, reason: str) -> None:
        """Once it is as the transition demands; see `workflows.Takeover`."""
        present = self._locked(unit, service_id)
        if present.management is management:
            return
        rules.check_transition(present, management)
        store.save(unit.connection, replace(present, management=management))
        unit.audit(
            "provisioning.management",
            service_id,
            before=present.management.value,
            after={"management": management.value, "reason": reason},
        )

    def repair(self, unit: Unit, service_id: ServiceId, key: str) -> None:
        """Apply the desired state again, durably; once per key."""
        unit.audit("provisioning.repaired", service_id, after=key)
        unit.start(REALISE, f"repair:{service_id}:{key}", str(service_id))

    # --- the brake ----------------------------------------------------------------------------------------

    def admit(self, unit: Unit, wanted: Mapping[ServiceId, Admission | None], cause: Cause) -> bool:
        if not cause.automatic:
            return True
        concerned = {}
        for service in store.load_many(unit.connection, list(wanted)):
            redesigned = wanted[service.id] is None
            if brake_rules.counts(
                service.state, service.admission, wanted[service.id], redesigned=redesigned
            ):
                concerned[service.id] = wanted[service.id]
        what = "/".join(sorted({_what(admission) for admission in concerned.values()}))
        return self._brake.admit(unit, sorted(concerned), what, cause)

    def _require_admitted(self, unit: Unit, service: Service, cause: Cause, what: str) -> None:
        """The last gate: what is automatic and was not admitted changes nothing. (Whoever asks in time has
        the request held; here it is only refused, as this unit is going to be rolled back.)"""
        if not cause.automatic or self._brake.admit(unit, [service.id], what, cause):
            return
        raise ChangeHeld(
            f"the brake holds this change ({what}) of service {service.number}",
            field="service_id",
            remedy="a named person releases it: turnup brake release",
        )

    def admit_repair(self, unit: Unit, service_id: ServiceId) -> bool:
        present = store.load(unit.connection, service_id)
        if present is None or not brake_rules.repairable(present.admission):
            return False
        former = store.latest_hold(unit.connection, _repair_key(present))
        if former is not None and former.state in (HoldState.HELD, HoldState.REFUSED):
            return False
        key = f"{_repair_key(present)}{unit.now.isoformat()}"
        cause = Cause(CauseKind.REPAIR, key, "reconciliation")
        return self._brake.admit(unit, [service_id], "repair", cause, {"repair": str(service_id)})

    def withdraw(self, unit: Unit, key: str, reason: str) -> None:
        self._brake.withdraw(unit, key, reason)

    def release_holds(self, unit: Unit, hold_ids: Sequence[HoldId] | None, reason: str) -> int:
        released = self._brake.release(unit, hold_ids, reason)
        for hold in released:
            self._go_on(unit, hold)
        return len(released)

    def _go_on(self, unit: Unit, hold: Hold) -> None:
        """What provisioning itself wanted; orders go on by themselves."""
        if "repair" in hold.facts:
            unit.start(REALISE, f"released:{hold.id}", hold.facts["repair"])
        if "ont_serial" in hold.facts:
            self._equip(unit, hold.service_ids[0], hold.facts["ont_serial"])

    def refuse_holds(self, unit: Unit, hold_ids: Sequence[HoldId] | None, reason: str) -> int:
        return len(self._brake.refuse(unit, hold_ids, reason))

    # --- waiting for a freeze to be lifted ----------------------------------------------------------------

    def wait_for_lift(self, unit: Unit, service_id: ServiceId) -> None:
        """An element is frozen: its desired state is applied when that is over."""
        store.add_waiting(unit.connection, service_id, unit.now)

    def waiting_for_lift(self, limit: int) -> Sequence[ServiceId]:
        with self._runtime.snapshot("provisioning") as connection:
            return store.waiting(connection, limit)

    def go_on_after_lift(self, unit: Unit, service_id: ServiceId) -> None:
        """Once per wait."""
        if store.remove_waiting(unit.connection, service_id):
            unit.start(REALISE, f"lifted:{service_id}:{unit.now.isoformat()}", str(service_id))

    def tend(self, unit: Unit) -> None:
        """What the brake does with time."""
        self._brake.tend(unit)

    # --- what the network reports -------------------------------------------------------------------------

    # Told by the batch (service, the network's instant), in order: everybody behind a BNG dials in at once.

    def sessions_started(self, unit: Unit, sessions: Sequence[Sighting]) -> None:
        present = store.lock_many(unit.connection, {service_id for service_id, _ in sessions})
        again: dict[ServiceId, datetime] = {}
        for service_id, at in sessions:
            if service_id not in present:
                continue
            service, events = rules.after_online(present[service_id], at)
            present[service_id] = service
            again[service_id] = at
            if events:
                store.save(unit.connection, service)
            for event in events:
                unit.emit(event)
        store.note_online(unit.connection, again)

    def sessions_ended(self, unit: Unit, sessions: Sequence[Sighting]) -> None:
        store.note_offline(unit.connection, dict(sessions))

    def traffic_seen(self, unit: Unit, sightings: Sequence[Sighting]) -> None:
        store.note_traffic(unit.connection, dict(sightings))

    def equipment_identified(self, unit: Unit, service_id: ServiceId, serial: str) -> None:
        """The ONT's serial arrived: it belongs into the design; the network follows durably. The first one
        completes what was ordered; another one on a running service is a change like any other."""
        present = store.load(unit.connection, service_id)
        if present is None or present.resources.get("ont_serial") == serial:
            return
        if "ont_serial" in present.resources and brake_rules.counts(
            present.state, present.admission, None, redesigned=True
        ):
            cause = Cause(CauseKind.EVENT, f"equipment:{service_id}:{serial}", "another ONT was seen")
            if not self._brake.admit(unit, [service_id], "reconfigure", cause, {"ont_serial": serial}):
                return
        self._equip(unit, service_id, serial)

    def _equip(self, unit: Unit, service_id: ServiceId, serial: str) -> None:
        present = store.load(unit.connection, service_id, lock=True)
        if present is None or present.resources.get("ont_serial") == serial:
            return
        service = replace(
            present,
            resources={**present.resources, "ont_serial": serial},
            generation=present.generation + 1,
        )
        if present.state is ServiceState.AWAITING_EQUIPMENT:
            service = replace(service, state=rules.unsuspended_state(service))
        store.save(unit.connection, service)
        unit.start(REALISE, f"equipment:{service_id}:{service.generation}", str(service_id))

    # --- the books went back in time ----------------------------------------------------------------------

    def raise_generations(self, unit: Unit, floor: int) -> int:
        """Every service's generation rises to the floor at least, above every fence an element may hold from
        the time that was lost; nothing else of it changes. Returns how many rose."""
        raised = store.raise_generations(unit.connection, floor)
        if raised:
            unit.audit(
                "provisioning.generations_raised", "services", after={"floor": floor, "raised": raised}
            )
        return raised

    def highest_generation(self) -> int:
        with self._runtime.snapshot("provisioning") as connection:
            return store.highest_generation(connection)

    def only_observe(self, unit: Unit, service_ids: Sequence[ServiceId], reason: str) -> int:
        """The network is right about these: from now on they are only looked at, until a person takes them
        over or orders anew."""
        for service_id in service_ids:
            unit.audit("provisioning.observed", service_id, after=reason)
        return store.only_observe(unit.connection, service_ids)

    def reseal(self, unit: Unit, rewrap: Seal) -> int:
        """`rewrap` (sealed, context) every stored secret; returns how many it changed."""
        resealed = sum(
            store.reseal_secret(unit.connection, service_id, old, new)
            for service_id, old in store.sealed_secrets(unit.connection)
            if (new := rewrap(old, str(service_id))) != old
        )
        if resealed:
            unit.audit("provisioning.resealed", "secrets", after=resealed)
        return resealed

    # --- reads --------------------------------------------------------------------------------------------

    def sealed_by(self) -> Counter[str]:
        """How many stored secrets each key of the key file opens, by its id."""
        with self._runtime.snapshot("provisioning") as connection:
            keys = [key_id_of(sealed) for _, sealed in store.sealed_secrets(connection)]
        return Counter(key for key in keys if key is not None)

    def service(self, service_id: ServiceId) -> ServiceView | None:
        full = self.designed(service_id)
        return None if full is None else full.view()

    def service_by_number(self, number: str) -> ServiceView | None:
        return self._view_by(number=number)

    def service_by_login(self, login: str) -> ServiceView | None:
        return self._view_by(login=login)

    def services_by_login(self, logins: Sequence[str]) -> Mapping[str, ServiceId]:
        with self._runtime.snapshot("provisioning") as connection:
            return store.ids_by_login(connection, logins)

    def services(self, service_ids: Sequence[ServiceId] | None = None) -> Sequence[ServiceView]:
        return [service.view() for service in self.all_designed(service_ids)]

    def service_rows(self, wanted: Wanted) -> Rows[Service]:
        """A page of them, for lists."""
        with self._runtime.snapshot("provisioning") as connection:
            return store.service_rows(connection, wanted)

    def services_of_accounts(self, account_ids: Sequence[AccountId]) -> Sequence[ServiceView]:
        with self._runtime.snapshot("provisioning") as connection:
            found = store.load_of_accounts(connection, account_ids)
        return [service.view() for service in found]

    def services_of(self, accounts: Sequence[UUID]) -> Sequence[ServiceId]:
        """Every service these accounts have or had, whatever its state."""
        with self._runtime.snapshot("provisioning") as connection:
            return store.ids_of_accounts(connection, accounts)

    def brake(self) -> BrakeView:
        return self._brake.view()

    def holds(self, *, open_only: bool = True) -> Sequence[HoldView]:
        return self._brake.holds(open_only=open_only)

    def hold_of(self, key: str) -> HoldView | None:
        return self._brake.hold_of(key)

    def designed(self, service_id: ServiceId) -> Service | None:
        """The full service, for this component's own workflows."""
        with self._runtime.snapshot("provisioning") as connection:
            return store.load(connection, service_id)

    def all_designed(self, service_ids: Sequence[ServiceId] | None = None) -> Sequence[Service]:
        with self._runtime.snapshot("provisioning") as connection:
            return store.load_many(connection, service_ids)

    def resources(self, service_id: ServiceId) -> Mapping[str, str]:
        """The resources the service was designed with."""
        full = self.designed(service_id)
        return {} if full is None else full.resources

    def _view_by(self, **where: str) -> ServiceView | None:
        with self._runtime.snapshot("provisioning") as connection:
            found = store.load_by(connection, **where)
        return None if found is None else found.view()

    # --- inside -------------------------------------------------------------------------------------------

    def _new(self, unit: Unit, request: ServiceRequest, reservation: inventory.Reservation) -> Service:
        number = store.next_number(unit.connection)
        login = request.login or request.characteristics.get("login") or number.lower()
        secret = request.secret or secrets.token_urlsafe(12)
        return Service(
            id=request.service_id,
            number=number,
            product_id=request.product_id,
            customer_id=request.customer_id,
            account_id=request.account_id,
            address_id=request.address_id,
            spec=request.spec,
            state=ServiceState.RESERVED,
            management=request.management,
            admission=request.admission,
            generation=1,
            verified_generation=0,
            characteristics=dict(request.characteristics),
            resources=dict(reservation.resources),
            elements=dict(reservation.elements),
            login=login,
            secret_sealed=self._seal(secret, str(request.service_id)),
            facts=ServiceFacts(),
        )

    def _locked(self, unit: Unit, service_id: ServiceId) -> Service:
        present = store.load(unit.connection, service_id, lock=True)
        if present is None:
            raise NotFound(f"no service {service_id}", field="service_id")
        return present


def _what(admission: Admission | None) -> str:
    return {Admission.WALLED: "suspend", Admission.NONE: "cease"}.get(
        admission or Admission.FULL, "reconfigure"
    )


def _cause_text(cause: Cause) -> str:
    return f"{cause.kind.value}: {cause.text}" if cause.text else cause.kind.value


def _repair_key(service: Service) -> str:
    """Common to all repairs of one desired state: refused once, it stays refused until it changes."""
    return f"repair:{service.id}:{service.generation}:"


def _audited(service: Service) -> dict[str, object]:
    """Of the design, what the audit may hold: no login and no addresses, which lead to a person."""
    plan = {name: value for name, value in service.characteristics.items() if name != "login"}
    return {"generation": service.generation, "plan": plan, "holds": sorted(service.resources)}
