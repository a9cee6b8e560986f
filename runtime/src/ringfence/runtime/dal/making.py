"""Tables that are made when they are first asked for: a service pays for those it uses, not for those it may use."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ringfence.runtime.mirror import Mirror
from ringfence.runtime.mirror import Table as MirrorTable


class Maker:
    """Makes each table once, whichever thread asks first; those that it refers to are made before it.

    Args:
        mirror: the tables.
        define: makes one of them, and puts it where those that are made with it find it.
        link: points the references of one at the others, once all are made.
        publish: puts them where everybody finds them.
    """

    def __init__(
        self,
        mirror: Mirror,
        define: Callable[[MirrorTable, dict[str, Any]], None],
        link: Callable[[Any], None],
        publish: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._unmade = dict(mirror.tables)
        self._define = define
        self._link = link
        self._publish = publish
        self._staged: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._complete: set[str] = set()
        self._targets, self._referrers = _references(mirror.tables)

    def make(self, name: str) -> Any:
        """Make a table that has not been made, if it is one; gives it to the thread that is making it, else None."""
        if self._owner == threading.get_ident():
            return self._staged.get(name)
        if name in self._unmade:
            self._make([name])
        return None

    def make_referrers(self, name: str) -> None:
        """Make every table that refers to this one."""
        if name not in self._complete and self._owner != threading.get_ident():
            self._make(self._referrers.get(name, ()))
            self._complete.add(name)

    def _make(self, names: Iterable[str]) -> None:
        with self._lock:
            self._owner = threading.get_ident()
            try:
                for name in self._in_order(names):
                    self._define(self._unmade[name], self._staged)
                for table in self._staged.values():
                    self._link(table)
                # Other threads see a table when it is whole.
                self._publish(self._staged)
                for name in self._staged:
                    del self._unmade[name]
            finally:
                self._staged.clear()
                self._owner = None

    def _in_order(self, names: Iterable[str]) -> list[str]:
        """These and what they refer to, the latter first, without regard to circles."""
        order: dict[str, None] = {}
        seen: set[str] = set()
        stack = [(name, False) for name in names]
        while stack:
            name, done = stack.pop()
            if done:
                order[name] = None
            elif name not in seen and name in self._unmade:
                seen.add(name)
                stack.append((name, True))
                stack += [(target, False) for target in self._targets.get(name, ())]
        return list(order)


def _references(tables: Mapping[str, MirrorTable]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """For each table those that it refers to, and those that refer to it."""
    by_name = {(table.schema, table.name): table.key for table in tables.values()}
    targets: dict[str, set[str]] = {}
    referrers: dict[str, set[str]] = {}
    for table in tables.values():
        for foreign in table.foreign_keys:
            target = by_name.get((foreign.schema, foreign.table))
            if target is not None:
                targets.setdefault(table.key, set()).add(target)
                referrers.setdefault(target, set()).add(table.key)
    return targets, referrers
