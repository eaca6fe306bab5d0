"""Whose things a caller sees: those of her legal entity or brand, where she is confined to one."""

from turnup.contracts.crm import AccountView, CustomerView
from turnup.kernel.errors import NotFound
from turnup.runtime.auth import Caller, Realm


def sees(caller: Caller, owner: CustomerView | AccountView | None) -> bool:
    if caller.realm is None:
        return True
    return owner is not None and caller.realm.holds(Realm(owner.legal_entity_id, owner.brand_id))


def not_here(what: str, number: str) -> NotFound:
    """The same for what is not there and for what is not hers to see."""
    return NotFound(f"there is no {what} {number}", field=what, remedy="look for it in the search box")
