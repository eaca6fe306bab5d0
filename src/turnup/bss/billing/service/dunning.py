"""Dunning: take the due steps, release who has paid. Others act on the events."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

import structlog

from turnup.bss.billing.model import Arrears, DunningPolicy, OpenCase
from turnup.bss.billing.rules.dunning import is_released, next_step
from turnup.bss.billing.store import dunning
from turnup.contracts.billing import DunningStepReached
from turnup.contracts.unit import Unit
from turnup.kernel.clock import business_date
from turnup.kernel.ids import AccountId, derived_id

log = structlog.get_logger(__name__)


def tick(unit: Unit, today: date, policies: Mapping[str, DunningPolicy]) -> int:
    """Take at most one step per account in arrears; returns how many were taken."""
    release_paid(unit, policies)
    open_by_account = {case.account_id: case.id for case in dunning.open_cases(unit.connection)}
    return sum(
        _take_step(
            unit, arrears, _policy(policies, arrears.policy), open_by_account.get(arrears.account_id), today
        )
        for arrears in dunning.arrears(unit.connection, today)
    )


def _take_step(
    unit: Unit, arrears: Arrears, policy: DunningPolicy, case_id: UUID | None, today: date
) -> bool:
    decision = next_step(policy, arrears, today)
    if decision is None:
        return False
    if case_id is None:
        nth = dunning.cases_ever(unit.connection, arrears.account_id) + 1
        case_id = derived_id("dunning_case", arrears.account_id, nth)
    suspends = decision.action == "suspend"
    if not dunning.record_step(
        unit.connection,
        case_id,
        arrears.account_id,
        arrears.since,
        decision.step,
        unit.now,
        suspends=suspends,
    ):
        return False
    unit.emit(
        DunningStepReached(
            account_id=arrears.account_id,
            step=decision.step,
            action=decision.action,
            case=f"{case_id}:{decision.step}",
            overdue_minor=arrears.overdue_minor,
            currency=arrears.currency,
            at=unit.now,
        )
    )
    return True


def release_paid(
    unit: Unit, policies: Mapping[str, DunningPolicy], account_id: AccountId | None = None
) -> None:
    """Close the cases (of one account, or all) with too little left overdue; restore what was suspended."""
    for case in dunning.open_cases(unit.connection, account_id):
        arrears = dunning.arrears_of(unit.connection, case.account_id, business_date(unit.now, case.zone))
        overdue = arrears.overdue_minor if arrears else 0
        if not is_released(_policy(policies, case.policy), overdue):
            continue
        dunning.release(unit.connection, case.id, unit.now)
        if case.suspended:
            _restore(unit, case, overdue)


def _restore(unit: Unit, case: OpenCase, overdue_minor: int) -> None:
    unit.emit(
        DunningStepReached(
            account_id=case.account_id,
            step=case.step,
            action="restore",
            case=f"{case.id}:restore",
            overdue_minor=overdue_minor,
            currency=case.currency,
            at=unit.now,
        )
    )


def _policy(policies: Mapping[str, DunningPolicy], code: str) -> DunningPolicy:
    """A policy nobody published duns nobody: a slip in a document must not cut customers off."""
    policy = policies.get(code)
    if policy is None:
        log.warning("dunning_policy_unknown", policy=code, remedy="publish it, or give the account another")
        return DunningPolicy(())
    return policy
