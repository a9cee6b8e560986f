"""Alembic calls this. What to compare, the lock, and the record of releases are the business of Ringfence."""

from ringfence.schema.job.environment import run

run()
