"""Outgoing records: facts with what must be looked up, as fields of a file. No names, no addresses."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from turnup.contracts import billing, crm, provisioning
from turnup.integration.mediation.model import Connector, Fact, RecordKind
from turnup.integration.mediation.service.mediation import Mediation
from turnup.kernel.errors import NotFound
from turnup.kernel.ids import AccountId, RunId, ServiceId
from turnup.kernel.money import Money

RECORDS_MAX = 20_000
"""About so many in one file, and at the least those of one fact: a shard of a bill run has hundreds."""


class Records:
    """Reads billing, crm and provisioning; posted invoices and facts never change, so the same facts make the
    same records."""

    def __init__(
        self,
        mediation: Mediation,
        *,
        customers: crm.Reads,
        bills: billing.Reads,
        services: provisioning.Reads,
    ) -> None:
        self._mediation = mediation
        self._customers = customers
        self._bills = bills
        self._services = services

    def of(
        self, connector: Connector, facts: Sequence[Fact]
    ) -> tuple[Sequence[Fact], list[Mapping[str, str]]]:
        """(the facts that go into this file, their records): the first ones, not more than fit in memory."""
        accounts: dict[str, Mapping[str, str]] = {}

        def who(account_id: str) -> Mapping[str, str]:
            if account_id not in accounts:
                accounts[account_id] = self._who(connector.system, AccountId(UUID(account_id)))
            return accounts[account_id]

        if connector.kind is RecordKind.INVOICES:
            return self._invoices(facts, who)
        if connector.kind is RecordKind.PAYMENTS:
            return facts, [{**fact.facts, **who(fact.facts["account_id"])} for fact in facts]
        numbers = self._services.services([ServiceId(UUID(fact.facts["service_id"])) for fact in facts])
        by_id = {str(view.id): view.number for view in numbers}
        return facts, [
            {
                **fact.facts,
                "service": by_id[fact.facts["service_id"]],
                **who(fact.facts["account_id"]),
            }
            for fact in facts
        ]

    def _invoices(
        self, facts: Sequence[Fact], who: Callable[[str], Mapping[str, str]]
    ) -> tuple[Sequence[Fact], list[Mapping[str, str]]]:
        records: list[Mapping[str, str]] = []
        for n, fact in enumerate(facts):
            heads = self._bills.posted_in(RunId(UUID(fact.facts["run"])), int(fact.facts["shard"]))
            if n and len(records) + len(heads) > RECORDS_MAX:
                return facts[:n], records
            records += [{**self._invoice(head), **who(str(head.account_id))} for head in heads]
        return facts, records

    def _who(self, system: str, account_id: AccountId) -> Mapping[str, str]:
        """The account's number, and what the other system calls its customer (empty where it has no name)."""
        account = self._customers.account(account_id)
        if account is None:
            raise NotFound(f"no account {account_id}", field="account")
        names = self._mediation.external_ids("customer", account.customer_id)
        return {
            "account": account.number,
            "customer": next((external for known, external in names if known == system), ""),
        }

    @staticmethod
    def _invoice(view: billing.InvoiceHead) -> Mapping[str, str]:
        return {
            "number": view.number,
            "kind": view.kind,
            "invoice_date": view.invoice_date.isoformat(),
            "due_date": view.due_date.isoformat(),
            "period_from": view.period_from.isoformat(),
            "period_to": view.period_to.isoformat(),
            "currency": view.currency,
            "net": Money(view.net_minor, view.currency).plain,
            "tax": Money(view.tax_minor, view.currency).plain,
            "total": Money(view.total_minor, view.currency).plain,
        }
