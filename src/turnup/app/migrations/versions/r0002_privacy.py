"""The audit's hash chain; what retention and the right to erasure need."""

from turnup.app.migrations.frozen import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql("r0002_privacy.sql")
