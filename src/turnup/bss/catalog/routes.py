"""The catalog over HTTP: TMF620, reading. An offering's id is its code, as in orders and products; a version
keeps an id of its own, by which it is found for ever."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from fastapi import APIRouter

from turnup.bss.catalog.service import CatalogService
from turnup.contracts.catalog import CharacteristicSpec, OfferingView, PriceView
from turnup.kernel.ids import OfferingId, PriceId
from turnup.runtime.component import Runtime
from turnup.runtime.tmf import Attribute, Kind, Query, Resource, base_path, router, uuid_or_none

_STATUS = {"in_study": "In study", "active": "Active", "retired": "Retired"}
_PRICE_TYPE = {"one_time": "oneTime", "recurring": "recurring", "usage": "usage"}
_VALUE_TYPE = {"string": "string", "integer": "integer", "boolean": "boolean"}
_BASE = base_path("TMF620")
_COMMON = {
    "id": Attribute(sortable=True),
    "name": Attribute(sortable=True),
    "lifecycleStatus": Attribute(),
    "lastUpdate": Attribute(Kind.INSTANT, sortable=True),
}


def build_router(service: CatalogService, runtime: Runtime) -> APIRouter:
    pages = _Pages(service, runtime)
    return router(
        [
            Resource(
                api="TMF620",
                name="productOffering",
                type_name="ProductOffering",
                component="catalog",
                scope="catalog",
                list=pages.offerings,
                get=pages.offering,
                attributes={
                    **_COMMON,
                    "isSellable": Attribute(Kind.BOOLEAN),
                    "productOfferingPrice.id": Attribute(Kind.ID),
                },
            ),
            Resource(
                api="TMF620",
                name="productOfferingPrice",
                type_name="ProductOfferingPrice",
                component="catalog",
                scope="catalog",
                list=pages.prices,
                get=pages.price,
                attributes={
                    **_COMMON,
                    "priceType": Attribute(),
                    "price.unit": Attribute(),
                    "price.value": Attribute(Kind.NUMBER, sortable=True),
                },
            ),
        ],
        runtime,
    )


class _Pages:
    """Lists show what is in force now; a single version is found for ever."""

    def __init__(self, service: CatalogService, runtime: Runtime) -> None:
        self._service = service
        self._clock = runtime.clock

    def offerings(self, query: Query) -> Iterator[dict[str, Any]]:
        return (offering_document(view) for view in self._service.offerings(self._clock.now()))

    def offering(self, identity: str) -> dict[str, Any] | None:
        version = uuid_or_none(identity)
        if version is None:
            view = self._service.offering_by_code(identity, self._clock.now())
        else:
            view = self._service.offering(OfferingId(version))
        return None if view is None else offering_document(view)

    def prices(self, query: Query) -> Iterator[dict[str, Any]]:
        for view in self._service.offerings(self._clock.now()):
            for price in view.prices:
                yield price_document(view, price)

    def price(self, identity: str) -> dict[str, Any] | None:
        price_id = uuid_or_none(identity)
        view = None if price_id is None else self._service.offering_of_price(PriceId(price_id))
        if view is None:
            return None
        return next(price_document(view, price) for price in view.prices if price.id == price_id)


def offering_document(view: OfferingView) -> dict[str, Any]:
    """TMF620 ProductOffering."""
    return {
        "id": view.code,
        "name": view.name,
        "description": view.description,
        "version": str(view.version),
        "lifecycleStatus": _STATUS[view.status],
        "lastUpdate": view.valid_from,
        "isBundle": False,
        "isSellable": view.status == "active",
        "validFor": _valid_for(view),
        "externalIdentifier": [
            {"@type": "ExternalIdentifier", "externalIdentifierType": "version", "id": str(view.id)}
        ],
        "productOfferingCharacteristic": [_characteristic(known) for known in view.characteristics],
        "productOfferingPrice": [
            {
                "@type": "ProductOfferingPriceRef",
                "id": str(price.id),
                "href": f"{_BASE}/productOfferingPrice/{price.id}",
                "name": price.name,
            }
            for price in view.prices
        ],
    }


def price_document(view: OfferingView, price: PriceView) -> dict[str, Any]:
    """TMF620 ProductOfferingPrice; prices are net."""
    document: dict[str, Any] = {
        "id": str(price.id),
        "name": price.name,
        "description": f"{view.name}: {price.name}",
        "version": str(view.version),
        "lifecycleStatus": _STATUS[view.status],
        "lastUpdate": view.valid_from,
        "isBundle": False,
        "priceType": _PRICE_TYPE[price.kind],
        "price": {"unit": price.currency, "value": price.amount},
        "validFor": _valid_for(view),
        "tax": [{"@type": "TaxItem", "taxCategory": price.tax_category}],
        "externalIdentifier": [
            {"@type": "ExternalIdentifier", "externalIdentifierType": "code", "id": price.code}
        ],
    }
    if price.kind == "recurring":
        document["recurringChargePeriodType"] = "month"
        document["recurringChargePeriodLength"] = price.period_months
    if price.unit is not None:
        document["unitOfMeasure"] = {"amount": Decimal(1), "units": price.unit}
    if price.option is not None:
        document["prodSpecCharValueUse"] = [
            {
                "@type": "ProductSpecificationCharacteristicValueUse",
                "name": price.option,
                "valueType": "boolean",
                "productSpecCharacteristicValue": [
                    {
                        "@type": "BooleanCharacteristicValueSpecification",
                        "valueType": "boolean",
                        "value": True,
                    }
                ],
            }
        ]
    return document


def _characteristic(known: CharacteristicSpec) -> dict[str, Any]:
    kind = _VALUE_TYPE[known.kind]
    values = known.allowed or (() if known.default is None else (known.default,))
    return {
        "@type": "CharacteristicSpecification",
        "id": known.name,
        "name": known.name,
        "valueType": kind,
        "configurable": known.configurable,
        "minCardinality": int(known.mandatory),
        "maxCardinality": 1,
        "characteristicValueSpecification": [
            {
                "@type": f"{kind.capitalize()}CharacteristicValueSpecification",
                "valueType": kind,
                "value": value,
                "isDefault": value == known.default,
            }
            for value in values
        ],
    }


def _valid_for(view: OfferingView) -> dict[str, Any]:
    period: dict[str, Any] = {"startDateTime": view.valid_from}
    if view.valid_to is not None:
        period["endDateTime"] = view.valid_to
    return period
