"""A session: one unit of work on one connection of the pool.

`transaction` borrows the connection, begins, commits and rolls back; `scopes` binds row scopes; `statements` checks
the SQL of the program; `stream` reads large results.
"""

from ringfence.runtime.session.session import Session

__all__ = ["Session"]
