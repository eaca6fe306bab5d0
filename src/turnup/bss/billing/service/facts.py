"""What happened: accounts, agreements, service history, usage and outages find their way into billing.

Every use case bears repetition and disorder. A fact about time that was billed already, or is being billed
right now, reopens the account: its next bill charges or credits the difference.
"""

from datetime import datetime, timedelta
from uuid import UUID

from turnup.bss.billing.model import AgreedCharge, FactKind, ServiceFact
from turnup.bss.billing.rules.charges import agreement_rows, ends_on
from turnup.bss.billing.rules.service_time import billable_times, first_difference, starting_fact
from turnup.bss.billing.rules.usage import days_of
from turnup.bss.billing.service.opening import post_opening_balance
from turnup.bss.billing.store import accounts, runs
from turnup.contracts.crm import AccountOpened
from turnup.contracts.orders import PriceAgreed
from turnup.contracts.unit import Unit
from turnup.kernel.clock import business_date, start_of_day
from turnup.kernel.errors import NotFound
from turnup.kernel.ids import AccountId, ServiceId
from turnup.kernel.periods import BillCycle


def open_account(unit: Unit, event: AccountOpened) -> None:
    """Begin to bill an account: from its running bill period, or from where a former system stopped."""
    today = business_date(unit.now, event.time_zone)
    cycle = BillCycle(event.bill_cycle_day)
    billed_through = cycle.boundary_on_or_before(min(event.billed_through or today, today))
    first = cycle.boundary_after(billed_through)
    account = accounts.AccountRow(
        id=event.account_id,
        number=event.number,
        customer_id=event.customer_id,
        legal_entity_id=event.legal_entity_id,
        brand_id=event.brand_id,
        currency=event.currency,
        zone=event.time_zone,
        cycle_day=event.bill_cycle_day,
        tax_class=event.tax_class,
        dunning_policy=event.dunning_policy,
        taken_over_through=event.billed_through,
        billed_through=billed_through,
        next_bill_date=max(event.next_bill_date or first, billed_through + timedelta(days=1)),
    )
    if accounts.insert_account(unit.connection, account) and event.opening_balance_minor:
        post_opening_balance(unit, account, event.opening_balance_minor, today)


def agree(unit: Unit, event: PriceAgreed) -> None:
    """A price was agreed or changed: it replaces the product's former agreement from that instant on."""
    runs.hold_facts(unit.connection)
    starting_fact(event.billing_start)
    account = _account(unit, event.account_id)
    accounts.upsert_service(
        unit.connection, event.service_id, event.account_id, event.product_id, event.billing_start
    )
    service = _service(unit, event.service_id)
    effective_at = event.effective_at if event.revision == 1 else event.effective_at or unit.now
    if event.adopted:
        takeover = start_of_day(account.taken_over_through or account.billed_through, account.zone)
        effective_at = max(effective_at or takeover, takeover)
    fresh = accounts.insert_revision(
        unit.connection, event.product_id, event.revision, event.account_id, event.service_id, effective_at
    )
    if not fresh:
        return
    charges = [(charge, _end_of(charge, effective_at, account)) for charge in agreement_rows(event)]
    accounts.insert_agreements(unit.connection, service, event.revision, event.credit_policy, charges)
    accounts.chain_revisions(unit.connection, event.product_id, account.zone)
    if effective_at is not None:
        accounts.reopen(
            unit.connection, event.account_id, business_date(effective_at, account.zone), billed_late=False
        )
    if event.adopted and effective_at is not None:
        accounts.insert_fact(
            unit.connection, service.id, ServiceFact(FactKind.ADOPTED, effective_at), unit.now, ""
        )
    _rewrite_history(unit, service)
    for early in accounts.take_early(unit.connection, service.id):
        if early.kind == "usage":
            record_usage(unit, service.id, early.key, early.started_at, early.ended_at, early.octets)
        else:
            record_outage(unit, UUID(early.key), service.id, early.started_at, early.ended_at)


