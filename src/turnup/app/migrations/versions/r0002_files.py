"""Connectors and their files; what a takeover carries of promotions and ways to pay."""

from turnup.app.migrations.frozen import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql("r0002_files.sql")
