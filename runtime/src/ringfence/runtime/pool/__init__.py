"""A connection pool of limited size: leases, opening of connections, and rotation of credentials."""

from ringfence.runtime.pool.pool import Figures, Pool, PoolOptions

__all__ = ["Figures", "Pool", "PoolOptions"]