def _end_of(
    charge: AgreedCharge, effective_at: datetime | None, account: accounts.AccountRow
) -> datetime | None:
    """When a charge for so many cycles ends. Such a charge needs to know when it begins."""
    if charge.cycles is None or effective_at is None:
        return None
    start = business_date(effective_at, account.zone)
    return start_of_day(ends_on(start, charge.cycles, account.cycle_day), account.zone)


def record_service_fact(
    unit: Unit, service_id: ServiceId, kind: FactKind, at: datetime, reason: str = ""
) -> None:
    """Something happened to a service at the network's instant `at`; kept even before its price is known."""
    runs.hold_facts(unit.connection)
    if not accounts.insert_fact(unit.connection, service_id, ServiceFact(kind, at), unit.now, reason):
        return
    service = accounts.lock_service(unit.connection, service_id)
    if service is not None:
        _rewrite_history(unit, service)


def _rewrite_history(unit: Unit, service: accounts.ServiceRow) -> None:
    before = accounts.times_of(unit.connection, service.id)
    now = billable_times(accounts.facts_of(unit.connection, service.id), service.billing_start)
    changed_at = first_difference(before, now)
    if changed_at is None:
        return
    dates = [
        (business_date(time.start, service.zone), time.end and business_date(time.end, service.zone))
        for time in now
    ]
    accounts.replace_times(unit.connection, service, now, dates)
    accounts.reopen(
        unit.connection, service.account_id, business_date(changed_at, service.zone), billed_late=False
    )


def record_usage(
    unit: Unit, service_id: ServiceId, key: str, started_at: datetime, ended_at: datetime, octets: int
) -> None:
    """Traffic of one interval, counted once by its key; each local day gets its share. Kept even before the
    service's price is known."""
    runs.hold_facts(unit.connection)
    service = accounts.lock_service(unit.connection, service_id)
    if service is None:
        early = accounts.EarlyFact("usage", key, started_at, ended_at, octets)
        accounts.keep_early(unit.connection, service_id, early)
        return
    for n, (used_on, share) in enumerate(days_of(started_at, ended_at, octets, service.zone)):
        part = key if n == 0 else f"{key}@{used_on}"
        if accounts.insert_usage(unit.connection, service_id, part, started_at, ended_at, used_on, share):
            accounts.reopen(unit.connection, service.account_id, used_on, billed_late=True)


def record_outage(
    unit: Unit, problem_id: UUID, service_id: ServiceId, started_at: datetime, ended_at: datetime
) -> AccountId | None:
    """An outage of a service ended; returns the account if it is new. What it is worth, the bill decides."""
    runs.hold_facts(unit.connection)
    service = accounts.lock_service(unit.connection, service_id)
    if service is None:
        early = accounts.EarlyFact("outage", str(problem_id), started_at, ended_at)
        accounts.keep_early(unit.connection, service_id, early)
        return None
    days = (
        business_date(started_at, service.zone),
        business_date(max(started_at, ended_at - timedelta(microseconds=1)), service.zone),
    )
    if not accounts.insert_outage(unit.connection, problem_id, service, started_at, ended_at, days):
        return None
    accounts.reopen(unit.connection, service.account_id, days[1], billed_late=True)
    return service.account_id


def _account(unit: Unit, account_id: AccountId) -> accounts.AccountRow:
    account = accounts.find_account(unit.connection, account_id)
    if account is None:
        raise NotFound(
            f"billing knows no account {account_id}", field="account", remedy="open it in crm first"
        )
    return account


def _service(unit: Unit, service_id: ServiceId) -> accounts.ServiceRow:
    service = accounts.lock_service(unit.connection, service_id)
    if service is None:
        raise NotFound(
            f"billing knows no price for service {service_id}",
            field="service",
            remedy="agree on a price first",
        )
    return service
