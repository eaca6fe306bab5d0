"""Indexes that the console's search box needs."""

from turnup.app.migrations.frozen import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql("r0005_console.sql")
