"""A billing house for tests: real database, real use cases, catalog and crm as fakes that behave."""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, create_engine, text

from turnup.bss.billing.handlers import handlers
from turnup.bss.billing.service.billing import Billing
from turnup.bss.billing.service.runs import DRAFT_SHARD, NUMBER_RUN, POST_SHARD
from turnup.bss.billing.tables import DDL, metadata
from turnup.contracts.crm import AccountOpened, AccountView, CustomerView, Recipient
from turnup.contracts.orders import Charge, PriceAgreed
from turnup.contracts.provisioning import ServiceAccepted
from turnup.contracts.unit import Event
from turnup.kernel.clock import ManualClock
from turnup.kernel.ids import (
    AccountId,
    AddressId,
    BrandId,
    CustomerId,
    LegalEntityId,
    PartyId,
    ProductId,
    RunId,
    ServiceId,
    derived_id,
)
from turnup.runtime.component import Schema
from turnup.runtime.database import Database
from turnup.runtime.schema import install
from turnup.runtime.unit_of_work import UnitOfWork

POLICIES: Mapping[str, Mapping[str, Any]] = {
    "billing": {},
    "credit": {"standard": {"minimum_minutes": 60, "per": "hour", "share_percent": "5", "cap_percent": "50"}},
    "dunning": {
        "standard": {
            "minimum_open_minor": 100,
            "steps": [
                {"days_overdue": 7, "action": "remind"},
                {"days_overdue": 21, "action": "suspend", "minimum_minor": 1000},
            ],
        }
    },
    "tax": {"standard": {"rates": [{"class": "standard", "category": "standard", "percent": "19"}]}},
}


def install_billing(url: str) -> None:
    engine = create_engine(url)
    install(engine, url, [Schema(name="billing", metadata=metadata, ddl=DDL)])
    engine.dispose()


@dataclass
class FakeCatalog:
    """Policy documents by kind and code."""

    documents: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {kind: dict(docs) for kind, docs in POLICIES.items()}
    )

    def policies(self, kind: str, at: datetime) -> Mapping[str, Mapping[str, object]]:
        return self.documents[kind]


class FakeCrm:
    """One customer, the owner of every account, under the name a test may look for."""

    def account(self, account_id: AccountId) -> AccountView:
        return AccountView(
            id=account_id,
            number="A-1",
            customer_id=CustomerId(derived_id("customer", account_id)),
            currency="EUR",
            time_zone="Europe/Berlin",
            bill_cycle_day=1,
            tax_class="standard",
            dunning_policy="standard",
            legal_entity_id=ENTITY,
            brand_id=BRAND,
        )

    def customer(self, customer_id: CustomerId) -> CustomerView:
        return CustomerView(
            id=customer_id,
            number="C-1",
            party_id=PartyId(derived_id("party", customer_id)),
            name="Ada #Lovelace [*]",
            kind="individual",
            email=None,
            phone=None,
            language="en",
            status="active",
            legal_entity_id=ENTITY,
            brand_id=BRAND,
            address_id=AddressId(derived_id("address", customer_id)),
        )

    def recipient(self, customer_id: CustomerId) -> Recipient:
        name = self.customer(customer_id).name
        return Recipient(name=name, street="Hauptstr. 1", postcode="10115", city="Berlin", country="DE")

    def legal_entity_name(self, legal_entity_id: LegalEntityId) -> str:
        return "Example Net"

    def legal_entity(self, code: str) -> LegalEntityId | None:
        return ENTITY if code == "default" else None


ENTITY = LegalEntityId(derived_id("legal_entity", "default"))
BRAND = BrandId(derived_id("brand", "default"))


