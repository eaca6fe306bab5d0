"""Publishing: unchanged stays, changed becomes a new version, the past keeps its price."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from builders.house import NOON
from turnup.bss.catalog.component import build
from turnup.bss.catalog.service import CatalogService
from turnup.contracts.catalog import OfferingView
from turnup.kernel.errors import InvalidInput
from turnup.runtime.component import Runtime

Document = dict[str, Any]
DAY = timedelta(days=1)


def publish(runtime: Runtime, catalog: CatalogService, document: Document) -> list[Any]:
    with runtime.unit("catalog", "cli:anna") as unit:
        return list(catalog.publish(unit, document))


def at(catalog: CatalogService, code: str, instant: Any) -> OfferingView:
    found = catalog.offering_by_code(code, instant)
    assert found is not None
    return found


def test_publishing_again_changes_nothing(
    runtime: Runtime, catalog: CatalogService, document: Document
) -> None:
    first = publish(runtime, catalog, document)
    assert publish(runtime, catalog, document) == first
    assert [view.version for view in catalog.offerings()] == [1, 1, 1, 1]
    assert {view.id for view in catalog.offerings(NOON)} == set(first)


def test_a_change_is_a_new_version_from_now_and_the_old_one_keeps_its_price(
    runtime: Runtime, catalog: CatalogService, document: Document
) -> None:
    publish(runtime, catalog, document)
    old = at(catalog, "fibre-300-50", NOON)
    runtime.clock.advance(DAY)
    document["offerings"][1]["prices"][1]["recurring"] = "39.90"
    publish(runtime, catalog, document)
    before, after = at(catalog, "fibre-300-50", NOON), at(catalog, "fibre-300-50", NOON + DAY)
    assert (before.id, before.prices, before.valid_to) == (old.id, old.prices, NOON + DAY)
    assert (after.version, after.valid_from, after.valid_to) == (2, NOON + DAY, None)
    assert (before.prices[1].amount, after.prices[1].amount) == (Decimal("34.90"), Decimal("39.90"))
    assert set(before.prices).isdisjoint(after.prices)
    # fibre-300-50-install shares the prices by a YAML anchor, so it changed too; the others did not
    assert [view.version for view in catalog.offerings(NOON + DAY)] == [1, 1, 2, 2]
    assert catalog.offering(old.id) == before
    assert catalog.offering_of_price(after.prices[1].id) == after


def test_a_future_version_waits_and_the_past_is_never_rewritten(
    runtime: Runtime, catalog: CatalogService, document: Document
) -> None:
    publish(runtime, catalog, document)
    assert catalog.offering_by_code("fibre-100-20", NOON - 100 * DAY) is None
    assert at(catalog, "fibre-100-20", NOON - 30 * DAY).version == 1
    document["offerings"][0]["name"] = "Fibre 100 plus"
    document["offerings"][0]["valid_from"] = (NOON + 10 * DAY).isoformat()
    publish(runtime, catalog, document)
    assert at(catalog, "fibre-100-20", NOON + 9 * DAY).name == "Fibre 100/20"
    assert at(catalog, "fibre-100-20", NOON + 10 * DAY).name == "Fibre 100 plus"
    document["offerings"][0]["name"] = "Fibre 100 more"
    document["offerings"][0]["valid_from"] = "2020-01-01"
    publish(runtime, catalog, document)  # takes the place of the version that was waiting
    assert at(catalog, "fibre-100-20", NOON).name == "Fibre 100/20"
    assert at(catalog, "fibre-100-20", NOON + 10 * DAY).name == "Fibre 100 more"


def test_a_broken_document_publishes_nothing(
    runtime: Runtime, catalog: CatalogService, document: Document
) -> None:
    document["offerings"][3]["service"] = "television"
    with pytest.raises(InvalidInput):
        publish(runtime, catalog, document)
    assert catalog.offerings() == []


def test_a_rolled_back_version_is_not_remembered(
    runtime: Runtime, catalog: CatalogService, document: Document
) -> None:
    publish(runtime, catalog, document)
    with pytest.raises(RuntimeError), runtime.unit("catalog", "cli:anna") as unit:
        document["offerings"][0]["name"] = "Never"
        catalog.publish(unit, document)
        catalog.publish(unit, document)
        raise RuntimeError
    document["offerings"][0]["name"] = "Really"
    publish(runtime, catalog, document)
    assert at(catalog, "fibre-100-20", NOON).name == "Really"


def test_who_published_what_is_audited(runtime: Runtime, catalog: CatalogService, document: Document) -> None:
    publish(runtime, catalog, document)
    with runtime.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT actor, action, after->>'code' FROM runtime.audit ORDER BY 3"))
        assert tuple(rows.all()[0]) == ("cli:anna", "catalog.publish", "fibre-100-20")


def test_policies_are_versioned_too(runtime: Runtime, catalog: CatalogService, policies: Document) -> None:
    def publish_policies() -> int:
        with runtime.unit("catalog", "cli:anna") as unit:
            return catalog.publish_policies(unit, policies)

    assert (publish_policies(), publish_policies()) == (4, 0)
    runtime.clock.advance(DAY)
    policies["policies"]["credit"]["standard"]["share_percent"] = 7.5
    assert publish_policies() == 1
    before, after = (catalog.policy("credit", "standard", when) for when in (NOON, NOON + DAY))
    assert before is not None
    assert after is not None
    assert (before["share_percent"], after["share_percent"]) == ("2.5", "7.5")
    assert catalog.policy("credit", "gold", NOON) is None
    assert set(catalog.policies("tax", NOON)) == {"standard"}


def test_whoever_interprets_a_policy_may_refuse_it(runtime: Runtime, policies: Document) -> None:
    def check(document: Any, path: str) -> None:
        raise InvalidInput("no", field=f"{path}.per", remedy="other")

    catalog = build(runtime, {"credit": check}).service
    refused = pytest.raises(InvalidInput, match=r"policies\.credit\.standard\.per")
    with refused, runtime.unit("catalog", "cli:anna") as unit:
        catalog.publish_policies(unit, policies)
    assert catalog.policies("tax", NOON) == {}
