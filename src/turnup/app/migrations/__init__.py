"""The database's frozen history: numbered steps, each plain SQL beside a small Alembic script.

A step that was released is never edited. `python -m turnup.app.migrations.freeze` writes what the metadata
says now; a test holds a migrated database against one laid out from the metadata.
"""
