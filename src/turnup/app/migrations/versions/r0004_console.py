"""Indexes that the console's search box needs."""

from turnup.app.migrations.frozen import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql("r0004_console.sql")
