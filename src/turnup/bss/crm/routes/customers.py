"""TMF629 customer and TMF666 billingAccount. Making a customer opens the account she is billed on."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from turnup.bss.crm.model import CustomerFile, CustomerTerms, PartyKind
from turnup.bss.crm.routes.contacts import contact_documents, optional_text, read_contacts, text
from turnup.bss.crm.service import CrmService
from turnup.contracts.crm import AccountView, CustomerView, NewCustomer
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import AccountId, CustomerId, PartyId
from turnup.runtime.auth import Realm
from turnup.runtime.tmf import Attribute, Kind, Page, Query, Resource, base_path, uuid_or_none
from turnup.runtime.unit_of_work import UnitOfWork

_CHARACTERISTICS = {"currency": str, "timeZone": str, "billCycleDay": int}
_PARTY_BASE = base_path("TMF632")
_ACCOUNT_BASE = base_path("TMF666")


def customer_resources(service: CrmService, language: str) -> list[Resource]:
    pages = _Customers(service, language)
    return [
        Resource(
            api="TMF629",
            name="customer",
            type_name="Customer",
            component="crm",
            scope="crm",
            list=pages.list,
            get=pages.get,
            realm=pages.realm,
            create=pages.create,
            attributes={
                "id": Attribute(Kind.ID, "id", sortable=True),
                "name": Attribute(column="name", sortable=True),
                "status": Attribute(column="status"),
                "engagedParty.id": Attribute(Kind.ID, "party"),
                "contactMedium.emailAddress": Attribute(column="email"),
                "contactMedium.phoneNumber": Attribute(column="phone"),
                "characteristic.value": Attribute(column="number"),
            },
        ),
        Resource(
            api="TMF666",
            name="billingAccount",
            type_name="BillingAccount",
            component="crm",
            scope="crm",
            list=pages.accounts,
            get=pages.account,
            realm=pages.account_realm,
            attributes={
                "id": Attribute(Kind.ID, "id", sortable=True),
                "name": Attribute(column="number", sortable=True),
                "relatedParty.partyOrPartyRole.id": Attribute(Kind.ID, "customer"),
            },
        ),
    ]


class _Customers:
    """Customers and their billing accounts; `language` is that of one for which none is given."""

    def __init__(self, service: CrmService, language: str) -> None:
        self._service = service
        self._default_language = language

    def list(self, query: Query) -> Page:
        return query.read(self._service.customer_rows, self._document)

    def get(self, identity: str) -> dict[str, Any] | None:
        """By id or number."""
        view = self._find(identity)
        return None if view is None else self._document(self._service.customer_file(view))

    def create(self, unit: UnitOfWork, body: dict[str, Any], key: str | None) -> str:
        """A party that exists is named by `engagedParty`; otherwise the contact media make one."""
        chosen = _chosen(body)
        once: dict[str, Any] = (
            {"external_id": f"{unit.actor}:{key}", "content_hash": _hash(body)} if key else {}
        )
        engaged = body.get("engagedParty")
        if isinstance(engaged, Mapping) and engaged.get("id"):
            party_id = uuid_or_none(str(engaged["id"]))
            if party_id is None:
                raise InvalidInput("is no id", field="engagedParty.id", remedy="the id of an individual")
            terms = CustomerTerms(**once, **chosen)
            return str(self._service.open_customer_for(unit, PartyId(party_id), terms).customer_id)
        media = read_contacts(body.get("contactMedium", []))
        if "address" not in media:
            raise InvalidInput(
                "a customer lives somewhere",
                field="contactMedium",
                remedy="add a GeographicAddressContactMedium, or name an engagedParty",
            )
        kind = PartyKind.ORGANIZATION if _is_organization(engaged) else PartyKind.INDIVIDUAL
        chosen = {"language": self._default_language, **chosen}
        new = NewCustomer(name=text(body, "name"), kind=kind, **once, **media, **chosen)
        return str(self._service.open_customer(unit, new).customer_id)

    def accounts(self, query: Query) -> Page:
        return query.read(self._service.account_rows, self._account_document)

    def account(self, identity: str) -> dict[str, Any] | None:
        """By id or number."""
        account_id = uuid_or_none(identity)
        if account_id is None:
            view = self._service.account_by_number(identity)
        else:
            view = self._service.account(AccountId(account_id))
        return None if view is None else self._account_document(view)

    def realm(self, document: Mapping[str, Any]) -> Realm | None:
        """Whose this customer is. One to be made is nobody's yet: confined callers make none."""
        view = self._find(document["id"]) if "id" in document else None
        return None if view is None else Realm(view.legal_entity_id, view.brand_id)

    def account_realm(self, document: Mapping[str, Any]) -> Realm | None:
        account_id = uuid_or_none(str(document.get("id", "")))
        view = self._service.account(AccountId(account_id)) if account_id else None
        return None if view is None else Realm(view.legal_entity_id, view.brand_id)

    def _find(self, identity: str) -> CustomerView | None:
        customer_id = uuid_or_none(identity)
        if customer_id is None:
            return self._service.customer_by_number(identity)
        return self._service.customer(CustomerId(customer_id))

    @staticmethod
    def _document(file: CustomerFile) -> dict[str, Any]:
        view = file.customer
        return {
            "id": str(view.id),
            "name": view.name,
            "status": view.status,
            "engagedParty": {
                "@type": "PartyRef",
                "@referredType": view.kind.capitalize(),
                "id": str(view.party_id),
                "href": f"{_PARTY_BASE}/{view.kind}/{view.party_id}",
                "name": view.name,
            },
            "contactMedium": contact_documents(file.party, file.address_id),
            "account": [
                {
                    "@type": "AccountRef",
                    "@referredType": "BillingAccount",
                    "id": str(account.id),
                    "href": f"{_ACCOUNT_BASE}/billingAccount/{account.id}",
                    "name": account.number,
                }
                for account in file.accounts
            ],
            "characteristic": [_characteristic("customerNumber", view.number)],
        }

    def _account_document(self, view: AccountView) -> dict[str, Any]:
        return {
            "id": str(view.id),
            "name": view.number,
            "accountType": "billing",
            "state": "active",
            "ratingType": "postpaid",
            "billStructure": {
                "@type": "BillStructure",
                "cycleSpecification": {
                    "@type": "BillingCycleSpecification",
                    "name": f"monthly on day {view.bill_cycle_day}",
                    "billingPeriod": "month",
                    "billingDateShift": view.bill_cycle_day - 1,
                },
            },
            "relatedParty": [
                {
                    "@type": "RelatedPartyRefOrPartyRoleRef",
                    "role": "customer",
                    "partyOrPartyRole": {
                        "@type": "PartyRoleRef",
                        "@referredType": "Customer",
                        "id": str(view.customer_id),
                    },
                }
            ],
        }


