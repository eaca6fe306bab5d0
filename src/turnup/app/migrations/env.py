"""What Alembic runs to get at the database: the connection that `runner` opened."""

from alembic import context

from turnup.runtime.health import VERSION_SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema=VERSION_SCHEMA,
    version_table=VERSION_TABLE,
    transaction_per_migration=False,
)
context.run_migrations()
