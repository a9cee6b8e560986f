"""A connection pool of limited size: leases, opening of connections, and rotation of credentials."""

from ringfence.runtime.pool.pool import Pool, PoolOptions, PoolStats

__all__ = ["Pool", "PoolOptions", "PoolStats"]
