"""The connection pool of a process: limited in size; sessions borrow its connections.

`pool` lends and takes back connections, `opening` opens them, `lease` records who holds one, and `credentials`
notices changed passwords.
"""

from ringfence.runtime.pool.pool import Pool, PoolOptions, PoolStats

__all__ = ["Pool", "PoolOptions", "PoolStats"]
