"""Bringing a database to head: the job, the Alembic environment it shares with plain Alembic, and the releases."""
