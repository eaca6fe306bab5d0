"""Catalog documents: what they mean, and what is said of wrong ones."""

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from turnup.bss.catalog.rules import read_catalog, read_policies
from turnup.kernel.errors import InvalidInput

Document = dict[str, Any]


def test_the_example_means_what_it_says(document: Document) -> None:
    offerings = {draft.code: draft for draft in read_catalog(document)}
    fibre = offerings["fibre-300-50"]
    speeds = {known.name: (known.default, known.configurable) for known in fibre.characteristics}
    assert speeds == {
        "down_kbps": (300000, False),
        "up_kbps": (50000, False),
        "static_ipv4": (False, True),
    }
    assert [
        (price.code, price.kind, price.amount, price.period_months, price.in_advance, price.option)
        for price in fibre.prices
    ] == [
        ("activation", "one_time", Decimal("50.00"), None, True, None),
        ("monthly", "recurring", Decimal("34.90"), 1, True, None),
        ("static-ipv4", "recurring", Decimal("5.00"), 1, True, "static_ipv4"),
        ("traffic", "usage", Decimal("0.02"), None, False, None),
    ]
    assert (fibre.prices[3].unit, fibre.prices[3].included) == ("GB", 1000)
    assert [rfs.element_role for rfs in fibre.service.rfs] == ["access", "bng", "aaa"]
    assert [task.blocks for task in offerings["fibre-300-50-install"].tasks] == ["completion", "completion"]


def _offer(document: Document) -> Document:
    return document["offerings"][0]


def _price(document: Document, n: int) -> Document:
    return document["offerings"][0]["prices"][n]


@pytest.mark.parametrize(
    ("spoil", "field", "hint"),
    [
        (lambda d: d.update(offering=[]), "offering", "did you mean offerings?"),
        (lambda d: d.update(offerings=[]), "offerings", "at least one"),
        (lambda d: d.update(offerings={}), "offerings", "at least one"),
        (lambda d: _offer(d).update(service="television"), "offerings[0].service", "internet"),
        (lambda d: _offer(d).pop("name"), "offerings[0].name", "name: …"),
        (lambda d: _offer(d).update(code="Fibre 100"), "offerings[0].code", "small letters"),
        (lambda d: d["offerings"].append(_offer(d)), "offerings[4]", "see offerings[0]"),
        (lambda d: _offer(d)["characteristics"].pop("up_kbps"), "offerings[0].characteristics", "up_kbps"),
        (lambda d: _offer(d).update(billing_start="ready"), "offerings[0].billing_start", "ready+N"),
        (lambda d: _offer(d).update(valid_from="soon"), "offerings[0].valid_from", "2026-01-31"),
        (lambda d: _price(d, 0).pop("once"), "offerings[0].prices[0]", "once, recurring, usage"),
        (lambda d: _price(d, 0).update(recurring=1), "offerings[0].prices[0]", "once, recurring, usage"),
        (lambda d: _price(d, 0).update(every="month"), "offerings[0].prices[0].every", "recurring"),
        (lambda d: _price(d, 1).update(recurring="free"), "offerings[0].prices[1].recurring", "decimals"),
        (lambda d: _price(d, 1).update(recurring=-1), "offerings[0].prices[1].recurring", "decimals"),
        (lambda d: _price(d, 1).update(recurring="1.2345"), "offerings[0].prices[1].recurring", "decimals"),
        (lambda d: _price(d, 1).update(every="day"), "offerings[0].prices[1].every", "month"),
        (lambda d: _price(d, 2).update(option="ipv5"), "offerings[0].prices[2].option", "boolean"),
        (lambda d: _price(d, 3).pop("unit"), "offerings[0].prices[3].unit", "unit: …"),
        (
            lambda d: _offer(d)["characteristics"].update(x={"type": "integer", "default": "9"}),
            "offerings[0].characteristics.x",
            "integer",
        ),
        (
            lambda d: d["services"][0]["resources"].append({"kind": "ipv4"}),
            "services[0].resources[6].pool",
            "pool",
        ),
        (
            lambda d: d["services"][0]["rfs"][0]["attributes"].update(port="res:port"),
            "services[0].rfs[0].attributes.port",
            "access_port",
        ),
        (
            lambda d: d["services"][0]["rfs"][0]["attributes"].update(port="port"),
            "services[0].rfs[0].attributes.port",
            "res:KIND",
        ),
        (lambda d: d["services"][0]["rfs"][0].update(element="olt"), "services[0].rfs[0].element", "access"),
    ],
)
def test_errors_name_the_path_and_the_remedy(
    document: Document, spoil: Callable[[Document], object], field: str, hint: str
) -> None:
    spoilt = copy.deepcopy(document)
    spoil(spoilt)
    with pytest.raises(InvalidInput) as failure:
        read_catalog(spoilt)
    assert (failure.value.field or "").startswith(field)
    assert hint in f"{failure.value.message} {failure.value.remedy}"


def test_policies_become_plain_data(policies: Document) -> None:
    drafts = {(draft.kind, draft.code): draft.document for draft in read_policies(policies)}
    assert set(drafts) == {(kind, "standard") for kind in ("billing", "credit", "dunning", "tax")}
    assert drafts["tax", "standard"]["rates"][0]["valid_from"] == "2007-01-01"
    with pytest.raises(InvalidInput, match="did you mean credit"):
        read_policies({"policies": {"credits": {}}})
    with pytest.raises(InvalidInput, match=r"policies\.tax\.standard"):
        read_policies({"policies": {"tax": {"standard": 19}}})
