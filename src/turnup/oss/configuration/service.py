"""Use cases of configuration: note intents, keep credentials, compare an element with what it should hold."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from uuid import UUID

from turnup.contracts import inventory
from turnup.contracts.configuration import (
    BackupView,
    Credentials,
    Difference,
    ElementDriver,
    Fragment,
    FreezeLifted,
    FreezeScope,
    FreezeView,
    Frozen,
    NetworkFrozen,
)
from turnup.contracts.inventory import ElementView
from turnup.contracts.unit import Unit
from turnup.kernel.actors import require_person, require_reason
from turnup.kernel.errors import InvalidInput, NotFound
from turnup.kernel.ids import ElementId, FreezeId, ServiceId, new_id
from turnup.oss.configuration import rules, store
from turnup.oss.configuration.model import Backup, Freeze, Intent, Lease
from turnup.runtime.component import Runtime
from turnup.runtime.secrets import SecretBox, key_id_of, rewrap_text, unseal_text


class Configuration:
    """Implements contracts.configuration Reads and Commands. `drivers` by the element's driver name."""

    def __init__(
        self,
        runtime: Runtime,
        network: inventory.Reads,
        drivers: Mapping[str, ElementDriver],
        box: SecretBox,
    ) -> None:
        self._runtime = runtime
        self._network = network
        self._drivers = drivers
        self._box = box

    # --- commands -----------------------------------------------------------------------------------------

    def intend(self, unit: Unit, element_id: ElementId, fragment: Fragment) -> bool:
        intent = Intent(kind=fragment.kind, generation=fragment.generation, fragment=fragment)
        return store.save_intent(unit.connection, element_id, fragment.service_id, intent)

    def withdraw(self, unit: Unit, element_id: ElementId, service_id: ServiceId, generation: int) -> bool:
        present = store.intents(unit.connection, element_id, [service_id]).get(service_id)
        if present is None or (present.fragment is None and present.generation >= generation):
            return False
        nothing = Intent(kind=present.kind, generation=generation, fragment=None)
        return store.save_intent(unit.connection, element_id, service_id, nothing)

    def disown(
        self, unit: Unit, element_id: ElementId, service_id: ServiceId, kind: str, generation: int
    ) -> bool:
        """A person has decided that the element shall hold nothing for this service, which the books may
        never have known. Returns whether that is new."""
        nothing = Intent(kind=kind, generation=generation, fragment=None)
        unit.audit("configuration.disowned", service_id, after={"element": str(element_id)})
        return store.save_intent(unit.connection, element_id, service_id, nothing)

    def raise_generations(self, unit: Unit, floor: int) -> int:
        """Every intent's generation rises to the floor at least, no more of it. Returns how many rose."""
        return store.raise_generations(unit.connection, floor)

    def highest_generation(self) -> int:
        with self._runtime.snapshot("configuration") as connection:
            return store.highest_generation(connection)

    def set_credentials(self, unit: Unit, element_id: ElementId, credentials: Credentials) -> None:
        plain = json.dumps(asdict(credentials))
        sealed = self._box.seal(plain, _context(element_id))
        store.save_credential(unit.connection, element_id, sealed, unit.now)
        unit.audit("configuration.credentials_set", element_id)

    def reseal(self, unit: Unit) -> int:
        """Wrap every stored secret by the key file's current key; returns how many had an older one."""
        resealed = 0
        for element_id, old in store.sealed_credentials(unit.connection):
            new = self._box.rewrap(old, _context(element_id))
            if new != old:
                resealed += store.reseal_credential(unit.connection, element_id, old, new)
        attributes = store.sealed_attributes(unit.connection, sorted(rules.SECRET_ATTRIBUTES))
        for element_id, service_id, name, value in attributes:
            wrapped = rewrap_text(self._box, value, str(service_id))
            if wrapped != value:
                resealed += store.reseal_attribute(
                    unit.connection, element_id, service_id, name, value, wrapped
                )
        if resealed:
            unit.audit("configuration.resealed", "secrets", after=resealed)
        return resealed

    def freeze(self, unit: Unit, scope: FreezeScope, code: str | None, reason: str) -> FreezeId:
        require_person(unit.actor, "freeze")
        require_reason(reason)
        rules.require_target(scope, code)
        wanted = Freeze(
            id=FreezeId(new_id()),
            scope=scope,
            target_id=self._target(scope, code),
            code=code,
            reason=reason,
            frozen_by=unit.actor,
            frozen_at=unit.now,
        )
        if not store.add_freeze(unit.connection, wanted):
            present = store.freezes(unit.connection, active_only=True)
            return next(f.id for f in present if (f.scope, f.target_id) == (scope, wanted.target_id))
        unit.audit("configuration.frozen", wanted.id, after={"scope": scope.value, "code": wanted.code})
        unit.emit(
            NetworkFrozen(
                freeze_id=wanted.id,
                scope=scope,
                code=wanted.code,
                reason=reason,
                by=unit.actor,
                at=unit.now,
            )
        )
        return wanted.id

    def _target(self, scope: FreezeScope, code: str | None) -> UUID | None:
        if scope is FreezeScope.ALL:
            return None
        if scope is FreezeScope.ELEMENT:
            element = self._network.element_by_code(code or "")
            if element is None:
                raise NotFound(
                    f"no element {code!r}", field="code", remedy="list them: turnup config elements"
                )
            return element.id
        sites = {site.code: site.id for site in self._network.sites()}
        if code not in sites:
            raise NotFound(f"no site {code!r}", field="code", remedy=f"known: {', '.join(sorted(sites))}")
        return sites[code]

    def lift(self, unit: Unit, freeze_id: FreezeId, reason: str) -> None:
        require_person(unit.actor, "lift a freeze")
        require_reason(reason)
        present = store.load_freeze(unit.connection, freeze_id)
        if present is None:
            raise NotFound(f"no freeze {freeze_id}", field="freeze", remedy="list them: turnup freeze list")
        if present.lifted_at is not None:
            return
        store.lift_freeze(unit.connection, freeze_id, unit.actor, unit.now, reason)
        unit.audit("configuration.freeze_lifted", freeze_id, before=present.reason, after=reason)
        unit.emit(FreezeLifted(freeze_id=freeze_id, reason=reason, by=unit.actor, at=unit.now))

    # --- reads --------------------------------------------------------------------------------------------

    def freezes(self, *, active_only: bool = True) -> Sequence[FreezeView]:
        with self._runtime.snapshot("configuration") as connection:
            return [freeze.view() for freeze in store.freezes(connection, active_only=active_only)]

    def frozen_by(self, element_id: ElementId) -> FreezeView | None:
        active = self._active_freezes()
        if not active:
            return None
        element = self.element(element_id)
        return next((freeze.view() for freeze in active if rules.covers(freeze, element)), None)

    def any_frozen(self, element_ids: Sequence[ElementId]) -> bool:
        active = self._active_freezes()
        elements = [self.element(element_id) for element_id in element_ids] if active else []
        return any(rules.covers(freeze, element) for freeze in active for element in elements)

    def everything_frozen(self) -> FreezeView | None:
        active = self._active_freezes()
        return next((freeze.view() for freeze in active if freeze.scope is FreezeScope.ALL), None)

    def _active_freezes(self) -> Sequence[Freeze]:
        with self._runtime.snapshot("configuration") as connection:
            return store.freezes(connection, active_only=True)

    def intended(self, element_id: ElementId) -> Mapping[ServiceId, Fragment]:
        return {
            service_id: intent.fragment
            for service_id, intent in self.intents(element_id, None).items()
            if intent.fragment is not None
        }

    def sealed_by(self) -> Counter[str]:
        """How many stored secrets each key of the key file opens, by its id."""
        with self._runtime.snapshot("configuration") as connection:
            credentials = [key_id_of(sealed) for _, sealed in store.sealed_credentials(connection)]
            secrets = sorted(rules.SECRET_ATTRIBUTES)
            values = [key_id_of(row[3]) for row in store.sealed_attributes(connection, secrets)]
        return Counter(key for key in (*credentials, *values) if key is not None)

    def concerned(self, service_id: ServiceId) -> Sequence[ElementId]:
        with self._runtime.snapshot("configuration") as connection:
            return sorted(store.intents_of(connection, service_id))

    def actual(
        self, element_id: ElementId, services: Sequence[ServiceId] | None = None, *, deadline_s: float = 10.0
    ) -> Mapping[ServiceId, Fragment]:
        element = self.element(element_id)
        return self.driver(element).read(
            element, self.credentials(element_id), services, deadline_s=deadline_s
        )

    def differences(
        self, element_id: ElementId, services: Sequence[ServiceId] | None = None
    ) -> Sequence[Difference]:
        return rules.differences(self.intents(element_id, services), self.actual(element_id, services))

    def backups(self, element_id: ElementId) -> Sequence[BackupView]:
        with self._runtime.snapshot("configuration") as connection:
            return store.backups(connection, element_id)

    def backup_text(self, element_id: ElementId, revision: int) -> str | None:
        with self._runtime.snapshot("configuration") as connection:
            found = store.load_backup(connection, element_id, revision)
        return None if found is None else found.text

    def backup_diff(self, element_id: ElementId, old: int, new: int) -> str:
        texts = [self.backup_text(element_id, revision) for revision in (old, new)]
        if texts[0] is None or texts[1] is None:
            raise NotFound("no such backup", field="revision", remedy="list them: turnup config backups")
        return rules.text_diff(texts[0], texts[1], f"revision {old}", f"revision {new}")

    def running_config(self, element_id: ElementId, *, deadline_s: float = 30.0) -> str:
        """What the element runs now, secrets masked, as the backups keep it; asks the element."""
        element = self.element(element_id)
        driver = self.driver(element)
        raw = driver.running_config(element, self.credentials(element_id), deadline_s=deadline_s)
        return rules.mask_secrets(raw)

    # --- for the apply path -------------------------------------------------------------------------------

    def refuse_frozen(self, element: ElementView) -> None:
        """Asked by whoever holds the element's lease, just before writing. A freeze that comes later waits
        for that lease (`leases_under`), so that no write starts once it is settled. Raises Frozen."""
        for freeze in self._active_freezes():
            if rules.covers(freeze, element):
                what = f"{freeze.scope.value} {freeze.code}" if freeze.code else "everything"
                raise Frozen(
                    f"{element.code} is frozen: {what} by {freeze.frozen_by}, {freeze.reason}",
                    field="element",
                    remedy=f"it goes on by itself after: turnup freeze lift {freeze.id}",
                )

    def leases_under(self, freeze_id: FreezeId) -> Mapping[ElementId, int]:
        """What this freeze covers and is being written now: element -> token of its lease."""
        with self._runtime.snapshot("configuration") as connection:
            found = [f for f in store.freezes(connection, active_only=True) if f.id == freeze_id]
            held = store.leases_held(connection)
        return {
            element_id: token
            for element_id, token in held.items()
            if any(rules.covers(freeze, self.element(element_id)) for freeze in found)
        }

    def element(self, element_id: ElementId) -> ElementView:
        element = self._network.element(element_id)
        if element is None:
            raise NotFound(f"no element {element_id}", field="element")
        return element

    def driver(self, element: ElementView) -> ElementDriver:
        try:
            return self._drivers[element.driver]
        except KeyError as error:
            raise InvalidInput(
                f"no driver {element.driver!r} for {element.code}",
                field="driver",
                remedy=f"use one of: {', '.join(sorted(self._drivers))}",
            ) from error

    def credentials(self, element_id: ElementId) -> Credentials:
        with self._runtime.snapshot("configuration") as connection:
            sealed = store.credential(connection, element_id)
        if sealed is None:
            if not self.driver(self.element(element_id)).needs_credentials:
                return Credentials(username="", password="")
            raise NotFound(
                "the element has no credentials",
                field="credentials",
                remedy="set them: turnup config credentials ELEMENT",
            )
        plain = json.loads(self._box.open_text(sealed, _context(element_id)))
        return Credentials(**plain)

    def intents(
        self, element_id: ElementId, services: Sequence[ServiceId] | None
    ) -> Mapping[ServiceId, Intent]:
        """Intents with their secrets opened: for comparing and applying only, never stored or shown."""
        with self._runtime.snapshot("configuration") as connection:
            found = store.intents(connection, element_id, services)
        return {service_id: self._opened(intent) for service_id, intent in found.items()}

    def take_lease(self, element_id: ElementId, holder: str, seconds: float) -> Lease | None:
        with self._runtime.closed_unit("configuration", holder) as unit:
            return store.take_lease(unit.connection, element_id, holder, seconds)

    def give_lease_back(self, lease: Lease, *, changed: bool) -> None:
        with self._runtime.closed_unit("configuration", lease.holder) as unit:
            store.give_lease_back(unit.connection, lease, unit.now if changed else None)

    @property
    def process(self) -> str:
        """Who we are to the other processes: the name they know a worker by."""
        return self._runtime.database.application_name

    def worker_gone(self, worker: str) -> None:
        """A worker was taken over: nothing waits for the elements it held. Its own late writes are kept out
        by their generation, and it ends when it wakes."""
        with self._runtime.unit("configuration", self.process) as unit:
            store.free_leases_of(unit.connection, worker)

    def now(self) -> datetime:
        return self._runtime.clock.now()

    def keep_backup(
        self, element_id: ElementId, text: str, sha256: str, cause: str, as_of: datetime
    ) -> BackupView:
        """A new revision only if the text differs from the last one."""
        with self._runtime.unit("configuration", "backup") as unit:
            last = store.last_backup(unit.connection, element_id)
            if last is None or last.sha256 != sha256:
                revision = 1 if last is None else last.revision + 1
                last = Backup(element_id, revision, unit.now, sha256, cause, text)
                store.add_backup(unit.connection, last)
            store.note_backed_up(unit.connection, element_id, as_of)
        return BackupView(
            element_id=element_id,
            revision=last.revision,
            taken_at=last.taken_at,
            sha256=last.sha256,
            cause=last.cause,
        )

    def changed_since_backup(self) -> Sequence[ElementId]:
        with self._runtime.snapshot("configuration") as connection:
            return store.changed_since_backup(connection)

    def _opened(self, intent: Intent) -> Intent:
        if intent.fragment is None:
            return intent
        attributes = {
            name: unseal_text(self._box, value, str(intent.fragment.service_id))
            if name in rules.SECRET_ATTRIBUTES
            else value
            for name, value in intent.fragment.attributes.items()
        }
        return replace(intent, fragment=replace(intent.fragment, attributes=attributes))


def _context(element_id: ElementId) -> str:
    return f"element:{element_id}"
