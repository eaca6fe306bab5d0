"""Reads and runs the SQL that lies beside a migration script."""

from pathlib import Path

from alembic import op

SEPARATOR = "\n\n-- next\n\n"


def run_sql(name: str) -> None:
    """Execute every statement of this file of `versions`."""
    file = Path(__file__).parent / "versions" / name
    connection = op.get_bind()
    for statement in file.read_text().split(SEPARATOR):
        connection.exec_driver_sql(statement)
