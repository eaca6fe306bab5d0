"""Verbs of mediation, pure: running customers of an import; connectors, their files and rows."""
