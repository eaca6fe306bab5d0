"""A dunning policy with a slip in it would suspend 300 of 1,000 customers: 25 go through, a person decides.

Real billing, orders, inventory and provisioning on one database; the network and the catalog are fakes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from builders.house import attach_workflows, client_of, deliver_events, lay_out, runtime_on
from orders.conftest import SPEC, Catalog, Network
from orders.test_order_saga import DirectRun
from turnup.bss.billing import component as billing_component
from turnup.bss.billing.service.billing import Billing
from turnup.bss.orders import component as orders_component
from turnup.bss.orders.service import FULFIL, UNDO, Orders
from turnup.contracts.configuration import FreezeScope, FreezeView, Frozen
from turnup.contracts.inventory import Reservation
from turnup.contracts.orders import AdoptedProduct, OrderState, ProductStatus
from turnup.contracts.provisioning import Admission, HoldState, ServiceRequest
from turnup.kernel.ids import (
    AccountId,
    BrandId,
    CustomerId,
    ElementId,
    FreezeId,
    LegalEntityId,
    ProductId,
    ServiceId,
    derived_id,
    new_id,
)
from turnup.oss.inventory import component as inventory_component
from turnup.oss.provisioning import component as provisioning_component
from turnup.oss.provisioning.routes import dangerous
from turnup.oss.provisioning.routes import routers as provisioning_routers
from turnup.oss.provisioning.service import Provisioning
from turnup.runtime.component import Component, Runtime

CUSTOMERS, LATE, LIMIT = 1000, 300, 25
FEW = 30
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
TODAY = date(2026, 3, 2)
ENTITY, BRAND = LegalEntityId(derived_id("entity")), BrandId(derived_id("brand"))
WRONG = {"standard": {"steps": [{"days_overdue": 1, "action": "suspend"}]}}
"""Somebody meant 21 days, and a reminder first."""


def account(n: int) -> AccountId:
    return AccountId(derived_id("account", n))


def service(n: int) -> ServiceId:
    return ServiceId(derived_id("service", n))


class Policies(Catalog):
    """catalog.Reads with policies."""

    def policies(self, kind: str, at: datetime) -> Mapping[str, Mapping[str, object]]:
        return WRONG if kind == "dunning" else {}


class Everybody:
    """crm.Reads: every account there is."""

    def account(self, account_id: AccountId) -> Any:
        customer = CustomerId(derived_id("customer", account_id))
        return SimpleNamespace(
            id=account_id, customer_id=customer, legal_entity_id=ENTITY, brand_id=BRAND
        )  # fmt: skip

    def customer(self, customer_id: CustomerId) -> Any:
        return SimpleNamespace(status="active")

    def address(self, address_id: object) -> None:
        return None


class Freezes:
    """configuration.Freezes, as far as billing asks."""

    freeze: FreezeView | None = None

    def everything_frozen(self) -> FreezeView | None:
        return self.freeze


@dataclass
class Isp:
    runtime: Runtime
    components: list[Component]
    orders: Orders
    billing: Billing
    provisioning: Provisioning
    network: Network
    freezes: Freezes

    def forgive(self, *, all_but: int) -> None:
        """Fewer are late: for what a few can show as well."""
        settled = [account(n) for n in range(all_but, LATE)]
        with self.runtime.database.engine.begin() as connection:
            connection.execute(
                text("UPDATE billing.invoice SET open_minor = 0 WHERE account_id = ANY(:settled)"),
                {"settled": settled},
            )

    def dun(self) -> int:
        with self.runtime.unit("billing", "tick:dunning") as unit:
            steps = self.billing.dunning_tick(unit, TODAY)
        self.work()
        return steps

    def pay(self, n: int) -> None:
        with self.runtime.unit("billing", "cli:anna") as unit:
            self.billing.pay(unit, account(n), 4_000, "EUR", f"bank {n}", TODAY)
        self.work()

    def decide(self, do: Callable[..., int], *args: Any) -> int:
        with self.runtime.unit("provisioning", "cli:anna") as unit:
            decided = do(unit, *args)
        self.work()
        return decided

    def work(self) -> None:
        """Events are delivered, ticks tick and workflows run until nothing moves."""
        while deliver_events(self.runtime, self.components) + self._tick() + self._run():
            pass

    def _tick(self) -> int:
        before = len(self._running())
        for component in self.components:
            for tick in component.ticks:
                if tick.name == "orders.resume_parked":
                    tick.run()
        return len(self._running()) - before

    def _run(self) -> int:
        known = {w.name: w.function for component in self.components for w in component.workflows}
        running = self._running()
        for order_id in running:
            order = self.orders.loaded(order_id)
            undoing = order.state is OrderState.PENDING_CANCELLATION
            run: Any = DirectRun(self.runtime)
            known[UNDO if undoing else FULFIL](run, str(order_id), str(order.attempt))
        return len(running)

    def _running(self) -> list[Any]:
        with self.runtime.database.engine.connect() as connection:
            return list(
                connection.scalars(
                    text("SELECT order_id FROM orders.product_order WHERE running ORDER BY created_at")
                )
            )

    def walled(self) -> set[ServiceId]:
        return {s.id for s in self.provisioning.services() if s.admission is Admission.WALLED}

    def suspended(self) -> int:
        return sum(p.status is ProductStatus.SUSPENDED for p in self.orders.products())

    def states(self) -> dict[str, int]:
        with self.runtime.database.engine.connect() as connection:
            rows = connection.execute(text("SELECT state, count(*) FROM orders.product_order GROUP BY 1"))
            return {row[0]: row[1] for row in rows}


@pytest.fixture(scope="session")
def wrong_policy_template(make_template: Callable[..., str]) -> str:
    parts = (orders_component, inventory_component, provisioning_component, billing_component)
    return make_template("wrong_policy", lambda url: _populated(url, [part.SCHEMA for part in parts]))


@pytest.fixture(scope="session")
def database_template(wrong_policy_template: str) -> str:
    return wrong_policy_template


@pytest.fixture
def isp(database_url: str) -> Iterator[Isp]:
    with runtime_on(database_url) as runtime:
        yield _wired(runtime)


def _wired(runtime: Runtime) -> Isp:
    crm: Any = Everybody()
    offers: Any = Policies()
    freezes = Freezes()
    inventory = inventory_component.build(runtime, crm).service
    provisioning = provisioning_component.build_service(runtime, lambda secret, context: "sealed")
    network: Any = Network(runtime, provisioning)
    orders = orders_component.build(
        runtime, customers=crm, offers=offers, network=inventory, network_reads=inventory,
        services=provisioning, services_reads=provisioning, realiser=network,
    )  # fmt: skip
    billing = billing_component.build(runtime, catalog_reads=offers, crm_reads=crm, freezes=freezes)  # type: ignore[arg-type]
    part = Component(
        name="provisioning",
        service=provisioning,
        routers=provisioning_routers(provisioning, runtime),
        dangerous=dangerous(provisioning),
    )
    components = [orders, part, Component(name="billing", service=billing.service)]
    attach_workflows(runtime, components)
    return Isp(runtime, components, orders.service, billing.service, provisioning, network, freezes)


def _populated(url: str, schemas: Any) -> None:
    lay_out(url, schemas)
    with runtime_on(url) as runtime:
        isp = _wired(runtime)
        with runtime.unit("provisioning", "cli:anna") as unit:
            for n in range(CUSTOMERS):
                isp.provisioning.adopt(unit, _request(n), _reservation(n), LONG_AGO)
        with runtime.unit("orders", "cli:anna") as unit:
            for n in range(CUSTOMERS):
                isp.orders.adopt(unit, _sold(n))
        with runtime.database.engine.begin() as connection:
            rows = [{"n": f"A-{n}", "id": account(n), "entity": ENTITY, "brand": BRAND, "late": n < LATE,
                     "invoice": new_id()} for n in range(CUSTOMERS)]  # fmt: skip
            connection.execute(text(_ACCOUNT), rows)
            connection.execute(text(_INVOICE), [row for row in rows if row["late"]])


def _request(n: int) -> ServiceRequest:
    return ServiceRequest(
        service_id=service(n), product_id=ProductId(derived_id("product", n)),
        customer_id=CustomerId(derived_id("customer", account(n))), account_id=account(n), address_id=None,
        spec=SPEC, characteristics={"down_kbps": "100000"}, login=f"s{n}",
    )  # fmt: skip


def _reservation(n: int) -> Reservation:
    elements = {role: ElementId(derived_id("element", role)) for role in ("access", "bng", "aaa")}
    resources = {"access_port": f"olt1/{n}", "vlan": "7", "ipv4": "192.0.2.7"}
    return Reservation(service_id=service(n), resources=resources, elements=elements, status="assigned")


def _sold(n: int) -> AdoptedProduct:
    return AdoptedProduct(
        account_id=account(n), address_id=None, offering="fibre-100", characteristics={},
        service_id=service(n), product_id=ProductId(derived_id("product", n)), started_at=LONG_AGO,
    )  # fmt: skip


_ACCOUNT = """
    INSERT INTO billing.account (id, number, customer_id, legal_entity_id, brand_id, currency, zone,
        cycle_day, tax_class, dunning_policy, billed_through, next_bill_date)
    VALUES (:id, :n, :id, :entity, :brand, 'EUR', 'UTC',
        1, 'standard', 'standard', '2026-02-28', '2026-03-31')
