"""A connection pool of limited size. A session gets its connection from `Pool.lend`, and returns it by `Pool.release`.

- `pool`: lends, tests, opens, closes and evicts connections; the options and statistics.
- `lease`: the bookkeeping: who waits, who opens and who holds which connection.
- `opening`: opens a connection: hosts in turn, with the current login.
- `credentials`: notices that the login has changed.
- `owner`: identifies the caller.
"""

from ringfence.runtime.pool.pool import Pool, PoolOptions, PoolStats

__all__ = ["Pool", "PoolOptions", "PoolStats"]
