"""Typed identifiers: one type per kind of thing, so that a customer id never lands in a service column.

At run time every id is a plain UUID; the types exist for the checker and the reader. Aggregates get a
UUIDv7 (`new_id`: sortable by birth, kind to indexes); work that may be retried gets an id derived from
what it is about (`derived_id`), so that doing it twice names the same thing. People see numbers, never ids.
"""

from typing import NewType
from uuid import UUID, uuid5

import uuid_utils

PartyId = NewType("PartyId", UUID)
CustomerId = NewType("CustomerId", UUID)
AccountId = NewType("AccountId", UUID)
"""A billing account: the one who is billed."""
LegalEntityId = NewType("LegalEntityId", UUID)
BrandId = NewType("BrandId", UUID)
AddressId = NewType("AddressId", UUID)

OfferingId = NewType("OfferingId", UUID)
PriceId = NewType("PriceId", UUID)

OrderId = NewType("OrderId", UUID)
OrderItemId = NewType("OrderItemId", UUID)
ProductId = NewType("ProductId", UUID)
"""A sold product in a customer's possession (TMF637)."""
TaskId = NewType("TaskId", UUID)

ServiceId = NewType("ServiceId", UUID)
"""A customer-facing service instance (TMF638)."""
SiteId = NewType("SiteId", UUID)
ElementId = NewType("ElementId", UUID)
"""A managed network element: access device, BNG, AAA cluster."""
PortId = NewType("PortId", UUID)
LinkId = NewType("LinkId", UUID)
AlarmId = NewType("AlarmId", UUID)
ProblemId = NewType("ProblemId", UUID)

InvoiceId = NewType("InvoiceId", UUID)
PaymentId = NewType("PaymentId", UUID)
RunId = NewType("RunId", UUID)
FindingId = NewType("FindingId", UUID)

_NAMESPACE = UUID("6f0c1f3e-7b5a-5d0e-9a51-2f7475726e75")


def new_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562), to be wrapped in its type: `ServiceId(new_id())`."""
    return UUID(bytes=uuid_utils.uuid7().bytes)


def derived_id(kind: str, *parts: object) -> UUID:
    """The id (UUIDv5) of the thing of this kind that these parts determine: same parts, same id, always."""
    return uuid5(_NAMESPACE, "\x1f".join((kind, *(str(part) for part in parts))))
