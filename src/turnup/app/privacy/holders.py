"""Everybody who holds something about a person, and who a person is: her ids in every component."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from turnup.bss.billing.service.billing import Billing
from turnup.bss.crm.service import DELIVER, CrmService
from turnup.contracts.privacy import Kept, Person, PersonalData
from turnup.kernel.clock import Clock
from turnup.kernel.errors import TurnupError
from turnup.kernel.ids import AccountId
from turnup.oss.provisioning.service import Provisioning
from turnup.runtime.component import Runtime, Schema
from turnup.runtime.personal import DeclaredData

CRM = "crm"


@dataclass(frozen=True, slots=True)
class Holders:
    """`data`: what each component holds, crm last: an erasure that breaks off still knows who she is."""

    data: Mapping[str, PersonalData]
    crm: CrmService
    provisioning: Provisioning

    @classmethod
    def of(
        cls,
        runtime: Runtime,
        schemas: Sequence[Schema],
        crm: CrmService,
        provisioning: Provisioning,
        billing: Billing,
    ) -> "Holders":
        asked: dict[str, Callable[[Person], Sequence[str]]] = {
            "billing": lambda person: _not_billed(billing, runtime.clock, person)
        }
        ordered = sorted(schemas, key=lambda schema: schema.name == CRM)
        data = {
            schema.name: DeclaredData(
                runtime.database, schema.name, schema.privacy, asked.get(schema.name, lambda _: ())
            )
            for schema in ordered
        }
        return cls(data, crm, provisioning)

    def person(self, named: str) -> Person:
        """By customer's number, mail address, or id of a customer or party. Raises NotFound, Conflict."""
        party, ids = self.crm.person(named)
        return Person(
            party=party,
            customers=ids.customers,
            accounts=ids.accounts,
            addresses=ids.addresses,
            services=tuple(self.provisioning.services_of(ids.accounts)),
            externals=ids.externals,
            messages=ids.messages,
        )

    def in_the_way(self, person: Person) -> list[str]:
        return [why for data in self.data.values() for why in data.in_the_way(person)]

    def last_document(self, person: Person) -> date | None:
        dates = [each for data in self.data.values() if (each := data.last_document(person)) is not None]
        return max(dates, default=None)

    def kept(self, person: Person) -> list[Kept]:
        return [kept for data in self.data.values() for kept in data.kept(person)]


def delivered_as(person: Person) -> list[str]:
    """Keys of the workflows that brought her messages."""
    return [f"{DELIVER}:{key}" for key in person.messages]


def as_json(person: Person) -> dict[str, Any]:
    """Ids only: a workflow may keep it."""
    return {
        "party": str(person.party),
        **{
            name: [str(each) for each in getattr(person, name)]
            for name in ("customers", "accounts", "addresses", "services", "externals", "messages")
        },
    }


def from_json(kept: Mapping[str, Any]) -> Person:
    ids = {
        name: tuple(UUID(each) for each in kept[name])
        for name in ("customers", "accounts", "addresses", "services")
    }
    return Person(
        party=UUID(kept["party"]),
        externals=tuple(kept["externals"]),
        messages=tuple(kept["messages"]),
        **ids,
    )


def _not_billed(billing: Billing, clock: Clock, person: Person) -> Sequence[str]:
    """What was used and not billed yet is an open balance, too."""
    found = []
    for account in person.accounts:
        try:
            draft = billing.preview(AccountId(account), clock.now().date())
        except TurnupError as error:
            found.append(f"an account cannot be billed: {error.message}; mend that first")
            continue
        if draft is not None and draft.total_minor:
            found.append("the last bill is not made yet; run it first: turnup bill run")
    return found
