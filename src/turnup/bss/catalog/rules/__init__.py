"""Verbs of the catalog, pure: read documents as people write them, decide what becomes a new version."""

from turnup.bss.catalog.rules.offerings import read_catalog
from turnup.bss.catalog.rules.policies import read_policies
from turnup.bss.catalog.rules.versions import next_policy, next_version

__all__ = ["next_policy", "next_version", "read_catalog", "read_policies"]
