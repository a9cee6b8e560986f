"""PyDAL's `cache=` option with keys per account and scope, so that cached rows never reach another one."""

import hashlib
from collections.abc import Callable
from typing import Any

from ringfence.runtime.dal.rows import UNBOUND

Cache = Callable[[str, Callable[[], Any], Any], Any]


class CachedSelects:
    """Adds the session's scope to PyDAL's cache keys, which contain the account's `uri`; mixed in before PyDAL."""

    def own_cache(self, given: Any) -> Any:
        """Return a PyDAL cache argument whose keys include the scope that the current session binds.

        Args:
            given: `(model, seconds)` or a dict with `model`.
        """
        scope = self.sessions.current().mode.scope  # type: ignore[attr-defined]  # defined by the adapter
        if not scope:
            return given
        bound = hashlib.sha256(repr(sorted(scope.items())).encode()).hexdigest()[:16]

        def keep(model: Cache) -> Cache:
            return lambda key, make, seconds: model(f"{key}@{bound}", make, seconds)

        if isinstance(given, dict):
            return given | {"model": keep(given["model"])}
        model, seconds = given
        return keep(model), seconds

    def count_kept(self, query: Any, distinct: Any, given: Any) -> Any:
        """Return a cached count, keyed by its SQL; PyDAL uses the same key for all counts.

        Args:
            query: the condition.
            distinct: as for `count`.
            given: PyDAL's `cache=` argument.
        """
        cache = self.own_cache(given)
        if not isinstance(cache, dict):
            cache = dict(zip(("model", "expiration"), cache, strict=True))
        sql = self._count(query, distinct)  # type: ignore[attr-defined]  # defined by PyDAL's class, which is untyped
        key = cache.get("key") or hashlib.sha256(f"{self.uri}/{sql}".encode()).hexdigest()  # type: ignore[attr-defined]
        return cache["model"](key, lambda: self.count(query, distinct), cache["expiration"])  # type: ignore[attr-defined]

    def _select_aux(self, sql: Any, fields: Any, attributes: dict[str, Any], colnames: Any) -> Any:
        if attributes.get("cache"):
            attributes = attributes | {"cache": self.own_cache(attributes["cache"])}
        return super()._select_aux(sql, fields, attributes, colnames)  # type: ignore[misc]

    def _cached_select(self, cache: Any, *given: Any) -> Any:
        kept = super()._cached_select(self.own_cache(cache), *given)  # type: ignore[misc]
        if kept.db is UNBOUND:
            kept.db = self.db  # type: ignore[attr-defined]  # rows from a pickling cache have no DAL
        return kept
