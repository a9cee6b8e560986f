"""The facts about each engine, in one class per engine: its limits, and what it can express."""

from collections.abc import Callable, Iterable, Mapping

from ringfence.schema.features import galera, mariadb, mysql, postgresql, sqlite
from ringfence.schema.features.base import Features

__all__ = ["FEATURES", "MYSQL_FAMILY", "POSTGRESQL", "SQLITE", "Features", "engines_where"]

FEATURES: Mapping[str, Features] = {
    each.FEATURES.name: each.FEATURES for each in (postgresql, mysql, mariadb, galera, sqlite)
}
"""Engine -> its features, in the order in which engines are listed."""


def engines_where(holds: Callable[[Features], object], among: Iterable[str] = FEATURES) -> frozenset[str]:
    """Return the engines of which something is true.

    Args:
        holds: what is asked of an engine's features.
        among: the names of the engines to ask; all when not given.
    """
    return frozenset(name for name in among if holds(FEATURES[name]))


POSTGRESQL = engines_where(lambda engine: engine.family == "postgresql")
MYSQL_FAMILY = engines_where(lambda engine: engine.family == "mysql")
SQLITE = engines_where(lambda engine: engine.family == "sqlite")
