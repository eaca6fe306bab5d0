"""Opening customers: everything in one go, once per foreign id, numbers without collisions."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from crm_events import stored_events
from sqlalchemy import text

from turnup.bss.crm.model import DEFAULT_BRAND, DEFAULT_LEGAL_ENTITY
from turnup.bss.crm.service import CrmService
from turnup.contracts.crm import NewAddress
from turnup.kernel.errors import Conflict, InvalidInput
from turnup.runtime.component import Runtime

Open = Callable[..., Any]
BERLIN = NewAddress(
    street="Hauptstr. 1",
    postcode="10115",
    city="Berlin",
    country="DE",
    latitude=Decimal("52.531677"),
    longitude=Decimal("13.381777"),
)


def test_a_customer_comes_with_account_address_and_contacts(crm: CrmService, open_customer: Open) -> None:
    opened = open_customer(address=BERLIN)
    customer = crm.customer(opened.customer_id)
    assert customer is not None
    assert (customer.number, customer.name, customer.email, customer.phone) == (
        "C-100001",
        "Jane Roe",
        "jane@example.net",
        "+49 30 123456",
    )
    assert (customer.legal_entity_id, customer.brand_id) == (DEFAULT_LEGAL_ENTITY, DEFAULT_BRAND)
    [account] = crm.accounts_of(opened.customer_id)
    assert (account.id, account.number, account.currency) == (opened.account_id, "A-100001", "EUR")
    assert crm.account_by_number("A-100001") == account
    address = crm.address(opened.address_id)
    assert address is not None
    assert (address.city, address.latitude) == ("Berlin", Decimal("52.531677"))
    assert crm.legal_entity("default") == DEFAULT_LEGAL_ENTITY


def test_events_tell_billing_all_it_needs_and_nothing_personal(runtime: Runtime, open_customer: Open) -> None:
    opened = open_customer(opening_balance_minor=-500, billed_through=date(2026, 3, 1))
    created, account = stored_events(runtime)
    assert created[0] == "crm.CustomerCreated"
    assert account == (
        "crm.AccountOpened",
        {
            "account_id": str(opened.account_id),
            "customer_id": str(opened.customer_id),
            "number": "A-100001",
            "currency": "EUR",
            "time_zone": "Europe/Berlin",
            "bill_cycle_day": 1,
            "tax_class": "standard",
            "dunning_policy": "standard",
            "legal_entity_id": str(DEFAULT_LEGAL_ENTITY),
            "brand_id": str(DEFAULT_BRAND),
            "opened_on": "2026-03-02",
            "opening_balance_minor": -500,
            "billed_through": "2026-03-01",
            "next_bill_date": None,
        },
    )
    with runtime.database.engine.connect() as connection:
        everything = connection.scalar(
            text("SELECT (SELECT json_agg(e) FROM runtime.event e)::text"
                 " || (SELECT json_agg(a) FROM runtime.audit a)::text")
        )  # fmt: skip
    assert not any(personal in everything for personal in ("Roe", "jane@", "Hauptstr", "123456"))


def test_the_same_foreign_customer_is_opened_once(runtime: Runtime, open_customer: Open) -> None:
    first = open_customer(external_id="old-17")
    assert open_customer(external_id="old-17", name="Jane Miller") == first
    assert open_customer(external_id="old-18") != first
    assert len(stored_events(runtime)) == 4


def test_many_at_once_get_different_numbers_and_one_foreign_customer(
    runtime: Runtime, crm: CrmService, open_customer: Open
) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda n: open_customer(external_id=f"old-{n % 5}"), range(20)))
    assert len({one.customer_id for one in opened}) == 5
    assert len({customer.number for customer in crm.all_customers()}) == 5
    assert len(stored_events(runtime)) == 10


def test_numbers_of_a_former_system_are_kept_and_passed_by(crm: CrmService, open_customer: Open) -> None:
    open_customer(number="C-100001", account_number="K-7")
    opened = open_customer()
    customer = crm.customer(opened.customer_id)
    assert customer is not None
    assert customer.number == "C-100002"
    with pytest.raises(Conflict, match="number: the customer number C-100001 is taken"):
        open_customer(number="C-100001")
    with pytest.raises(Conflict, match="account_number"):
        open_customer(account_number="K-7")


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"name": " "}, "name"),
        ({"kind": "robot"}, "kind"),
        ({"email": "jane"}, "email"),
        ({"phone": "abc"}, "phone"),
        ({"language": "English"}, "language"),
        ({"currency": "EURO"}, "currency"),
        ({"time_zone": "Berlin"}, "time_zone"),
        ({"bill_cycle_day": 32}, "bill_cycle_day"),
        ({"legal_entity": "acme"}, "legal_entity"),
        ({"brand": "acme"}, "brand"),
        ({"address": replace(BERLIN, country="Germany")}, "address.country"),
        ({"address": replace(BERLIN, street="")}, "address.street"),
        ({"address": replace(BERLIN, latitude=None)}, "address"),
        ({"address": replace(BERLIN, latitude=Decimal(91))}, "address.latitude"),
    ],
)
def test_errors_name_the_field_and_leave_nothing(
    runtime: Runtime, crm: CrmService, open_customer: Open, facts: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as failure:
        open_customer(**facts)
    assert failure.value.field == field
    assert failure.value.remedy
    assert (crm.all_customers(), stored_events(runtime)) == ([], [])


def test_a_second_brand_and_entity(runtime: Runtime, crm: CrmService, open_customer: Open) -> None:
    with runtime.unit("crm", "cli:anna") as unit:
        entity = crm.ensure_legal_entity(unit, "north", "North GmbH")
        brand = crm.ensure_brand(unit, "budget", "Budget")
        assert crm.ensure_brand(unit, "budget", "Budget Net") == brand
    opened = open_customer(legal_entity="north", brand="budget")
    account = crm.account(opened.account_id)
    assert account is not None
    assert (account.legal_entity_id, account.brand_id) == (entity, brand)


def test_crm_has_no_rights_outside_its_schema(runtime: Runtime) -> None:
    with runtime.snapshot("crm") as connection, pytest.raises(Exception, match="permission denied"):
        connection.execute(text("SELECT * FROM runtime.api_token"))
