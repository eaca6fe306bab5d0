"""Use cases of orders: submit, cancel, complete, fall out and be resolved; tasks; products sold."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from turnup.bss.orders import rules, store
from turnup.bss.orders.model import TERMINAL, Item, Order, Parked, ParkedFor, Product
from turnup.contracts import catalog, crm, inventory
from turnup.contracts.orders import (
    AdoptedProduct,
    CancellationView,
    FalloutChoice,
    FalloutView,
    ItemAction,
    NewOrder,
    NewOrderItem,
    OrderState,
    OrderStateChanged,
    OrderView,
    PriceAgreed,
    ProductStatus,
    ProductView,
    RunningPromotion,
    StepView,
    TaskView,
)
from turnup.contracts.unit import Unit
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.kernel.ids import (
    AccountId,
    CancellationId,
    OrderId,
    OrderItemId,
    ProductId,
    ServiceId,
    TaskId,
    derived_id,
    new_id,
)
from turnup.runtime.component import Runtime
from turnup.runtime.rows import Rows, Wanted

FULFIL = "orders.fulfil"
UNDO = "orders.undo"


class Orders:
    """Implements contracts.orders Reads and Commands."""

    def __init__(
        self, runtime: Runtime, customers: crm.Reads, offers: catalog.Reads, network: inventory.Reads
    ) -> None:
        self._runtime = runtime
        self._customers = customers
        self._offers = offers
        self._network = network

    # --- submitting ---------------------------------------------------------------------------------------

    def submit(self, unit: Unit, new: NewOrder) -> OrderId:
        digest = rules.content_hash(new)
        if new.idempotency_key is not None:
            known = store.by_idempotency_key(unit.connection, new.idempotency_key)
            if known is not None:
                return self._same_order(known, digest)
        account = self._customers.account(new.account_id)
        if account is None:
            raise InvalidInput(
                f"no billing account {new.account_id}",
                field="billingAccount.id",
                remedy="create the customer first; the id is in the answer",
            )
        self._refuse_closed(account, new)
        if not new.items:
            raise InvalidInput("an order has at least one item", field="productOrderItem")
        order_id = OrderId(new_id())
        later = new.requested_start is not None and new.requested_start > unit.now
        items = tuple(self._item(unit, new, n, item) for n, item in enumerate(new.items))
        order = Order(
            id=order_id,
            number=store.next_number(unit.connection),
            state=OrderState.ACKNOWLEDGED if later else OrderState.IN_PROGRESS,
            customer_id=account.customer_id,
            account_id=account.id,
            address_id=new.address_id,
            site=new.site,
            requested_start=new.requested_start,
            reason=new.reason,
            origin=new.origin,
            attempt=0 if later else 1,
            running=not later,
            cancel_requested=False,
            skipped=(),
            created_at=unit.now,
            completed_at=None,
            error=None,
            items=items,
        )
        order = replace(order, items=tuple(replace(item, state=order.state) for item in items))
        store.add_order(
            unit.connection,
            order,
            legal_entity_id=account.legal_entity_id,
            brand_id=account.brand_id,
            external_id=new.external_id,
            idempotency_key=new.idempotency_key,
            content_hash=digest,
        )
        self._add_tasks(unit, order)
        asked = {"number": order.number, "items": [f"{i.action.value} {i.offering_code}" for i in items]}
        unit.audit("orders.submitted", order_id, after=asked)
        self._changed(unit, order)
        if not later:
            self._start(unit, order)
        return order_id

    def _refuse_closed(self, account: crm.AccountView, new: NewOrder) -> None:
        """Whoever is closed (erased, too) gets nothing new; what is left there may still be ceased."""
        customer = self._customers.customer(account.customer_id)
        closed = customer is None or customer.status == "closed"
        if closed and not all(item.action is ItemAction.DELETE for item in new.items):
            raise Conflict(
                f"the customer of account {account.number} is closed: only what is left can be ceased",
                field="billingAccount.id",
                remedy="open a new customer and order for that account",
            )

    def _same_order(self, known: tuple[OrderId, str], digest: str) -> OrderId:
        if known[1] != digest:
            raise Conflict(
                "this idempotency key was used for another order",
                field="Idempotency-Key",
                remedy="use a new key for a new order",
            )
        return known[0]

    def _item(self, unit: Unit, new: NewOrder, n: int, item: NewOrderItem) -> Item:
        path = f"productOrderItem[{n}]"
        rules.check_item(item, path)
        if item.action is ItemAction.ADD:
            return self._added(unit, new, n, item, path)
        assert item.product_id is not None  # check_item has seen to it
        product = store.load_product(unit.connection, item.product_id, lock=True)
        if product is None or product.account_id != new.account_id:
            raise InvalidInput(
                "this account has no such product",
                field=f"{path}.product.id",
                remedy="list the account's products with GET /product",
            )
        if item.action is not ItemAction.NO_CHANGE:
            rules.check_product(product, item, path)
            self._refuse_second_order(unit, product, path)
        offering = self._offering(unit, item.offering or product.offering_code, path, product)
        characteristics: Mapping[str, str] = product.characteristics
        if item.action is ItemAction.MODIFY and item.target_status is None:
            characteristics = rules.settle(
                offering, item.characteristics, product.characteristics, f"{path}.productCharacteristic"
            )
        held = self._network.reservation(product.service_id)
        before = rules.snapshot(product, held.resources if held else {})
        return self._new_item(n, item, product.id, product.service_id, offering, characteristics, before)

    def _added(self, unit: Unit, new: NewOrder, n: int, item: NewOrderItem, path: str) -> Item:
        offering = self._offering(unit, item.offering or "", path, None)
        characteristics = rules.settle(offering, item.characteristics, {}, f"{path}.productCharacteristic")
        if new.site is None and new.address_id is not None:
            address = self._customers.address(new.address_id)
            if address is None:
                raise InvalidInput("no such address", field="address", remedy="use the customer's address id")
            if address.latitude is not None and self._network.serviceable(new.address_id) is None:
                raise InvalidInput(
                    "no site of the network reaches this address",
                    field="address",
                    remedy="check the coordinates, or the site's reach_km in the network document",
                )
        product_id, service_id = ProductId(new_id()), ServiceId(new_id())
        account = self._customers.account(new.account_id)
        assert account is not None
        product = Product(
            id=product_id,
            service_id=service_id,
            customer_id=account.customer_id,
            account_id=new.account_id,
            address_id=new.address_id,
            site=new.site,
            offering_id=offering.id,
            offering_code=offering.code,
            name=offering.name,
            status=ProductStatus.PENDING_ACTIVE,
            characteristics=characteristics,
            start=None,
            end=None,
            revision=0,
        )
        store.save_product(unit.connection, product)
        return self._new_item(n, item, product_id, service_id, offering, characteristics, None)

    @staticmethod
    def _new_item(
        n: int,
        item: NewOrderItem,
        product_id: ProductId,
        service_id: ServiceId,
        offering: catalog.OfferingView,
        characteristics: Mapping[str, str],
        before: Mapping[str, object] | None,
    ) -> Item:
        return Item(
            id=OrderItemId(new_id()),
            n=n,
            action=item.action,
            product_id=product_id,
            service_id=service_id,
            offering_id=offering.id,
            offering_code=offering.code,
            characteristics=characteristics,
            target_status=item.target_status,
            state=OrderState.ACKNOWLEDGED,
            before=before,
        )

    def _offering(self, unit: Unit, code: str, path: str, product: Product | None) -> catalog.OfferingView:
        if product is not None and code == product.offering_code:
            kept = self._offers.offering(product.offering_id)
            if kept is not None:
                return kept
        offering = self._offers.offering_by_code(code, unit.now)
        if offering is None or offering.status != "active":
            sold = sorted(o.code for o in self._offers.offerings(unit.now) if o.status == "active")
            raise InvalidInput(
                f"{code!r} is not on sale",
                field=f"{path}.productOffering.id",
                remedy=f"choose from: {', '.join(sold)}",
            )
        return offering

    def _refuse_second_order(self, unit: Unit, product: Product, path: str) -> None:
        number = store.open_order_of(unit.connection, product.id)
        if number is not None:
            raise Conflict(
                f"order {number} is still at work on this product",
                field=f"{path}.product.id",
                remedy="wait for it, or cancel it",
            )

    def _add_tasks(self, unit: Unit, order: Order) -> None:
        for item in order.items:
            offering = self._offers.offering(item.offering_id)
            for task in rules.tasks_of(offering, item.action) if offering else ():
                task_id = TaskId(derived_id("task", item.id, task.code))
                store.add_task(unit.connection, task_id, order.id, item.id, task.code, task.name, task.blocks)

    # --- moving on ----------------------------------------------------------------------------------------

    def release_due(self, unit: Unit) -> int:
        """Start the orders whose date has come; called by the clock."""
        due = store.due_orders(unit.connection, unit.now, limit=100)
        for order_id in due:
            self._restart(unit, self._locked(unit, order_id))
        return len(due)

    def complete(self, unit: Unit, order_id: OrderId, attempt: int, steps: Sequence[StepView]) -> OrderState:
        """All steps are done: the products take their new form and the prices are agreed. Returns the state
        reached: completed, pending (a person must finish a task first) or pendingCancellation (somebody
        cancelled meanwhile: the caller undoes)."""
        order = self._locked(unit, order_id)
        if order.state in TERMINAL or order.attempt != attempt:
            return order.state
        store.add_steps(unit.connection, order_id, attempt, steps)
        if order.cancel_requested:
            order = replace(order, state=rules.move(order.state, OrderState.PENDING_CANCELLATION))
            store.save_order(unit.connection, order)
            return order.state
        if store.tasks(unit.connection, order_id=order_id, open_only=True):
            return self._wait(unit, order)
        for item in order.items:
            self._fulfilled(unit, order, item)
        order = replace(
            order,
            state=rules.move(order.state, OrderState.COMPLETED),
            running=False,
            completed_at=unit.now,
            error=None,
        )
        store.save_order(unit.connection, order)
        self._changed(unit, order)
        return order.state

    def wait_for_tasks(self, unit: Unit, order_id: OrderId, attempt: int, steps: Sequence[StepView]) -> bool:
        """Stop here if a task must be done before the network is touched; True if so."""
        order = self._locked(unit, order_id)
        waiting = store.tasks(unit.connection, order_id=order_id, open_only=True)
        if order.attempt != attempt or not any(task.blocks == "activation" for task in waiting):
            return False
        store.add_steps(unit.connection, order_id, attempt, steps)
        self._wait(unit, order)
        return True

    def _wait(self, unit: Unit, order: Order) -> OrderState:
        order = replace(order, state=rules.move(order.state, OrderState.PENDING), running=False)
        store.save_order(unit.connection, order)
        self._changed(unit, order)
        return order.state

    def park(
        self,
        unit: Unit,
        order_id: OrderId,
        attempt: int,
        why: ParkedFor,
        detail: str,
        steps: Sequence[StepView],
    ) -> None:
        """The order waits, visibly, and goes on by itself: no person has to touch it."""
        order = self._locked(unit, order_id)
        if order.state in TERMINAL or order.attempt != attempt:
            return
        store.add_steps(unit.connection, order_id, attempt, steps)
        waits = Parked(order_id=order_id, attempt=attempt, why=why, detail=detail, since=unit.now)
        store.park(unit.connection, waits)
        undoing = order.state is OrderState.PENDING_CANCELLATION
        state = order.state if undoing else rules.move(order.state, OrderState.PENDING)
        order = replace(order, state=state, running=False, error=detail)
        if order.cancel_requested and not undoing:  # cancelled while it was on its way here
            self._start_undo(unit, order)
            return
        store.save_order(unit.connection, order)
        self._changed(unit, order)

    def resume(self, unit: Unit, parked: Parked) -> None:
        """What it waited for is over: on with it, once per wait."""
        order = self._locked(unit, parked.order_id)
        if order.running or order.attempt != parked.attempt:
            return
        if order.state is OrderState.PENDING_CANCELLATION:
            self._start_undo(unit, order)
        else:
            self._restart(unit, order)

    def call_off(self, unit: Unit, account_id: AccountId, reason: str) -> None:
        """Cancel what dunning ordered for this account and is not over: she has paid."""
        for order_id in store.open_orders_of(unit.connection, account_id, "dunning"):
            order = self._locked(unit, order_id)
            suspends = any(item.target_status is ProductStatus.SUSPENDED for item in order.items)
            if suspends and order.state not in TERMINAL:
                self.cancel(unit, order_id, reason)

    def fall_out(
        self,
        unit: Unit,
        order_id: OrderId,
        attempt: int,
        step: str,
        reason: str,
        steps: Sequence[StepView],
    ) -> None:
        """The order stops, visibly: a person decides what becomes of it."""
        order = self._locked(unit, order_id)
        if order.state in TERMINAL or order.attempt != attempt:
            return
        store.add_steps(unit.connection, order_id, attempt, steps)
        store.set_fallout(unit.connection, order_id, step, reason, unit.now)
        order = replace(order, state=rules.move(order.state, OrderState.HELD), running=False, error=reason)
        store.save_order(unit.connection, order)
        self._changed(unit, order)

    def cancel(self, unit: Unit, order_id: OrderId, reason: str) -> None:
        order = self._locked(unit, order_id)
        if order.state in TERMINAL and order.state is not OrderState.CANCELLED and not order.cancel_requested:
            raise Conflict(
                f"order {order.number} is {order.state}",
                field="state",
                remedy="order the opposite: a delete item ends a product",
            )
        store.add_cancellation(unit.connection, rules.cancellation_id(order_id), order_id, reason, unit.now)
        if order.state is OrderState.CANCELLED or order.cancel_requested:
            return
        unit.audit("orders.cancel", order_id, before=order.state.value, after=reason)
        order = replace(order, cancel_requested=True, reason=reason)
        if order.running:
            store.save_order(unit.connection, order)  # the workflow sees it at its next step and undoes
            return
        if order.attempt == 0:
            self._end(unit, order, OrderState.CANCELLED)
            return
        self._start_undo(unit, order)

    def resolve_fallout(
        self,
        unit: Unit,
        order_id: OrderId,
        choice: FalloutChoice,
        reason: str,
        edits: Mapping[str, str] | None = None,
    ) -> None:
        order = self._locked(unit, order_id)
        step = store.fallout_step(unit.connection, order_id)
        if order.state is not OrderState.HELD or step is None:
            raise Conflict(
                f"order {order.number} has not fallen out",
                field="state",
                remedy="look at the queue: turnup order fallout",
            )
        if choice not in rules.choices(step):
            raise InvalidInput(
                f"a {step} that failed cannot be resolved by {choice}",
                field="choice",
                remedy=f"choose from: {', '.join(rules.choices(step))}",
            )
        if choice is FalloutChoice.SKIP and not reason.strip():
            raise InvalidInput("a skip needs a reason", field="reason", remedy="say why it is safe")
        store.resolve_fallout(unit.connection, order_id, choice.value, unit.actor, reason, unit.now)
        unit.audit("orders.fallout_resolved", order_id, before=step, after=f"{choice}: {reason}")
        if choice is FalloutChoice.UNDO:
            self._start_undo(unit, order)
            return
        if choice is FalloutChoice.EDIT:
            order = self._edited(unit, order, edits or {})
        if choice is FalloutChoice.SKIP:
            order = replace(order, skipped=(*order.skipped, step))
        self._restart(unit, order)

    def _edited(self, unit: Unit, order: Order, edits: Mapping[str, str]) -> Order:
        """`site` moves the order; anything else is a characteristic of its first item that can have it."""
        if not edits:
            raise InvalidInput("nothing to edit", field="edits", remedy="give name=value pairs")
        edits = dict(edits)
        if "site" in edits:
            order = replace(order, site=edits.pop("site"))
        if edits:
            item = order.items[0]
            offering = self._offers.offering(item.offering_id)
            assert offering is not None
            settled = rules.settle(offering, edits, item.characteristics, "edits")
            store.save_item_characteristics(unit.connection, item.id, settled)
        return order

    def complete_task(self, unit: Unit, task_id: TaskId, facts: Mapping[str, str]) -> None:
        found = store.load_task(unit.connection, task_id)
        if found is None:
            raise NotFound(f"no task {task_id}", field="task", remedy="list them: turnup order tasks")
        task, _item_id = found
        if task.state != "open":
            return
        store.finish_task(unit.connection, task_id, "done", facts, unit.now)
        unit.audit("orders.task_done", task.order_id, after=task.code)
        order = self._locked(unit, task.order_id)
        if order.state is OrderState.PENDING and not order.running:
            self._restart(unit, order)

    def undone(
        self,
        unit: Unit,
        order_id: OrderId,
        attempt: int,
        steps: Sequence[StepView],
        ceased: Sequence[OrderItemId],
    ) -> None:
        """What can be undone was: those products are as before. Items that `ceased` a service were past
        undoing and count as done. The order is over."""
        order = self._locked(unit, order_id)
        if order.state in TERMINAL or order.attempt != attempt:
            return
        store.add_steps(unit.connection, order_id, attempt, steps)
        for item in order.items:
            if item.id in ceased:
                self._fulfilled(unit, order, item)
            elif item.action is ItemAction.ADD:
                product = self._product(unit, item.product_id)
                store.save_product(unit.connection, replace(product, status=ProductStatus.CANCELLED))
        self._end(unit, order, rules.end_of_undo(order, ceased))

    def _end(self, unit: Unit, order: Order, state: OrderState) -> None:
        if order.attempt == 0:
            for item in order.items:
                if item.action is ItemAction.ADD:
                    product = self._product(unit, item.product_id)
                    store.save_product(unit.connection, replace(product, status=ProductStatus.CANCELLED))
        store.cancel_tasks(unit.connection, order.id)
        order = replace(order, state=rules.move(order.state, state), running=False, completed_at=unit.now)
        store.save_order(unit.connection, order)
        self._changed(unit, order)

    def _fulfilled(self, unit: Unit, order: Order, item: Item) -> None:
        if item.action is ItemAction.NO_CHANGE:
            return
        product = self._product(unit, item.product_id)
        offering = self._offers.offering(item.offering_id)
        assert offering is not None
        status = rules.wanted_status(item, product.status)
        changed = replace(
            product,
            offering_id=offering.id,
            offering_code=offering.code,
            name=offering.name,
            characteristics=dict(item.characteristics),
            status=status,
            start=product.start or unit.now,
            end=unit.now if status is ProductStatus.TERMINATED else None,
        )
        if item.target_status is None:
            changed = replace(changed, revision=product.revision + 1)
            self._agree(unit, changed, offering, first=item.action is ItemAction.ADD)
        store.save_product(unit.connection, changed)

    def _agree(
        self,
        unit: Unit,
        product: Product,
        offering: catalog.OfferingView,
        *,
        first: bool,
        adopted: bool = False,
        promotion: RunningPromotion | None = None,
    ) -> None:
        ended = product.status is ProductStatus.TERMINATED
        charges = rules.charges(offering, product.characteristics, first=first and not adopted)
        if promotion is not None:
            charges = (*charges, rules.promotion_charge(charges, promotion))
        unit.emit(
            PriceAgreed(
                product_id=product.id,
                service_id=product.service_id,
                account_id=product.account_id,
                offering_code=offering.code,
                offering_name=offering.name,
                charges=() if ended else charges,
                billing_start=offering.billing_start,
                credit_policy=offering.credit_policy,
                effective_at=None if first else unit.now,
                revision=product.revision,
                adopted=adopted,
            )
        )

    def _start(self, unit: Unit, order: Order) -> None:
        unit.start(FULFIL, f"order:{order.id}:{order.attempt}", str(order.id), str(order.attempt))

    def _restart(self, unit: Unit, order: Order) -> None:
        store.unpark(unit.connection, order.id)
        order = replace(
            order,
            state=rules.move(order.state, OrderState.IN_PROGRESS),
            attempt=order.attempt + 1,
            running=True,
            error=None,
        )
        store.save_order(unit.connection, order)
        self._changed(unit, order)
        self._start(unit, order)

    def _start_undo(self, unit: Unit, order: Order) -> None:
        store.unpark(unit.connection, order.id)
        if order.state is OrderState.PENDING:
            order = replace(order, state=OrderState.IN_PROGRESS)
        order = replace(
            order,
            state=rules.move(order.state, OrderState.PENDING_CANCELLATION),
            attempt=order.attempt + 1,
            running=True,
        )
        store.save_order(unit.connection, order)
        self._changed(unit, order)
        unit.start(UNDO, f"undo:{order.id}:{order.attempt}", str(order.id), str(order.attempt))

    def _changed(self, unit: Unit, order: Order) -> None:
        unit.emit(
            OrderStateChanged(
                order_id=order.id,
                account_id=order.account_id,
                state=order.state,
                at=unit.now,
                origin=order.origin,
            )
        )

    def _locked(self, unit: Unit, order_id: OrderId) -> Order:
        order = store.load_order(unit.connection, order_id, lock=True)
        if order is None:
            raise NotFound(f"no order {order_id}", field="order")
        return order

    def _product(self, unit: Unit, product_id: ProductId) -> Product:
        product = store.load_product(unit.connection, product_id, lock=True)
        if product is None:
            raise NotFound(f"no product {product_id}", field="product")
        return product

    # --- dunning and import -------------------------------------------------------------------------------

    def change_status(
        self, unit: Unit, account_id: AccountId, status: ProductStatus, key: str, reason: str
    ) -> OrderId | None:
        """Order the suspension or resumption of all of an account's products that are not so yet; one order,
        once per key. None when there is nothing to do."""
        known = store.by_idempotency_key(unit.connection, key)
        if known is not None:
            return known[0]
        other = ProductStatus.ACTIVE if status is ProductStatus.SUSPENDED else ProductStatus.SUSPENDED
        products = [
            product
            for product in store.products(unit.connection, account_id)
            if product.status is other and store.open_order_of(unit.connection, product.id) is None
        ]
        if not products:
            return None
        return self.submit(
            unit,
            NewOrder(
                account_id=account_id,
                items=tuple(
                    NewOrderItem(action=ItemAction.MODIFY, product_id=product.id, target_status=status)
                    for product in products
                ),
                idempotency_key=key,
                reason=reason,
                origin="dunning",
            ),
        )

    def adopt(self, unit: Unit, adopted: AdoptedProduct) -> None:
        if store.load_product(unit.connection, adopted.product_id, lock=True) is not None:
            return
        account = self._customers.account(adopted.account_id)
        if account is None:
            raise InvalidInput("no such billing account", field="account")
        offering = self._offers.offering_by_code(adopted.offering, unit.now)
        if offering is None:
            raise InvalidInput(
                f"no offering {adopted.offering!r}", field="offering", remedy="import the catalog first"
            )
        product = Product(
            id=adopted.product_id,
            service_id=adopted.service_id,
            customer_id=account.customer_id,
            account_id=adopted.account_id,
            address_id=adopted.address_id,
            site=None,
            offering_id=offering.id,
            offering_code=offering.code,
            name=offering.name,
            status=adopted.status,
            characteristics=rules.settle(offering, adopted.characteristics, {}, "characteristics"),
            start=adopted.started_at,
            end=None,
            revision=1,
        )
        store.save_product(unit.connection, product)
        unit.audit("orders.adopted", product.id, after={"offering": product.offering_code})
        self._agree(unit, product, offering, first=True, adopted=True, promotion=adopted.promotion)

    # --- reads --------------------------------------------------------------------------------------------

    def order(self, order_id: OrderId) -> OrderView | None:
        with self._runtime.snapshot("orders") as connection:
            return store.order_view(connection, order_id=order_id)

    def order_by_number(self, number: str) -> OrderView | None:
        with self._runtime.snapshot("orders") as connection:
            return store.order_view(connection, number=number)

    def orders(
        self,
        *,
        account_id: AccountId | None = None,
        states: Sequence[str] = (),
        offset: int = 0,
        limit: int = 50,
    ) -> Sequence[OrderView]:
        """Newest first; in any state where `states` is empty."""
        with self._runtime.snapshot("orders") as connection:
            return store.order_page(
                connection, account_id=account_id, states=states, offset=offset, limit=limit
            )

    def orders_of(self, account_ids: Sequence[AccountId], limit: int) -> Sequence[OrderView]:
        with self._runtime.snapshot("orders") as connection:
            return store.orders_of(connection, account_ids, limit)

    def count_orders(self, *, account_id: AccountId | None = None, states: Sequence[str] = ()) -> int:
        """How many `orders` would give without a limit."""
        with self._runtime.snapshot("orders") as connection:
            return store.count_orders(connection, account_id=account_id, states=states)

    def order_rows(self, wanted: Wanted) -> Rows[OrderView]:
        """A page of them, for lists."""
        with self._runtime.snapshot("orders") as connection:
            return store.order_rows(connection, wanted)

    def cancellation(self, cancellation_id: CancellationId) -> CancellationView | None:
        with self._runtime.snapshot("orders") as connection:
            return store.cancellation(connection, cancellation_id)

    def cancellation_rows(self, wanted: Wanted) -> Rows[CancellationView]:
        """A page of them, for lists."""
        with self._runtime.snapshot("orders") as connection:
            return store.cancellation_rows(connection, wanted)

    def loaded(self, order_id: OrderId) -> Order:
        """The full order, for this component's own workflows."""
        with self._runtime.snapshot("orders") as connection:
            order = store.load_order(connection, order_id)
        if order is None:
            raise NotFound(f"no order {order_id}", field="order")
        return order

    def account_of(self, account_id: AccountId) -> crm.AccountView | None:
        """Whose legal entity and brand an order is: its account's."""
        return self._customers.account(account_id)

    def product(self, product_id: ProductId) -> ProductView | None:
        with self._runtime.snapshot("orders") as connection:
            product = store.load_product(connection, product_id)
        return None if product is None else store.product_view(product)

    def products(self, account_id: AccountId | None = None) -> Sequence[ProductView]:
        with self._runtime.snapshot("orders") as connection:
            return [store.product_view(product) for product in store.products(connection, account_id)]

    def product_rows(self, wanted: Wanted) -> Rows[ProductView]:
        """A page of them, for lists."""
        with self._runtime.snapshot("orders") as connection:
            return store.product_rows(connection, wanted)

    def products_of(self, account_ids: Sequence[AccountId]) -> Sequence[ProductView]:
        with self._runtime.snapshot("orders") as connection:
            return [store.product_view(product) for product in store.products_of(connection, account_ids)]

    def products_in_flight(self) -> Set[ProductId]:
        with self._runtime.snapshot("orders") as connection:
            return store.products_in_flight(connection)

    def parked(self, *, after: int = 0, limit: int = 500) -> Sequence[Parked]:
        with self._runtime.snapshot("orders") as connection:
            return store.parked_orders(connection, after=after, limit=limit)

    def fallout(self) -> Sequence[FalloutView]:
        return self._fallout(None)

    def fallout_of(self, order_id: OrderId) -> FalloutView | None:
        found = self._fallout(order_id)
        return found[0] if found else None

    def _fallout(self, order_id: OrderId | None) -> Sequence[FalloutView]:
        with self._runtime.snapshot("orders") as connection:
            found = store.open_fallout(connection, order_id)
        return [replace(view, choices=rules.choices(view.step)) for view in found]

    def tasks(self, order_id: OrderId | None = None) -> Sequence[TaskView]:
        with self._runtime.snapshot("orders") as connection:
            return store.tasks(connection, order_id=order_id)

    def task_facts(self, order_id: OrderId) -> Mapping[str, str]:
        """What people noted when they finished this order's tasks (the ONT's serial)."""
        with self._runtime.snapshot("orders") as connection:
            return store.task_facts(connection, order_id)