@dataclass
class House:
    """Billing alone, its durable work done inline in the order it was enqueued."""

    database: Database
    clock: ManualClock
    catalog: FakeCatalog
    billing: Billing
    queue: deque[tuple[str, tuple[str, ...]]] = field(default_factory=deque)
    started: set[str] = field(default_factory=set)

    @contextmanager
    def unit(self) -> Iterator[UnitOfWork]:
        with self.database.unit("billing", clock=self.clock, actor="test", enqueue=self._enqueue) as unit:
            yield unit

    def _enqueue(self, _: Connection, workflow: str, key: str, args: tuple[str, ...]) -> None:
        if key not in self.started:
            self.started.add(key)
            self.queue.append((workflow, args))

    def at(self, instant: str) -> "House":
        self.clock._now = datetime.fromisoformat(instant).replace(tzinfo=UTC)
        return self

    def work(self, *, only: str | None = None) -> None:
        """Do what is enqueued, or only one kind of it."""
        steps = {
            DRAFT_SHARD: self.billing.runs.draft,
            NUMBER_RUN: self.billing.runs.number,
            POST_SHARD: self.billing.runs.post,
        }
        while self.queue and (only is None or self.queue[0][0] == only):
            workflow, (run_id, *n) = self.queue.popleft()
            with self.unit() as unit:
                steps[workflow](unit, RunId(UUID(run_id)), *map(int, n))

    def tell(self, *events: Event) -> None:
        """Deliver events twice each: whatever arrives again changes nothing."""
        by_type = handlers(self.billing)
        for event in events:
            for _ in range(2):
                with self.unit() as unit:
                    by_type[type(event)](unit, event)

    def bill(self, day: date) -> RunId:
        with self.unit() as unit:
            run_id = self.billing.start_run(unit, day)
        self.work()
        return run_id

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        with self.database.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), parameters)]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Payloads of the events emitted so far, by type name."""
        found = self.rows(
            "SELECT payload FROM runtime.event WHERE type = :t ORDER BY event_id", t=f"billing.{kind}"
        )
        return [row[0] for row in found]


@dataclass(frozen=True)
class Customer:
    """Ids of a made-up customer with one product on one service."""

    name: str

    @property
    def account(self) -> AccountId:
        return AccountId(derived_id("account", self.name))

    @property
    def service(self) -> ServiceId:
        return ServiceId(derived_id("service", self.name))

    @property
    def product(self) -> ProductId:
        return ProductId(derived_id("product", self.name))

    def opened(self, opened_on: date, **changes: Any) -> AccountOpened:
        values: dict[str, Any] = {
            "account_id": self.account,
            "customer_id": CustomerId(derived_id("customer", self.name)),
            "number": f"A-{self.name}",
            "currency": "EUR",
            "time_zone": "Europe/Berlin",
            "bill_cycle_day": 1,
            "tax_class": "standard",
            "dunning_policy": "standard",
            "legal_entity_id": ENTITY,
            "brand_id": BRAND,
            "opened_on": opened_on,
        }
        return AccountOpened(**{**values, **changes})

    def agreed(
        self, *charges: Charge, revision: int = 1, at: str | None = None, **changes: Any
    ) -> PriceAgreed:
        values: dict[str, Any] = {
            "product_id": self.product,
            "service_id": self.service,
            "account_id": self.account,
            "offering_code": "fibre",
            "offering_name": "Fibre",
            "charges": charges,
            "billing_start": "acceptance",
            "credit_policy": "standard",
            "effective_at": instant(at) if at else None,
            "revision": revision,
        }
        return PriceAgreed(**{**values, **changes})

    def happened(self, event: type[Any], at: str, **more: Any) -> Any:
        return event(
            service_id=self.service, product_id=self.product, account_id=self.account, at=instant(at), **more
        )

    def accepted(self, at: str) -> ServiceAccepted:
        return ServiceAccepted(
            service_id=self.service, product_id=self.product, account_id=self.account, at=instant(at)
        )


def instant(text_: str) -> datetime:
    return datetime.fromisoformat(text_).replace(tzinfo=UTC)


def charge(code: str, amount: str, kind: str = "recurring", **changes: Any) -> Charge:
    """A charge in EUR; `amount` in major units."""
    values: dict[str, Any] = {
        "code": code,
        "name": code.replace("_", " ").capitalize(),
        "kind": kind,
        "amount_micro": int(Decimal(amount) * 10**8),
        "currency": "EUR",
        "tax_category": "standard",
        "period_months": 1 if kind == "recurring" else None,
        "in_advance": False,
        "unit": "GB" if kind == "usage" else None,
        "included_micro": 0,
    }
    return Charge(**{**values, **changes})
