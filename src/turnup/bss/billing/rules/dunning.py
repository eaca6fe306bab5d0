"""When an account in arrears is reminded, suspended, and restored."""

from dataclasses import dataclass
from datetime import date

from turnup.bss.billing.model import Arrears, DunningPolicy


@dataclass(frozen=True, slots=True)
class DunningDecision:
    """Take this step now."""

    step: int
    action: str


def next_step(policy: DunningPolicy, arrears: Arrears, today: date) -> DunningDecision | None:
    """The one step that is due today, or None. Steps are taken in order and never skipped, so that nobody is
    suspended who was not reminded; a tick that comes late takes one step per tick."""
    if arrears.overdue_minor <= policy.minimum_open_minor or arrears.step >= len(policy.steps):
        return None
    step = policy.steps[arrears.step]
    due = (today - arrears.since).days >= step.days_overdue and arrears.overdue_minor >= step.minimum_minor
    return DunningDecision(arrears.step + 1, step.action) if due else None


def is_released(policy: DunningPolicy, overdue_minor: int) -> bool:
    """Whether what is still overdue is too little to keep the case open."""
    return overdue_minor <= policy.minimum_open_minor
