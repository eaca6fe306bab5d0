"""The SQL of mediation."""
