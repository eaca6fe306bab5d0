"""The durable delivery of one message: tried for a while, then given up visibly."""

from functools import partial

from turnup.bss.crm.model import MessageState
from turnup.bss.crm.service import DELIVER, CrmService
from turnup.contracts.crm import Message, MessageGateway
from turnup.kernel.errors import TurnupError, Unavailable
from turnup.runtime.durable import Run, Workflow

RETRY_DELAYS_S = (1.0, 10.0, 60.0, 600.0, 3600.0)
"""Pauses between attempts; a mail server may be gone for an hour."""


def workflows(service: CrmService, gateway: MessageGateway) -> list[Workflow]:
    function = partial(deliver, service=service, gateway=gateway)
    return [Workflow(name=DELIVER, function=function, logged=("message_key",))]


def deliver(run: Run, key: str, *, service: CrmService, gateway: MessageGateway) -> None:
    """Send the message with this key; repeated sending is the gateway's to recognise, by the same key."""
    attempts = 0
    outcome, error = "", ""
    for delay_s in (*RETRY_DELAYS_S, None):
        attempts += 1
        outcome, error = run.world(f"send_{attempts}", attempt, service, gateway, key)
        if outcome != "later" or delay_s is None:
            break
        run.sleep(delay_s)
    if outcome == "sent":
        run.unit("crm", "sent", service.message_sent, key, attempts)
    elif outcome != "nothing":
        run.unit("crm", "failed", service.message_failed, key, attempts, error)


def attempt(service: CrmService, gateway: MessageGateway, key: str) -> tuple[str, str]:
    """(sent | nothing | later | never, why): never raises what the recipient's side may cause."""
    message = service.message(key)
    if message is None or message.state is not MessageState.QUEUED or message.to is None:
        return "nothing", ""
    try:
        gateway.send(Message(key=key, to=message.to, subject=message.subject, body=message.body))
    except Unavailable as error:
        return "later", str(error)
    except TurnupError as error:
        return "never", str(error)
    return "sent", ""
