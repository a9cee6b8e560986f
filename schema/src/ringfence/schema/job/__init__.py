"""The migration job: bring a database to head, and its accounts and grants to the state of the manifest.

`job` runs the named steps in order, `plan` shows them without changes. `environment` runs the revisions by Alembic,
`journal` records each statement that commits by itself, and `recovery` finds out what an interrupted revision did, so
that the next job continues. `row_checks` finds rows that a revision does not permit.
"""
