"""The first layout: every component's schema, role and tables, and the runtime's own."""

from turnup.app.migrations.frozen import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql("r0001_initial.sql")
