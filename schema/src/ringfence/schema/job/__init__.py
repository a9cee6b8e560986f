"""The migration job: bring a database to head, and its accounts and grants to the state of the manifest.

`job` runs the named steps in order, `plan` shows them without changes. `environment` runs the revisions by Alembic, and
`revision_steps` wraps each of them. `contract_guard` refuses a contract revision that services still depend on,
`overrides` records what `--force` let through, and `row_checks` finds rows that a revision does not permit.

When a revision fails half-way:

- PostgreSQL and SQLite roll the revision back, because DDL is part of its transaction. Nothing of it remains, and the
  next job runs it from the beginning. The exception is an `autocommit_block` on PostgreSQL, whose statements commit one
  by one.
- On MySQL, MariaDB and Galera each DDL statement commits by itself. `journal` records each statement of the revision in
  the table `ringfence_journal` before it is sent and again when it is done. The next job runs the same revision and
  skips the statements that took effect.
- If the connection was lost while a statement ran, its outcome was not recorded. The next job waits until the server
  has ended it, and `recovery` reads from the catalog whether it took effect. Where the catalog does not show it, the
  job stops with `DecisionNeeded`, and the operator decides by `migrate --resolve done` or `--resolve again`.
- A lock timeout is no failure: `revision_steps.LockRetries` runs the revision again after a pause, up to `lock_tries`.

Revisions that were applied before the failed one stay applied; the error names them.
"""
