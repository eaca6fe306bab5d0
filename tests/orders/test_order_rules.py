"""Pure rules of orders: characteristics, charges, resources, which state may follow which."""

from dataclasses import replace
from itertools import product as pairs

import pytest

from orders.conftest import OFFERINGS, add
from turnup.bss.orders import rules
from turnup.bss.orders.model import TERMINAL, TRANSITIONS
from turnup.contracts.catalog import TaskSpec
from turnup.contracts.orders import (
    FalloutChoice,
    ItemAction,
    NewOrder,
    NewOrderItem,
    OrderState,
    ProductStatus,
)
from turnup.contracts.provisioning import Admission
from turnup.kernel.errors import Conflict, InvalidInput
from turnup.kernel.ids import AccountId, ProductId, derived_id

FIBRE = OFFERINGS["fibre-100"]
PRODUCT = ProductId(derived_id("product", 1))
ACCOUNT = AccountId(derived_id("account", 1))


def test_characteristics_are_chosen_then_present_then_default() -> None:
    assert rules.settle(FIBRE, {}, {}, "p") == {"down_kbps": "100000", "static_ipv4": "false"}
    assert rules.settle(FIBRE, {"static_ipv4": "yes", "floor": "2"}, {}, "p") == {
        "down_kbps": "100000",
        "static_ipv4": "true",
        "floor": "2",
    }
    # a choice survives a change of plan, a value fixed by the old plan does not
    old = {"down_kbps": "50000", "static_ipv4": "true", "gone": "x"}
    assert rules.settle(FIBRE, {}, old, "p") == {"down_kbps": "100000", "static_ipv4": "true"}


@pytest.mark.parametrize(
    ("chosen", "path"),
    [
        ({"speed": "1"}, "p.speed"),
        ({"down_kbps": 5}, "p.down_kbps"),
        ({"static_ipv4": "perhaps"}, "p.static_ipv4"),
        ({"floor": "3"}, "p.floor"),
    ],
)
def test_a_bad_characteristic_is_named(chosen: dict[str, str | int], path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        rules.settle(FIBRE, chosen, {}, "p")
    assert raised.value.field == path
    assert raised.value.remedy


def test_a_mandatory_characteristic_and_a_whole_number_are_asked_for() -> None:
    free = [
        replace(spec, mandatory=True, configurable=True, default=None) if spec.name == "down_kbps" else spec
        for spec in FIBRE.characteristics
    ]
    offering = replace(FIBRE, characteristics=tuple(free))
    for chosen in ({}, {"down_kbps": "fast"}):
        with pytest.raises(InvalidInput) as raised:
            rules.settle(offering, chosen, {}, "p")
        assert raised.value.field == "p.down_kbps"
    assert rules.settle(offering, {"down_kbps": " 7 "}, {}, "p")["down_kbps"] == "7"


def test_charges_follow_options_and_the_sale() -> None:
    plain, chosen = {"static_ipv4": "false"}, {"static_ipv4": "true"}
    first = rules.charges(FIBRE, chosen, first=True)
    assert [(charge.code, charge.amount_micro) for charge in first] == [
        ("activation", 5_000_000_000),
        ("month", 3_990_000_000),
        ("static", 500_000_000),
    ]
    assert [charge.code for charge in rules.charges(FIBRE, plain, first=False)] == ["month"]


def test_an_option_takes_the_place_of_what_it_replaces() -> None:
    kinds = ("access_port", "vlan", "ipv4", "ipv6_pd")
    for chosen, pool in (("false", "dynamic4"), ("true", "static4")):
        needed = {kind: pool for kind, pool, _ in rules.needed_resources(FIBRE, {"static_ipv4": chosen})}
        assert (set(needed), needed["ipv4"]) == (set(kinds), pool)


def test_tasks_come_with_their_actions_only() -> None:
    task = TaskSpec(code="t", name="T", blocks="activation", on_actions=("add", "delete"))
    offering = replace(FIBRE, tasks=(task,))
    found = {action: rules.tasks_of(offering, action) for action in ItemAction}
    assert found == {
        ItemAction.ADD: (task,),
        ItemAction.DELETE: (task,),
        ItemAction.MODIFY: (),
        ItemAction.NO_CHANGE: (),
    }


@pytest.mark.parametrize(
    ("present", "to"), list(pairs([state for state in OrderState if state in TRANSITIONS], OrderState))
)
def test_states_follow_the_table(present: OrderState, to: OrderState) -> None:
    if to is present or to in TRANSITIONS[present]:
        assert rules.move(present, to) is to
        return
    with pytest.raises(Conflict):
        rules.move(present, to)


def test_what_is_over_stays_over() -> None:
    assert all(not TRANSITIONS[state] for state in TERMINAL)
    assert set(TRANSITIONS) == set(OrderState) - {OrderState.ASSESSING_CANCELLATION}


@pytest.mark.parametrize(
    ("item", "path"),
    [
        (NewOrderItem(action=ItemAction.ADD), "i.productOffering"),
        (replace(add(), product_id=PRODUCT), "i.product.id"),
        (NewOrderItem(action=ItemAction.MODIFY), "i.product.id"),
        (NewOrderItem(action=ItemAction.DELETE), "i.product.id"),
        (
            NewOrderItem(
                action=ItemAction.MODIFY, product_id=PRODUCT, target_status=ProductStatus.TERMINATED
            ),
            "i.product.status",
        ),
        (
            NewOrderItem(
                action=ItemAction.MODIFY,
                product_id=PRODUCT,
                offering="fibre-300",
                target_status=ProductStatus.SUSPENDED,
            ),
            "i",
        ),
    ],
)
def test_a_badly_shaped_item_is_named(item: NewOrderItem, path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        rules.check_item(item, "i")
    assert raised.value.field == path


def test_equal_content_has_an_equal_hash() -> None:
    new = NewOrder(account_id=ACCOUNT, items=(add(floor="1", static_ipv4=True),))
    same = NewOrder(account_id=ACCOUNT, items=(add(static_ipv4=True, floor="1"),))
    assert rules.content_hash(new) == rules.content_hash(same)
    others = [
        replace(new, site="pop1"),
        replace(new, items=(*new.items, add())),
        replace(new, items=(add(floor="2", static_ipv4=True),)),
    ]
    assert len({rules.content_hash(order) for order in (new, *others)}) == 4


def test_status_says_what_the_network_admits() -> None:
    assert {status: rules.admission_of(status) for status in ProductStatus} == {
        ProductStatus.PENDING_ACTIVE: Admission.FULL,
        ProductStatus.ACTIVE: Admission.FULL,
        ProductStatus.SUSPENDED: Admission.WALLED,
        ProductStatus.PENDING_TERMINATE: Admission.NONE,
        ProductStatus.TERMINATED: Admission.NONE,
        ProductStatus.CANCELLED: Admission.NONE,
    }


def test_choices_by_the_step_that_failed() -> None:
    retry, edit, undo, skip = FalloutChoice
    assert rules.choices("reserve") == rules.choices("complete") == (retry, edit, undo)
    assert rules.choices("design") == rules.choices("realise") == (retry, edit, undo, skip)
    assert rules.choices("undo") == (undo,)
