"""What an outage is worth, by policy data."""

from turnup.bss.billing.model import CreditPolicy


def outage_minutes(seconds: int) -> int:
    """Whole minutes that passed; a minute that was not completed does not count."""
    return max(0, seconds) // 60


def credit_share_ppm(policy: CreditPolicy, minutes: int) -> int:
    """The share of the monthly charge (ppm) that one outage earns, before the period's cap.

    Nothing below the minimum; from there on every started unit of `per_minutes` since the outage began.
    """
    if minutes < policy.minimum_minutes or minutes <= 0:
        return 0
    started = -(-minutes // policy.per_minutes)
    return min(started * policy.share_ppm, policy.cap_ppm)
