"""TMF632: individuals and organisations."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from turnup.bss.crm.model import PartyDetails, PartyKind
from turnup.bss.crm.routes.contacts import contact_documents, optional_text, read_contacts, text
from turnup.bss.crm.service import CrmService
from turnup.kernel.ids import AddressId, PartyId
from turnup.runtime.tmf import Attribute, Kind, Page, Query, Resource, uuid_or_none
from turnup.runtime.unit_of_work import UnitOfWork

_ATTRIBUTES = {
    "givenName": "given_name",
    "familyName": "family_name",
    "name": "name",
    "tradingName": "name",
}
_PERSONS = {
    "givenName": Attribute(column="given_name"),
    "familyName": Attribute(column="family_name"),
}


def party_resources(service: CrmService, language: str) -> list[Resource]:
    return [
        _resource(service, PartyKind.INDIVIDUAL, "Individual", language),
        _resource(service, PartyKind.ORGANIZATION, "Organization", language),
    ]


def _resource(service: CrmService, kind: PartyKind, type_name: str, language: str) -> Resource:
    pages = _Parties(service, kind, language)
    return Resource(
        api="TMF632",
        name=kind.value,
        type_name=type_name,
        component="crm",
        scope="crm",
        list=pages.list,
        get=pages.get,
        create=pages.create,
        patch=pages.patch,
        attributes={
            "id": Attribute(Kind.ID, "id", sortable=True),
            "name": Attribute(column="name", sortable=True),
            "contactMedium.emailAddress": Attribute(),
            **(_PERSONS if kind is PartyKind.INDIVIDUAL else {}),
        },
    )


class _Parties:
    """Parties of one kind; `language` is that of one for which none is given."""

    def __init__(self, service: CrmService, kind: PartyKind, language: str) -> None:
        self._service = service
        self._kind = kind
        self._default_language = language

    def list(self, query: Query) -> Page:
        rows = partial(self._service.party_rows, self._kind)
        return query.read(rows, lambda row: party_document(str(row[0]), row[1], row[2]))

    def get(self, identity: str) -> dict[str, Any] | None:
        party_id = uuid_or_none(identity)
        found = None if party_id is None else self._service.party(party_id)
        if found is None or found[0].kind is not self._kind:
            return None
        return party_document(identity, *found)

    def create(self, unit: UnitOfWork, body: dict[str, Any], key: str | None) -> str:
        details = replace(
            PartyDetails(kind=self._kind, name=_name(body, self._kind)),
            given_name=optional_text(body, "givenName"),
            family_name=optional_text(body, "familyName"),
            language=_language(body) or self._default_language,
            **read_contacts(body.get("contactMedium", [])),
        )
        scoped = f"{unit.actor}:{key}" if key else None
        return str(self._service.create_party(unit, details, scoped))

    def patch(self, unit: UnitOfWork, identity: str, changes: dict[str, Any]) -> str:
        party_id = PartyId(UUID(identity))
        found = self._service.party(party_id)
        assert found is not None  # the edge has just read it
        details = found[0]
        for attribute, field in _ATTRIBUTES.items():
            if attribute in changes:
                value = optional_text(changes, attribute)
                change: dict[str, Any] = {field: value if field != "name" else value or ""}
                details = replace(details, **change)
        if "contactMedium" in changes:
            media = read_contacts(changes["contactMedium"] or [])
            details = replace(details, email=media.get("email"), phone=media.get("phone"),
                              address=media.get("address", details.address))  # fmt: skip
        if (language := _language(changes)) is not None:
            details = replace(details, language=language)
        self._service.update_party(unit, party_id, details)
        return identity


def party_document(identity: str, details: PartyDetails, address_id: AddressId | None) -> dict[str, Any]:
    document: dict[str, Any] = {"id": identity, "name": details.name}
    if details.kind is PartyKind.INDIVIDUAL:
        if details.given_name is not None:
            document["givenName"] = details.given_name
        if details.family_name is not None:
            document["familyName"] = details.family_name
        document["languageAbility"] = [{"languageCode": details.language, "isFavouriteLanguage": True}]
    document["contactMedium"] = contact_documents(details, address_id)
    return document


def _name(body: Mapping[str, Any], kind: PartyKind) -> str:
    if kind is PartyKind.ORGANIZATION:
        return text(
            body, "name" if body.get("name") else "tradingName" if body.get("tradingName") else "name"
        )
    full = optional_text(body, "name") or optional_text(body, "formattedName")
    return full or f"{text(body, 'givenName')} {text(body, 'familyName')}"


def _language(body: Mapping[str, Any]) -> str | None:
    abilities = body.get("languageAbility")
    if not isinstance(abilities, list):
        return None
    favourite = [a for a in abilities if isinstance(a, Mapping) and a.get("isFavouriteLanguage")] or abilities
    return str(favourite[0].get("languageCode", "en"))[:2].lower() if favourite else None
