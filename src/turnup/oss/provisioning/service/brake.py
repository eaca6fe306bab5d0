"""Use cases of the brake: admit an automatic change or hold it; release, refuse, withdraw what is held.

The scope's row is locked from the question to the end of the transaction, so that workers ask one after the
other and none counts past another. Nothing here changes a service.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from turnup.contracts.provisioning import (
    BrakeView,
    Cause,
    ChangeWasHeld,
    HoldDecided,
    HoldState,
    HoldView,
)
from turnup.contracts.unit import Unit
from turnup.kernel.actors import require_person, require_reason
from turnup.kernel.errors import Conflict, NotFound
from turnup.kernel.ids import HoldId, ServiceId, derived_id
from turnup.oss.provisioning import store
from turnup.oss.provisioning.model import Hold
from turnup.oss.provisioning.rules import brake as rules
from turnup.oss.provisioning.rules.brake import BrakeFacts, BrakePolicy, Decision, Known
from turnup.runtime import metrics
from turnup.runtime.component import Runtime

log = structlog.get_logger(__name__)

_KEPT = timedelta(days=31)
"""So long a request that passed is known again."""

PolicyAt = Callable[[datetime], BrakePolicy]


class Brake:
    """`policy_at`: the policy in force at an instant."""

    def __init__(self, runtime: Runtime, policy_at: PolicyAt) -> None:
        self._runtime = runtime
        self._policy_at = policy_at

    def admit(
        self,
        unit: Unit,
        service_ids: Sequence[ServiceId],
        what: str,
        cause: Cause,
        facts: Mapping[str, str] | None = None,
    ) -> bool:
        """May this change of these services, all of them, go on? Held or refused: no. Counts once per key."""
        if not service_ids:
            return True
        policy = self._policy_at(unit.now)
        latest = store.lock_brake(unit.connection)
        asked = self._facts(unit, service_ids, cause, policy)
        decision = rules.decide(asked, policy)
        if decision is Decision.PASS:
            at = rules.stamp(unit.now, latest)
            store.add_passes(unit.connection, cause.key, service_ids, at, released=False)
        elif decision is Decision.HOLD and asked.known is Known.NEW:
            self._hold(unit, service_ids, what, cause, facts or {}, asked.waiting)
        if asked.known is Known.NEW:
            metrics.brake_changes.labels(cause.kind.value, decision.value).inc()
        return decision is Decision.PASS

    def _facts(
        self, unit: Unit, service_ids: Sequence[ServiceId], cause: Cause, policy: BrakePolicy
    ) -> BrakeFacts:
        used = store.used_since(unit.connection, rules.window_start(unit.now))
        # a count of all services only where it decides
        scarce = used + len(service_ids) > policy.services_min
        return BrakeFacts(
            known=self._known(unit, service_ids, cause),
            asked=len(service_ids),
            used=used,
            waiting=store.count_waiting(unit.connection),
            services=store.count_services(unit.connection) if scarce else 0,
        )

    @staticmethod
    def _known(unit: Unit, service_ids: Sequence[ServiceId], cause: Cause) -> Known:
        if store.passed(unit.connection, cause.key) >= set(service_ids):
            return Known.PASSED
        hold = store.hold_by_request(unit.connection, cause.key)
        if hold is None:
            return Known.NEW
        return {HoldState.HELD: Known.HELD, HoldState.RELEASED: Known.PASSED}.get(hold.state, Known.REFUSED)

    @staticmethod
    def _hold(
        unit: Unit,
        service_ids: Sequence[ServiceId],
        what: str,
        cause: Cause,
        facts: Mapping[str, str],
        waiting: int,
    ) -> None:
        hold = Hold(
            id=HoldId(derived_id("brake_hold", cause.key)),
            cause=cause,
            actor=unit.actor,
            what=what,
            service_ids=tuple(sorted(service_ids)),
            facts=facts,
            held_at=unit.now,
        )
        store.add_hold(unit.connection, hold)
        log.error("brake_held", cause=cause.kind.value, what=what, services=len(service_ids))
        unit.emit(
            ChangeWasHeld(
                hold_id=hold.id,
                cause=cause.kind.value,
                what=what,
                services=len(service_ids),
                waiting=waiting + 1,
                at=unit.now,
            )
        )

    # --- what becomes of it -------------------------------------------------------------------------------

    def release(self, unit: Unit, hold_ids: Sequence[HoldId] | None, reason: str) -> Sequence[Hold]:
        """These (None: all) may go on, because a named person says so; those that waited, in their order."""
        require_person(unit.actor, "release what the brake holds")
        store.lock_brake(unit.connection)
        found = self._chosen(unit, hold_ids, HoldState.RELEASED)
        for hold in found:
            store.add_passes(unit.connection, hold.cause.key, hold.service_ids, unit.now, released=True)
            self._decide(unit, hold, HoldState.RELEASED, unit.actor, reason)
        return found

    def refuse(self, unit: Unit, hold_ids: Sequence[HoldId] | None, reason: str) -> Sequence[Hold]:
        """These (None: all) never happen, because a named person says so and why."""
        require_person(unit.actor, "refuse what the brake holds")
        require_reason(reason)
        store.lock_brake(unit.connection)
        found = self._chosen(unit, hold_ids, HoldState.REFUSED)
        for hold in found:
            self._decide(unit, hold, HoldState.REFUSED, unit.actor, reason)
        return found

    def withdraw(self, unit: Unit, key: str, reason: str) -> None:
        hold = store.hold_by_request(unit.connection, key)
        if hold is None or not store.waiting_holds(unit.connection, [hold.id]):
            return
        self._decide(unit, hold, HoldState.WITHDRAWN, unit.actor, reason)

    @staticmethod
    def _chosen(unit: Unit, hold_ids: Sequence[HoldId] | None, wanted: HoldState) -> list[Hold]:
        found = store.waiting_holds(unit.connection, hold_ids)
        missing = set(hold_ids or ()) - {hold.id for hold in found}
        for hold_id in sorted(missing):
            decided = store.hold(unit.connection, hold_id)
            if decided is None:
                raise NotFound(
                    f"the brake holds no {hold_id}", field="hold", remedy="list them: turnup brake list"
                )
            if decided.state is not wanted:
                raise Conflict(
                    f"hold {decided.n} was {decided.state} by {decided.decided_by}",
                    field="hold",
                    remedy="list what waits: turnup brake list",
                )
        return found

    @staticmethod
    def _decide(unit: Unit, hold: Hold, state: HoldState, by: str, reason: str) -> None:
        store.decide_hold(unit.connection, hold.id, state, by, unit.now, reason)
        unit.audit(f"brake.{state.value}", hold.id, before=HoldState.HELD.value, after=reason)
        unit.emit(HoldDecided(hold_id=hold.id, state=state, by=by, reason=reason, at=unit.now))

    # --- reads --------------------------------------------------------------------------------------------

    def view(self) -> BrakeView:
        now = self._runtime.clock.now()
        policy = self._policy_at(now)
        with self._runtime.snapshot("provisioning") as connection:
            services = store.count_services(connection)
            used = store.used_since(connection, rules.window_start(now))
            waiting, waiting_services, since = store.waiting_summary(connection)
        return BrakeView(
            limit=rules.limit(policy, services),
            used=used,
            services=services,
            services_min=policy.services_min,
            share_percent=str(policy.share_percent),
            waiting=waiting,
            waiting_services=waiting_services,
            waiting_since=since,
        )

    def holds(self, *, open_only: bool) -> Sequence[HoldView]:
        with self._runtime.snapshot("provisioning") as connection:
            return [hold.view() for hold in store.holds(connection, open_only=open_only)]

    def hold_of(self, key: str) -> HoldView | None:
        with self._runtime.snapshot("provisioning") as connection:
            found = store.hold_by_request(connection, key)
        return None if found is None else found.view()

    def tend(self, unit: Unit) -> None:
        """Show how much waits, and forget passes that are long over; called by the clock."""
        metrics.brake_waiting.set(store.count_waiting(unit.connection))
        store.forget_passes(unit.connection, unit.now - _KEPT)
