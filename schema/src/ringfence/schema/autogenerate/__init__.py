"""Autogenerate for a deployment: revisions that run on every engine and do not break running services.

`options` connects it with Alembic, `arranger` splits the operations into expand and contract revisions, `renames`
decides what was renamed or dropped, and `rendering` writes the operations as Python.
"""
