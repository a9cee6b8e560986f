"""What each engine can do, so that a test names the capability it needs and not the engine."""

_NETWORKED = frozenset({"networked", "accounts"})
_MYSQL_FAMILY = _NETWORKED | {"definer_views"}

CAPABILITIES: dict[str, frozenset[str]] = {
    "sqlite": frozenset({"transactional_ddl"}),
    "postgresql": _NETWORKED
    | {"transactional_ddl", "row_security", "uuid", "arrays", "schemas", "session_locks", "sequences"},
    "mariadb": _MYSQL_FAMILY | {"uuid", "session_locks", "sequences"},
    "galera": _MYSQL_FAMILY | {"uuid", "several_nodes", "sequences"},
    "mysql": _MYSQL_FAMILY | {"session_locks"},
}

ENGINES = tuple(CAPABILITIES)
KNOWN = frozenset().union(*CAPABILITIES.values())


def engines_with(*needed: str) -> tuple[str, ...]:
    """The engines that have all the given capabilities. Raises ValueError for a capability nobody has."""
    unknown = set(needed) - KNOWN
    if unknown:
        raise ValueError(f"unknown capability {sorted(unknown)}; there are {sorted(KNOWN)}")
    return tuple(engine for engine, has in CAPABILITIES.items() if set(needed) <= has)
