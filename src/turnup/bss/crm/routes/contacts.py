"""Contact media of TMF632, both ways; the v4 shape (`mediumType`, `characteristic`) is read too."""

from collections.abc import Mapping, Sequence
from typing import Any

from turnup.bss.crm.model import PartyDetails
from turnup.contracts.crm import NewAddress
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import AddressId

_KINDS = {
    "EmailContactMedium": "email",
    "PhoneContactMedium": "phone",
    "GeographicAddressContactMedium": "address",
    "email": "email",
    "phone": "phone",
    "telephone number": "phone",
    "postal address": "address",
    "address": "address",
}


def contact_documents(details: PartyDetails, address_id: AddressId | None) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []
    if details.email is not None:
        documents.append(
            {
                "@type": "EmailContactMedium",
                "contactType": "email",
                "emailAddress": details.email,
                "preferred": True,
            }
        )
    if details.phone is not None:
        documents.append(
            {"@type": "PhoneContactMedium", "contactType": "phone", "phoneNumber": details.phone}
        )
    if details.address is not None:
        documents.append(
            {
                "@type": "GeographicAddressContactMedium",
                "contactType": "home",
                "street1": details.address.street,
                "postCode": details.address.postcode,
                "city": details.address.city,
                "country": details.address.country,
                "geographicAddress": {"@type": "GeographicAddressRef", "id": str(address_id)},
            }
        )
    return documents


def read_contacts(media: object) -> dict[str, Any]:
    """`email`, `phone` and `address` of a `contactMedium` list. Raises InvalidInput naming the entry."""
    if not isinstance(media, Sequence) or isinstance(media, str):
        raise InvalidInput("must be a list", field="contactMedium", remedy="send [{…}]")
    found: dict[str, Any] = {}
    for n, medium in enumerate(media):
        path = f"contactMedium[{n}]"
        if not isinstance(medium, Mapping):
            raise InvalidInput(
                "must be an object", field=path, remedy='send {"@type": "EmailContactMedium", …}'
            )
        # v4 keeps the values one level down
        values = {**medium, **(medium.get("characteristic") or {})}
        kind = _KINDS.get(str(values.get("@type"))) or _KINDS.get(str(values.get("mediumType")).lower())
        if kind == "email":
            found["email"] = text(values, "emailAddress", path)
        elif kind == "phone":
            found["phone"] = text(values, "phoneNumber", path)
        elif kind == "address":
            found["address"] = NewAddress(
                street=text(values, "street1", path),
                postcode=text(values, "postCode", path),
                city=text(values, "city", path),
                country=text(values, "country", path),
            )
        else:
            raise InvalidInput(
                f"{values.get('@type') or values.get('mediumType')!r} is not kept here",
                field=f"{path}.@type",
                remedy="EmailContactMedium, PhoneContactMedium or GeographicAddressContactMedium",
            )
    return found


def text(values: Mapping[str, Any], name: str, path: str = "") -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value.strip():
        where = f"{path}.{name}" if path else name
        raise InvalidInput("is missing or no text", field=where, remedy=f'send "{name}": "…"')
    return value.strip()


def optional_text(values: Mapping[str, Any], name: str) -> str | None:
    return None if values.get(name) is None else text(values, name)
