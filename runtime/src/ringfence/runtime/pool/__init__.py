"""A pool of connections with a limit: its leases, its logins, and how its connections are opened."""

from ringfence.runtime.pool.pool import Figures, Pool, PoolOptions

__all__ = ["Figures", "Pool", "PoolOptions"]
