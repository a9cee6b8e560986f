"""One unit of work on one pooled connection.

- `session`: runs the statements.
- `transaction`: borrows the connection from the pool (`Transaction.connection`), begins, commits and rolls back.
- `scopes`: the values that a session binds, and the statements that require them.
- `statements`: checks of the program's own SQL.
- `stream`: rows that are read in batches.

`ringfence.runtime.unit` has the context manager of `Database.session`, and `ringfence.runtime.retries` decides
whether a transaction is repeated, for example after a deadlock.
"""

from ringfence.runtime.session.session import Session

__all__ = ["Session"]