def _characteristic(name: str, value: str) -> dict[str, Any]:
    return {"@type": "StringCharacteristic", "name": name, "valueType": "string", "value": value}


def _is_organization(engaged: object) -> bool:
    return isinstance(engaged, Mapping) and engaged.get("@referredType") == "Organization"


def _chosen(body: Mapping[str, Any]) -> dict[str, Any]:
    """How she wants to be billed, by the characteristics currency, timeZone and billCycleDay."""
    names = {"currency": "currency", "timeZone": "time_zone", "billCycleDay": "bill_cycle_day"}
    found: dict[str, Any] = {}
    for n, entry in enumerate(body.get("characteristic") or []):
        path = f"characteristic[{n}]"
        if not isinstance(entry, Mapping) or entry.get("name") not in names:
            raise InvalidInput(
                "is not known", field=f"{path}.name", remedy=f"one of {', '.join(sorted(names))}"
            )
        name = str(entry["name"])
        if type(entry.get("value")) is not _CHARACTERISTICS[name]:
            raise InvalidInput(
                f"is no {_CHARACTERISTICS[name].__name__}",
                field=f"{path}.value",
                remedy=f"a value for {name}",
            )
        found[names[name]] = entry["value"]
    if (language := optional_text(body, "language")) is not None:
        found["language"] = language
    return found


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()
