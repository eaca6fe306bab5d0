"""Where each TM Forum API lives: the one table of base paths.

The specifications, test kits and clients disagree (some name no path at all, TMF642 v5 still says v4); this
table decides. Each is the path of the newest specification that names one.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Api:
    """One TM Forum Open API: its name in paths, what people call it, the version that is spoken here."""

    path: str
    title: str
    version: str = "v5"


APIS: Mapping[str, Api] = {
    "TMF620": Api("productCatalogManagement", "Product Catalog"),
    "TMF621": Api("troubleTicket", "Trouble Ticket"),
    "TMF622": Api("productOrderingManagement", "Product Ordering"),
    "TMF629": Api("customer", "Customer"),
    "TMF632": Api("partyManagement", "Party"),
    "TMF633": Api("serviceCatalogManagement", "Service Catalog"),
    "TMF634": Api("resourceCatalog", "Resource Catalog"),
    "TMF635": Api("usageManagement", "Usage", "v4"),
    "TMF637": Api("productInventory", "Product Inventory"),
    "TMF638": Api("serviceInventory", "Service Inventory"),
    "TMF639": Api("resourceInventoryManagement", "Resource Inventory"),
    "TMF640": Api("serviceActivationAndConfiguration", "Service Activation"),
    "TMF641": Api("serviceOrdering", "Service Ordering"),
    "TMF642": Api("alarmManagement", "Alarm"),
    "TMF652": Api("resourceOrdering", "Resource Ordering", "v4"),
    "TMF656": Api("serviceProblemManagement", "Service Problem"),
    "TMF666": Api("accountManagement", "Account"),
    "TMF669": Api("partyRoleManagement", "Party Role"),
    "TMF673": Api("geographicAddressManagement", "Geographic Address"),
    "TMF676": Api("payment", "Payment", "v4"),
    "TMF678": Api("customerBillManagement", "Customer Bill"),
    "TMF688": Api("event", "Event", "v4"),
}
"""All that Turnup means to speak; docs/reference/tmf.md shows which of it exists."""


def base_path(api: str) -> str:
    """``/tmf-api/productOrderingManagement/v5`` for TMF622. Raises KeyError for an API the table lacks."""
    known = APIS[api]
    return f"/tmf-api/{known.path}/{known.version}"
