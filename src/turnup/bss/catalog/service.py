"""Use cases of the catalog: publish documents, read what is in force. Implements contracts.catalog."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from turnup.bss.catalog import store
from turnup.bss.catalog.model import PolicyDraft
from turnup.bss.catalog.rules import next_policy, next_version, read_catalog, read_policies
from turnup.contracts.catalog import OfferingView
from turnup.contracts.unit import Unit
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import OfferingId, PriceId
from turnup.runtime.component import Runtime

PolicyCheck = Callable[[Mapping[str, object], str], object]
"""(document, path): raises InvalidInput naming the path; whoever interprets a kind of policy gives it."""


class CatalogService:
    """See contracts.catalog.Reads and Commands."""

    def __init__(self, runtime: Runtime, policy_checks: Mapping[str, PolicyCheck] | None = None) -> None:
        self._runtime = runtime
        self._checks = dict(policy_checks or {})
        self._parsed: store.Parsed = {}

    def offering(self, offering_id: OfferingId) -> OfferingView | None:
        with self._snapshot() as connection:
            return store.offering(connection, self._parsed, offering_id)

    def offering_by_code(self, code: str, at: datetime) -> OfferingView | None:
        with self._snapshot() as connection:
            return store.offering_in_force(connection, self._parsed, code, at)

    def offerings(self, at: datetime | None = None) -> Sequence[OfferingView]:
        with self._snapshot() as connection:
            return store.offerings(connection, self._parsed, at)

    def offering_of_price(self, price_id: PriceId) -> OfferingView | None:
        """The version that a price belongs to."""
        with self._snapshot() as connection:
            found = store.offering_of_price(connection, price_id)
            return None if found is None else store.offering(connection, self._parsed, UUID(str(found)))

    def policy(self, kind: str, code: str, at: datetime) -> Mapping[str, object] | None:
        return self.policies(kind, at).get(code)

    def policies(self, kind: str, at: datetime) -> Mapping[str, Mapping[str, object]]:
        with self._snapshot() as connection:
            return store.policies(connection, kind, at)

    def publish(self, unit: Unit, document: Mapping[str, object]) -> Sequence[OfferingId]:
        """The ids of the versions now latest, one per offering of the document, unchanged ones included."""
        drafts = read_catalog(document)
        store.lock_publishing(unit.connection)
        published = []
        for draft in drafts:
            latest = store.latest_offering(unit.connection, draft.code)
            fresh = next_version(draft, latest, unit.now)
            if fresh is not None:
                store.add_offering(unit.connection, fresh, author=unit.actor, at=unit.now)
                unit.audit(
                    "catalog.publish",
                    fresh.id,
                    before=None if latest is None else {"code": latest.code, "version": latest.version},
                    after={
                        "code": fresh.code,
                        "version": fresh.version,
                        "valid_from": fresh.valid_from.isoformat(),
                    },
                )
            current = fresh or latest
            assert current is not None
            published.append(current.id)
        return published

    def publish_policies(self, unit: Unit, document: Mapping[str, object]) -> int:
        drafts = read_policies(document)
        for draft in drafts:
            self._check(draft)
        store.lock_publishing(unit.connection)
        changed = 0
        for draft in drafts:
            latest = store.latest_policy(unit.connection, draft.kind, draft.code)
            fresh = next_policy(draft, latest, unit.now, unit.actor)
            if fresh is not None:
                changed += 1
                store.add_policy(unit.connection, fresh, unit.now)
                unit.audit(
                    "catalog.publish_policy",
                    f"{draft.kind}.{draft.code}",
                    before=None if latest is None else latest.document,
                    after=fresh.document,
                )
        return changed

    def _check(self, draft: PolicyDraft) -> None:
        check = self._checks.get(draft.kind)
        path = f"policies.{draft.kind}.{draft.code}"
        if check is None:
            return
        try:
            check(draft.document, path)
        except InvalidInput:
            raise
        except (TypeError, ValueError, KeyError) as error:
            raise InvalidInput(
                f"does not make sense: {error}", field=path, remedy="see the example"
            ) from error

    @contextmanager
    def _snapshot(self) -> Iterator[Any]:
        with self._runtime.snapshot("catalog") as connection:
            yield connection
