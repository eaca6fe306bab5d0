"""Use cases of provisioning: design a service, prove it on the network, follow what the network reports."""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from turnup.contracts import inventory
from turnup.contracts.provisioning import (
    Admission,
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
from turnup.kernel.ids import ServiceId
from turnup.oss.provisioning import rules, store
from turnup.oss.provisioning.model import Service
from turnup.runtime.component import Runtime
from turnup.runtime.secrets import key_id_of

REALISE = "provisioning.realise"

Seal = Callable[[str, str], str]
"""(secret, or what sealed it before; context) -> sealed text that may be stored."""


class Provisioning:
    """Implements contracts.provisioning Reads and Commands."""

    def __init__(self, runtime: Runtime, seal: Seal) -> None:
        self._runtime = runtime
        self._seal = seal

    # --- commands -----------------------------------------------------------------------------------------

    def design(self, unit: Unit, request: ServiceRequest, reservation: inventory.Reservation) -> int:
        present = store.load(unit.connection, request.service_id, lock=True)
        if present is None:
            service = self._new(unit, request, reservation)
            rules.fragments(service)  # a specification that cannot be rendered fails now, not on the network
            store.add(unit.connection, service, unit.now)
            return service.generation
        if present.state is ServiceState.CEASED:
            raise Conflict(
                f"service {present.number} has ceased", field="service_id", remedy="order a new product"
            )
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
        wanted = replace(wanted, generation=present.generation + 1)
        rules.fragments(wanted)
        store.save(unit.connection, wanted)
        unit.audit(
            "provisioning.redesigned",
            present.id,
            before={**present.characteristics, **present.resources},
            after={**wanted.characteristics, **wanted.resources},
        )
        return wanted.generation

    def set_admission(self, unit: Unit, service_id: ServiceId, admission: Admission, reason: str) -> int:
        present = self._locked(unit, service_id)
        if present.admission is admission:
            return present.generation
        if present.state is ServiceState.CEASED:
            raise Conflict(
                f"service {present.number} has ceased", field="service_id", remedy="order a new product"
            )
        if present.management is Management.OBSERVED:
            raise Conflict(
                f"service {present.number} is only observed",
                field="service_id",
                remedy="take it over first: turnup adopt",
            )
        wanted = replace(present, admission=admission, reason=reason, generation=present.generation + 1)
        store.save(unit.connection, wanted)
        unit.audit(
            "provisioning.admission", service_id, before=present.admission.value, after=admission.value
        )
        return wanted.generation

    def record_realised(self, unit: Unit, realisation: Realisation) -> None:
        present = self._locked(unit, realisation.service_id)
        service, events = rules.after_realised(present, realisation, unit.now)
        if realisation.speeds_kbps is not None:
            service = replace(service, facts=replace(service.facts, speeds_kbps=realisation.speeds_kbps))
        if service != present:
            store.save(unit.connection, service)
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

    def repair(self, unit: Unit, service_id: ServiceId, key: str) -> None:
        """Apply the desired state again, durably; once per key."""
        unit.start(REALISE, f"repair:{service_id}:{key}", str(service_id))

    # --- what the network reports -------------------------------------------------------------------------

    def session_started(self, unit: Unit, service_id: ServiceId, at: datetime) -> None:
        present = store.load(unit.connection, service_id, lock=True)
        if present is None:
            return
        service, events = rules.after_online(present, at)
        store.save(unit.connection, service)
        for event in events:
            unit.emit(event)

    def session_ended(self, unit: Unit, service_id: ServiceId, at: datetime) -> None:
        present = store.load(unit.connection, service_id, lock=True)
        if present is None:
            return
        facts = replace(present.facts, online=False, online_changed_at=at, speeds_kbps=None)
        store.save(unit.connection, replace(present, facts=facts))

    def traffic_seen(self, unit: Unit, service_id: ServiceId, at: datetime) -> None:
        present = store.load(unit.connection, service_id, lock=True)
        if present is None:
            return
        store.save(unit.connection, replace(present, facts=replace(present.facts, traffic_seen_at=at)))

    def equipment_identified(self, unit: Unit, service_id: ServiceId, serial: str) -> None:
        """The ONT's serial arrived: it belongs into the design; the network follows durably."""
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

    def services(self, service_ids: Sequence[ServiceId] | None = None) -> Sequence[ServiceView]:
        return [service.view() for service in self.all_designed(service_ids)]

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
