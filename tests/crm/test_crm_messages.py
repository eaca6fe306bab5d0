"""Customers are told once per occasion, in plain words, and a dead mail server loses nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from builders.house import NOON, deliver_events
from turnup.bss.crm.component import load_templates
from turnup.bss.crm.model import MessageState
from turnup.bss.crm.rules import render
from turnup.bss.crm.service import CrmService
from turnup.bss.crm.workflows import RETRY_DELAYS_S
from turnup.contracts.billing import DunningStepReached
from turnup.contracts.monitoring import ServiceOutageEnded, ServiceOutageStarted
from turnup.contracts.orders import OrderState, OrderStateChanged
from turnup.contracts.unit import Event
from turnup.kernel.errors import InvalidInput, Unavailable
from turnup.kernel.ids import OrderId, ProblemId, ServiceId, new_id
from turnup.runtime.component import Component, Runtime


@dataclass
class Worker:
    """Runs a delivery as DBOS would: units commit, pauses are counted, not slept."""

    runtime: Runtime
    component: Component
    pauses: list[float] = field(default_factory=list)

    def work(self) -> None:
        for key in self.enqueued():
            self.component.workflows[0].function(self, key)

    def enqueued(self) -> list[str]:
        with self.runtime.database.engine.connect() as connection:
            keys = connection.scalars(
                text("SELECT workflow_uuid FROM dbos.workflow_status ORDER BY created_at")
            )
            return [key.removeprefix("crm.deliver:") for key in keys]

    def unit(self, component: str, name: str, function: Callable[..., Any], *args: Any) -> Any:
        with self.runtime.unit(component, f"workflow:{name}") as unit:
            return function(unit, *args)

    def world(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def worker(runtime: Runtime, component: Component) -> Worker:
    return Worker(runtime, component)


@pytest.fixture
def jane(open_customer: Callable[..., Any]) -> Any:
    return open_customer()


@pytest.fixture
def happened(runtime: Runtime, component: Component) -> Iterator[Callable[[Event], None]]:
    """`happened(event)`: another component emitted it; deliver it to crm."""

    def emit(event: Event) -> None:
        with runtime.unit("crm", "test") as unit:  # whose unit it is does not matter to the log
            unit.emit(event)
        deliver_events(runtime, [component])

    yield emit
    with runtime.database.engine.connect() as connection:
        assert connection.execute(text("SELECT error FROM runtime.parked")).all() == []


def notify(runtime: Runtime, crm: CrmService, jane: Any, key: str = "k1") -> None:
    with runtime.unit("crm", "cli:anna") as unit:
        crm.notify(unit, jane.customer_id, "restored", key, {"account": "A-1"})


def test_a_message_goes_out_once_per_key(
    runtime: Runtime, crm: CrmService, jane: Any, worker: Worker, mailbox: Any
) -> None:
    for _ in range(2):
        notify(runtime, crm, jane)
    assert [view.state for view in crm.messages(jane.customer_id)] == [MessageState.QUEUED]
    for _ in range(2):
        worker.work()
    [message] = mailbox.messages.values()
    assert (message.key, message.to) == ("k1", "jane@example.net")
    assert message.subject == "Thank you: your service comes back"
    assert "Hello Jane Roe," in message.body
    [view] = crm.messages(jane.customer_id)
    assert (view.state, view.attempts) == (MessageState.SENT, 1)


def test_a_rolled_back_occasion_tells_nobody(
    runtime: Runtime, crm: CrmService, jane: Any, worker: Worker
) -> None:
    with pytest.raises(RuntimeError), runtime.unit("crm", "cli:anna") as unit:
        crm.notify(unit, jane.customer_id, "restored", "k1", {"account": "A-1"})
        raise RuntimeError
    assert (crm.messages(jane.customer_id), worker.enqueued()) == ([], [])


def test_a_mail_server_that_is_away_is_tried_again(
    runtime: Runtime, crm: CrmService, jane: Any, worker: Worker, mailbox: Any
) -> None:
    notify(runtime, crm, jane)
    mailbox.trouble = [Unavailable("away"), Unavailable("away")]
    worker.work()
    assert worker.pauses == list(RETRY_DELAYS_S[:2])
    [view] = crm.messages(jane.customer_id)
    assert (view.state, view.attempts, len(mailbox.messages)) == (MessageState.SENT, 3, 1)


@pytest.mark.parametrize(
    ("trouble", "attempts"),
    [([Unavailable("away")] * 9, 6), ([InvalidInput("no such mailbox")], 1)],
)
def test_what_cannot_be_delivered_is_given_up_visibly(
    runtime: Runtime,
    crm: CrmService,
    jane: Any,
    worker: Worker,
    mailbox: Any,
    trouble: list[Exception],
    attempts: int,
) -> None:
    notify(runtime, crm, jane)
    mailbox.trouble = list(trouble)
    worker.work()
    [view] = crm.messages(jane.customer_id)
    assert (view.state, view.attempts, view.error) == (MessageState.FAILED, attempts, str(trouble[0]))
    assert mailbox.messages == {}


def test_who_has_no_mail_address_is_not_forgotten(
    runtime: Runtime, crm: CrmService, open_customer: Callable[..., Any], worker: Worker
) -> None:
    jack = open_customer(email=None)
    notify(runtime, crm, jack)
    [view] = crm.messages(jack.customer_id)
    assert (view.state, view.error) == (MessageState.FAILED, "the customer has no mail address")
    assert worker.enqueued() == []


def test_an_outage_is_told_to_whom_it_hits_and_so_is_its_end(
    crm: CrmService, jane: Any, services: Any, happened: Callable[[Event], None]
) -> None:
    service, problem = ServiceId(new_id()), ProblemId(new_id())
    services.add(service, "S-1", jane.customer_id, jane.account_id)
    started = ServiceOutageStarted(service_id=service, problem_id=problem, cause="olt1 down", at=NOON)
    happened(started)
    happened(started)  # the network may say so twice
    happened(
        ServiceOutageEnded(
            service_id=service, problem_id=problem, started_at=NOON, at=NOON + timedelta(hours=2)
        )
    )
    first, second = crm.messages(jane.customer_id)
    assert first.subject == "Your service S-1 is disturbed"
    assert "since 2026-03-02 13:00" in first.body  # Berlin
    assert "since 2026-03-02 13:00 ended at 2026-03-02 15:00" in second.body


@pytest.mark.parametrize(
    ("action", "template"), [("remind", "reminder"), ("suspend", "suspended"), ("restore", "restored")]
)
def test_dunning_steps_are_told(
    crm: CrmService, jane: Any, happened: Callable[[Event], None], action: str, template: str
) -> None:
    happened(
        DunningStepReached(
            account_id=jane.account_id,
            step=1,
            action=action,
            case="case-1",
            overdue_minor=123456,
            currency="EUR",
            at=NOON,
        )
    )
    [view] = crm.messages(jane.customer_id)
    assert view.template == template
    assert "A-100001" in view.subject + view.body
    assert action == "restore" or "1234.56 EUR" in view.subject


def test_only_the_end_of_an_order_is_told(
    crm: CrmService, jane: Any, happened: Callable[[Event], None]
) -> None:
    order = OrderId(new_id())
    for state in (OrderState.ACKNOWLEDGED, OrderState.IN_PROGRESS, OrderState.COMPLETED):
        happened(OrderStateChanged(order_id=order, account_id=jane.account_id, state=state, at=NOON))
    happened(
        OrderStateChanged(
            order_id=OrderId(new_id()),
            account_id=jane.account_id,
            state=OrderState.COMPLETED,
            at=NOON,
            origin="dunning",
        )
    )
    assert [view.template for view in crm.messages(jane.customer_id)] == ["order_completed"]


def test_every_template_renders_and_says_what_it_lacks() -> None:
    templates = load_templates()
    facts = dict.fromkeys(
        ("name", "service", "at", "started_at", "account", "amount", "number", "due_date"), "X"
    )
    assert {name for _, name in templates} == {
        "outage_started", "outage_ended", "reminder", "suspended", "restored", "order_completed", "invoice",
    }  # fmt: skip
    for language, name in templates:
        subject, body = render(templates, name, language, facts)
        assert subject
        assert "\n" not in subject
        assert "$" not in subject + body
    with pytest.raises(InvalidInput, match="needs the fact"):
        render(templates, "reminder", "en", {"name": "X"})
    with pytest.raises(InvalidInput, match="known: invoice"):
        render(templates, "birthday", "en", facts)


def test_facts_are_text_not_templates_and_subjects_stay_one_line() -> None:
    templates = {("en", "t"): "For $name\nHello $name"}
    assert render(templates, "t", "de", {"name": "$name\nBcc: x@y.z"}) == (
        "For $name Bcc: x@y.z",
        "Hello $name\nBcc: x@y.z",
    )
