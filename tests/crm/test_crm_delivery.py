"""Delivery by a real worker: the workflow runs from the queue, survives a pause, and marks the message."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from turnup.bss.crm import workflows
from turnup.bss.crm.model import MessageState
from turnup.bss.crm.service import CrmService
from turnup.kernel.errors import Unavailable
from turnup.runtime.component import Component, Runtime
from turnup.runtime.durable import Durable, QueueSpec


@pytest.fixture
def worker(runtime: Runtime, component: Component) -> Iterator[Durable]:
    durable = Durable(
        runtime.database,
        runtime.clock,
        workflows=component.workflows,
        queues=[QueueSpec(name="default", poll_ms=20, worker_concurrency=2)],
    )
    runtime.attach(durable)
    durable.launch("test-worker", pool_size=3, threads=4)
    yield durable
    durable.stop(drain_s=0)


@pytest.mark.usefixtures("worker")
def test_a_queued_message_is_sent_after_trouble(
    runtime: Runtime,
    crm: CrmService,
    mailbox: Any,
    open_customer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workflows, "RETRY_DELAYS_S", (0.05, 0.05))
    mailbox.trouble = [Unavailable("away")]
    jane = open_customer()
    with runtime.unit("crm", "cli:anna") as unit:
        crm.notify(unit, jane.customer_id, "restored", "k1", {"account": "A-1"})
    deadline = time.monotonic() + 30
    while crm.message("k1").state is MessageState.QUEUED and time.monotonic() < deadline:  # type: ignore[union-attr]
        time.sleep(0.02)
    [view] = crm.messages(jane.customer_id)
    assert (view.state, view.attempts, list(mailbox.messages)) == (MessageState.SENT, 2, ["k1"])