"""
_INVOICE = """
    INSERT INTO billing.invoice (id, number, account_id, kind, revision, legal_entity_id, brand_id,
        period_from, period_to, invoice_date, due_date, currency, tax_class, net_minor, tax_minor,
        total_minor, open_minor,
        posted_month)
    VALUES (:invoice, :n, :id, 'bill', 0, :entity, :brand, '2026-01-01', '2026-01-31', '2026-02-01',
        '2026-02-15', 'EUR', 'standard', 4000, 0, 4000, 4000, '2026-02-01')
"""


@pytest.mark.slow
def test_twenty_five_go_through_a_person_refuses_the_rest_and_nobody_else_is_suspended(isp: Isp) -> None:
    assert isp.dun() == LATE
    assert (len(isp.walled()), isp.suspended()) == (LIMIT, LIMIT)
    assert isp.states() == {"completed": LIMIT, "pending": LATE - LIMIT}
    held = isp.provisioning.holds()
    assert len(held) == LATE - LIMIT
    assert {(hold.what, hold.cause.kind.value) for hold in held} == {("suspend", "dunning")}

    before = isp.walled()
    assert isp.dun() == 0
    assert isp.decide(isp.provisioning.refuse_holds, None, "the policy says 1 day, it should say 21") == 275
    assert isp.dun() == 0
    assert isp.walled() == before
    assert isp.states() == {"completed": LIMIT, "cancelled": LATE - LIMIT}
    assert isp.provisioning.holds() == []
    assert isp.network.holds.keys() == before, "nothing of the others was ever written"


def test_who_pays_is_not_suspended_when_the_rest_is_released(isp: Isp) -> None:
    isp.forgive(all_but=FEW)
    isp.dun()
    [first, *_] = isp.provisioning.holds()
    [hers] = first.service_ids
    n = next(n for n in range(FEW) if service(n) == hers)
    isp.pay(n)
    found = isp.provisioning.hold_of(first.cause.key)
    assert found is not None
    assert found.state is HoldState.WITHDRAWN
    assert isp.decide(isp.provisioning.release_holds, None, "they were told by post") == FEW - LIMIT - 1
    assert isp.suspended() == FEW - 1
    assert hers not in isp.walled()
    assert isp.states() == {"completed": FEW - 1, "cancelled": 1}


def test_who_pays_after_the_suspension_is_back_although_the_brake_holds_others(isp: Isp) -> None:
    isp.forgive(all_but=FEW)
    isp.dun()
    hers = sorted(isp.walled())[0]
    isp.pay(next(n for n in range(FEW) if service(n) == hers))
    assert hers not in isp.walled()
    assert len(isp.provisioning.holds()) == FEW - LIMIT


def test_the_same_by_http_with_a_name_and_a_reason(isp: Isp) -> None:
    isp.forgive(all_but=FEW)
    isp.dun()
    http = client_of(isp.runtime, isp.components, scopes=["brake:write"])
    brake = http.get("/turnup/v1/brake").json()
    assert (brake["limit"], brake["used"], brake["waiting"]) == (LIMIT, LIMIT, FEW - LIMIT)
    first, second, *_ = http.get("/turnup/v1/brake/holds").json()
    assert http.post(f"/turnup/v1/brake/holds/{first['id']}/release", json={"reason": "ok"}).json() == {
        "decided": 1
    }
    refused = http.post(f"/turnup/v1/brake/holds/{second['id']}/refuse", json={"reason": ""})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
    rest = http.post("/turnup/v1/brake/refuse", json={"reason": "wrong policy"})
    assert rest.json() == {"decided": FEW - LIMIT - 1}
    isp.work()
    assert isp.suspended() == LIMIT + 1
    decided = {h["id"]: h for h in http.get("/turnup/v1/brake/holds", params={"all": True}).json()}
    assert decided[first["id"]]["decidedBy"].startswith("token:test brake:write")
    reader = client_of(isp.runtime, isp.components, scopes=["brake:read"])
    assert reader.post("/turnup/v1/brake/release", json={"reason": "x"}).status_code == 403


def test_dunning_pauses_while_everything_is_frozen_and_the_brake_meets_its_backlog(isp: Isp) -> None:
    isp.forgive(all_but=FEW)
    isp.freezes.freeze = FreezeView(
        id=FreezeId(new_id()), scope=FreezeScope.ALL, code=None, reason="fire in the core",
        frozen_by="cli:anna", frozen_at=isp.runtime.clock.now(),
    )  # fmt: skip
    with pytest.raises(Frozen, match="cli:anna, fire in the core"):
        isp.dun()
    assert isp.states() == {}
    isp.freezes.freeze = None
    assert isp.dun() == FEW
    assert len(isp.walled()) == LIMIT


def test_a_long_freeze_of_an_element_saves_nothing_up(isp: Isp) -> None:
    """What dunning wants meanwhile asks the brake after the lift, not before."""
    isp.forgive(all_but=FEW)
    isp.network.is_frozen = True
    isp.dun()
    assert (isp.states(), isp.provisioning.brake().used) == ({"pending": FEW}, 0)
    isp.network.is_frozen = False
    isp.work()
    assert (len(isp.walled()), len(isp.provisioning.holds())) == (LIMIT, FEW - LIMIT)
