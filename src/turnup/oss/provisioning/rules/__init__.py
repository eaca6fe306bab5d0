"""Verbs of provisioning, pure: what the network should hold, and how much may change by itself."""

from turnup.oss.provisioning.rules.desired import (
    FRAGMENT_KINDS,
    after_online,
    after_realised,
    awaits_equipment,
    check_transition,
    fragments,
    fragments_by_element,
    live_session,
    taken_from,
    unsuspended_state,
)

__all__ = [
    "FRAGMENT_KINDS",
    "after_online",
    "after_realised",
    "awaits_equipment",
    "check_transition",
    "fragments",
    "fragments_by_element",
    "live_session",
    "taken_from",
    "unsuspended_state",
]
