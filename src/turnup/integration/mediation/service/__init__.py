"""Use cases of mediation: the crosswalk and imports; connectors and their files."""
