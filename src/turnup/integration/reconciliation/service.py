"""Use cases of reconciliation: keep the findings of a comparison, close what is gone, dismiss, list."""

from collections.abc import Collection, Sequence, Set
from uuid import UUID

from turnup.contracts.reconciliation import FindingView
from turnup.contracts.unit import Unit
from turnup.integration.reconciliation import store
from turnup.integration.reconciliation.model import Comparison, Mismatch
from turnup.kernel.errors import InvalidInput, NotFound
from turnup.kernel.ids import FindingId
from turnup.runtime.component import Runtime

_BY_ELEMENTS = frozenset({"configured_not_sold", "stray_fragment"})
"""Found on any element that cares to hold it: gone only when all of them were asked."""


class Reconciliation:
    """Implements contracts.reconciliation Reads and Commands."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def keep(self, unit: Unit, comparison: Comparison, mismatches: Sequence[Mismatch]) -> Sequence[FindingId]:
        """Open a finding for each mismatch that has none, close the open ones whose mismatch is gone. What
        was in flight or unreachable this time stays as it is. Returns the findings of these mismatches that
        are not dismissed."""
        present = {found.key for found in mismatches}
        seen_before = {found.key for found in comparison.mismatches}
        gone = [
            finding_id
            for key, finding_id in store.open_keys(unit.connection).items()
            if key not in present | seen_before and _comparable(key, comparison)
        ]
        store.close(unit.connection, gone, unit.now, "elsewhere")
        store.keep(unit.connection, mismatches, unit.now)
        ids = store.open_keys(unit.connection)
        dismissed = store.dismissed_keys(unit.connection)
        return [ids[found.key] for found in mismatches if found.key not in dismissed]

    def close(self, unit: Unit, keys: Collection[tuple[str, UUID, str]]) -> int:
        """These were repaired and are gone; returns how many were open until now."""
        known = store.open_keys(unit.connection)
        repaired = [known[key] for key in keys if key in known]
        store.close(unit.connection, repaired, unit.now, "reconciliation")
        return len(repaired)

    def dismiss(self, unit: Unit, finding_id: FindingId, reason: str) -> None:
        """It stays as it is, for a reason: silent, and not repaired, until the mismatch is gone."""
        if not reason.strip():
            raise InvalidInput("a dismissal needs a reason", field="reason", remedy="say why it may stay so")
        if not store.dismiss(unit.connection, finding_id, unit.now, unit.actor, reason):
            raise NotFound(
                f"there is no open finding {finding_id}",
                field="finding",
                remedy="GET /turnup/v1/reconciliation/findings lists them",
            )
        unit.audit("reconciliation.dismissed", finding_id, after=reason)

    # --- reads --------------------------------------------------------------------------------------------

    def findings(self, *, open_only: bool = True) -> Sequence[FindingView]:
        with self._runtime.snapshot("reconciliation") as connection:
            return store.views(connection, open_only=open_only)

    def finding(self, finding_id: FindingId) -> FindingView | None:
        found = self.findings_by_id([finding_id])
        return found[0] if found else None

    def findings_by_id(self, ids: Sequence[FindingId]) -> Sequence[FindingView]:
        with self._runtime.snapshot("reconciliation") as connection:
            return store.views(connection, open_only=False, ids=ids)

    def dismissed(self) -> Set[tuple[str, UUID, str]]:
        with self._runtime.snapshot("reconciliation") as connection:
            return store.dismissed_keys(connection)


def _comparable(key: tuple[str, UUID, str], comparison: Comparison) -> bool:
    kind, service_id, element = key
    if service_id in comparison.in_flight or element in comparison.unreachable:
        return False
    return not (comparison.unreachable and kind in _BY_ELEMENTS)
