"""TMF673: where parties live and services are built; reading only, as addresses come with their customers."""

from typing import Any

from turnup.bss.crm.service import CrmService
from turnup.contracts.crm import AddressView
from turnup.kernel.ids import AddressId
from turnup.runtime.tmf import Attribute, Kind, Page, Query, Resource, uuid_of


def address_resources(service: CrmService) -> list[Resource]:
    def page(query: Query) -> Page:
        return query.read(service.address_rows, _document)

    def get(identity: str) -> dict[str, Any] | None:
        view = service.address(AddressId(uuid_of(identity)))
        return None if view is None else _document(view)

    return [
        Resource(
            api="TMF673",
            name="geographicAddress",
            type_name="GeographicAddress",
            component="crm",
            scope="crm",
            list=page,
            get=get,
            attributes={
                "id": Attribute(Kind.ID, "id", sortable=True),
                "streetName": Attribute(column="street"),
                "postcode": Attribute(column="postcode", sortable=True),
                "city": Attribute(column="city", sortable=True),
                "country": Attribute(column="country"),
            },
        )
    ]


def _document(view: AddressView) -> dict[str, Any]:
    """`streetName` holds the number as well: crm keeps the line as people write it."""
    body: dict[str, Any] = {
        "id": str(view.id),
        "streetName": view.street,
        "postcode": view.postcode,
        "city": view.city,
        "country": view.country,
    }
    if view.latitude is not None and view.longitude is not None:
        body["geographicLocation"] = {
            "@type": "GeoJsonPoint",
            "geoJson": {"type": "Point", "coordinates": [view.longitude, view.latitude]},
        }
    return body
