"""When an account in arrears is reminded, suspended, and restored."""

from dataclasses import dataclass
from datetime import date, timedelta

from turnup.bss.billing.model import Arrears, DunningPolicy


@dataclass(frozen=True, slots=True)
class DunningDecision:
    """Take this step now."""

    step: int
    action: str


def next_step(policy: DunningPolicy, arrears: Arrears, today: date) -> DunningDecision | None:
    """The one step that is due today, or None.

    Steps are taken in order and never skipped, and the days between two steps always pass between them: who
    was reminded late (the system stood still, the clock was moved) is suspended later too.
    """
    if arrears.overdue_minor <= policy.minimum_open_minor or arrears.step >= len(policy.steps):
        return None
    step = policy.steps[arrears.step]
    due_on = arrears.since + timedelta(days=step.days_overdue)
    if arrears.step and arrears.last_step_on:
        pause = step.days_overdue - policy.steps[arrears.step - 1].days_overdue
        due_on = max(due_on, arrears.last_step_on + timedelta(days=pause))
    if today < due_on or arrears.overdue_minor < step.minimum_minor:
        return None
    return DunningDecision(arrears.step + 1, step.action)


def is_released(policy: DunningPolicy, overdue_minor: int) -> bool:
    """Whether what is still overdue is too little to keep the case open."""
    return overdue_minor <= policy.minimum_open_minor
