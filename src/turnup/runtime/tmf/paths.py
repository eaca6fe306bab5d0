"""Where each TM Forum API lives: the one table of base paths.

The specifications, test kits and clients disagree (some name no path at all, TMF642 v5 still says v4); this
table decides. Each is the path of the newest specification that names one.
"""

_NAMES = {
    "TMF620": "productCatalogManagement",
    "TMF621": "troubleTicket",
    "TMF622": "productOrderingManagement",
    "TMF629": "customer",
    "TMF632": "partyManagement",
    "TMF633": "serviceCatalogManagement",
    "TMF634": "resourceCatalog",
    "TMF637": "productInventory",
    "TMF638": "serviceInventory",
    "TMF639": "resourceInventoryManagement",
    "TMF640": "serviceActivationAndConfiguration",
    "TMF641": "serviceOrdering",
    "TMF642": "alarmManagement",
    "TMF645": "serviceQualificationManagement",
    "TMF653": "serviceTestManagement",
    "TMF656": "serviceProblemManagement",
    "TMF666": "accountManagement",
    "TMF669": "partyRoleManagement",
    "TMF673": "geographicAddressManagement",
    "TMF674": "geographicSiteManagement",
    "TMF677": "usageConsumption",
    "TMF678": "customerBillManagement",
}


def base_path(api: str, version: str = "v5") -> str:
    """``/tmf-api/productOrderingManagement/v5`` for TMF622. Raises KeyError for an API the table lacks."""
    return f"/tmf-api/{_NAMES[api]}/{version}"
