"""Use cases of mediation: the crosswalk, what was applied, the quarantine."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from turnup.contracts.mediation import Quarantined
from turnup.contracts.unit import Unit
from turnup.integration.mediation.store import crosswalk as store
from turnup.kernel.errors import Conflict
from turnup.runtime.component import Runtime


class Mediation:
    """Implements contracts.mediation Reads and Commands."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def link(self, unit: Unit, system: str, kind: str, external_id: str, internal_id: UUID) -> None:
        if store.add_link(unit.connection, system, kind, external_id, internal_id):
            unit.audit("mediation.linked", internal_id, after={"system": system, "kind": kind})
        known = store.internal_id(unit.connection, system, kind, external_id)
        if known != internal_id:
            raise Conflict(
                f"{system} {kind} {external_id} is already linked to {known}",
                field="external_id",
                remedy="correct the id in the file, or unlink the old one",
            )

    def note_applied(self, unit: Unit, system: str, kind: str, hashes: Sequence[tuple[str, str]]) -> None:
        store.add_applied(unit.connection, system, kind, hashes, unit.now)

    def note_taken_over(
        self, unit: Unit, system: str, external_id: str, service_id: UUID, monthly_net_minor: int | None
    ) -> None:
        store.add_taken_over(unit.connection, system, external_id, service_id, monthly_net_minor, unit.now)

    def taken_over(self, system: str) -> Sequence[tuple[str, UUID, int | None]]:
        """(external id, service, what the former system charged per month, net) of its running services."""
        with self._runtime.snapshot("mediation") as connection:
            return store.taken_over(connection, system)

    def keep_quarantine(self, unit: Unit, source: str, system: str, records: Sequence[Quarantined]) -> None:
        store.replace_quarantine(unit.connection, source, system, records, unit.now)

    def internal_id(self, system: str, kind: str, external_id: str) -> UUID | None:
        with self._runtime.snapshot("mediation") as connection:
            return store.internal_id(connection, system, kind, external_id)

    def external_ids(self, kind: str, internal_id: UUID) -> Sequence[tuple[str, str]]:
        with self._runtime.snapshot("mediation") as connection:
            return store.external_ids(connection, kind, internal_id)

    def applied_hashes(self, system: str, kind: str) -> Mapping[str, str]:
        with self._runtime.snapshot("mediation") as connection:
            return store.applied_hashes(connection, system, kind)

    def quarantine(self) -> Sequence[Quarantined]:
        with self._runtime.snapshot("mediation") as connection:
            return store.quarantined(connection)
