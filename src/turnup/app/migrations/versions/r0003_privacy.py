"""The audit's hash chain; what retention and the right to erasure need."""

from turnup.app.migrations.frozen import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql("r0003_privacy.sql")
