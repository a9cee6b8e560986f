"""Brings a database to head: the migration job, its plan, and the Alembic environment shared with plain Alembic."""
