"""Whose a stanza on an element is: the service it names, or nobody of ours."""

from uuid import UUID

from turnup.contracts.inventory import ElementView
from turnup.kernel.ids import ServiceId, derived_id


def service_of(element: ElementView, key: str) -> ServiceId:
    """The service a stanza's key names. A key that somebody else chose gets an id derived from element and
    key, always the same, so that reconciliation sees the stanza as unexpected."""
    try:
        return ServiceId(UUID(key))
    except ValueError:
        return ServiceId(derived_id("foreign", element.code, key))
