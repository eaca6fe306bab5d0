"""What a fall-out means and what each choice will do, in words. The decisions are orders' (its rules)."""

from collections.abc import Mapping, Sequence

from turnup.contracts.orders import FalloutChoice, FalloutView, OrderView

_MEANINGS: Mapping[str, str] = {
    "reserve": "No port, VLAN or address could be reserved. Nothing was written to the network.",
    "design": "The resources are reserved, but what the network should hold could not be worked out. "
    "Nothing was written to the network.",
    "realise": "What the network should hold is decided, but an element refused it or did not answer. "
    "Some elements may have it already, others not.",
    "complete": "The network has it; the end failed, where the prices are agreed. "
    "She may be online and not billed.",
    "undo": "The order was to be undone, and that did not go through: "
    "something of it may still be on the network.",
}
NAMES: Mapping[FalloutChoice, str] = {
    FalloutChoice.RETRY: "Retry",
    FalloutChoice.EDIT: "Edit and retry",
    FalloutChoice.UNDO: "Undo",
    FalloutChoice.SKIP: "Skip this step",
}


def meaning(step: str) -> str:
    return _MEANINGS.get(step, "A step of this order failed.")


def summary(choice: FalloutChoice, step: str) -> str:
    """One line beside the button."""
    return {
        FalloutChoice.RETRY: "Try again from the beginning; what is done already is not done twice.",
        FalloutChoice.EDIT: "Correct what was ordered, then try again.",
        FalloutChoice.UNDO: "Take back everything this order did; the customer has what she had before.",
        FalloutChoice.SKIP: f"Go on without “{step}”, for a reason that you give.",
    }[choice]


def effects(choice: FalloutChoice, fallout: FalloutView, order: OrderView) -> Sequence[str]:
    """What happens when she says yes, in order."""
    items = ", ".join(f"{item.action.value} {item.offering_code or ''}".strip() for item in order.items)
    own = f"Order {order.number} ({items}, {_services(order)})"
    if choice is FalloutChoice.UNDO:
        return (
            f"{own} ends as cancelled.",
            "What it reserved is given back, and what it wrote is taken off the network again.",
            "No charge of this order is agreed. The customer keeps what she had before.",
        )
    again = (
        "Steps that are done already are found done: nothing is reserved or written twice.",
        "When all of it goes through, the order completes and its prices are agreed; "
        "else it stops here again.",
    )
    if choice is FalloutChoice.SKIP:
        return (
            f"{own} goes on as if “{fallout.step}” had gone well. It is not done, now or later.",
            _without(fallout.step),
            "Your reason is kept with the order and in the audit.",
            again[1],
        )
    if choice is FalloutChoice.EDIT:
        return (f"{own} is changed as you say below, then started again at once.", *again)
    return (f"{own} is started again at once.", *again)


def _without(step: str) -> str:
    if step == "realise":
        return (
            "The network may lack what was sold, and reconciliation will report it as a finding "
            "until somebody mends it."
        )
    return "What that step would have prepared is missing for those after it."


def _services(order: OrderView) -> str:
    count = len({item.service_id for item in order.items})
    return "1 service" if count == 1 else f"{count} services"
