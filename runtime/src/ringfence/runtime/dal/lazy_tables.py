"""Creates PyDAL tables on first access: a service pays only for the tables it uses."""

import os
import threading
import weakref
from collections.abc import Callable, Container, Iterable, Mapping, MutableMapping
from typing import Any

from ringfence.runtime.errors import BadMirror, RingfenceError
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.mirror import Table as MirrorTable


class Maker:
    """Creates each table once, whichever thread asks first, after the tables it refers to.

    Args:
        mirror: the service's mirror.
        define: creates one table and adds it to the dict of the tables being made.
        link: connects a table's references, once all tables it refers to exist.
        made: where complete tables are published; the DAL's `__dict__`.
    """

    def __init__(
        self,
        mirror: Mirror,
        define: Callable[[MirrorTable, dict[str, Any]], None],
        link: Callable[[Any], None],
        made: MutableMapping[str, Any],
    ) -> None:
        self._tables = mirror.tables
        self._define = define
        self._link = link
        self._made = made
        self.reset_lock()
        _makers.add(self)
        self._complete: set[str] = set()
        self._targets, self._referrers = references(mirror.tables)

    def reset_lock(self) -> None:
        """Reset the state and the lock: in a forked child, no thread is left to finish or release them."""
        self._staged: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._owner: int | None = None

    def make(self, name: str) -> Any:
        """Create a table if the mirror has it and it does not exist.

        Args:
            name: the table's key.

        Returns:
            The incomplete table, to the thread that is creating it; otherwise None, as a new table is published in
            `made`.
        """
        if self._owner == threading.get_ident():
            return self._staged.get(name)
        if self._is_unmade(name):
            self._make([name])
        return None

    def make_all(self) -> None:
        """Create every table that does not exist.

        Raises:
            BadMirror: for the first table that PyDAL cannot define.
        """
        for name in self._tables:
            self.make(name)

    def make_referrers(self, name: str) -> None:
        """Create every table that refers to this one."""
        if name not in self._complete and self._owner != threading.get_ident():
            self._make(self._referrers.get(name, ()))
            self._complete.add(name)

    def _is_unmade(self, name: str) -> bool:
        return name in self._tables and name not in self._made

    def _make(self, names: Iterable[str]) -> None:
        with self._lock:
            try:
                self._owner = threading.get_ident()
                for name in in_order(filter(self._is_unmade, names), self._targets, self._made):
                    self._define_one(name)
                for table in self._staged.values():
                    self._link(table)
                # Tables are published when complete, all in one atomic step: an exception from a signal handler leaves
                # none incomplete.
                self._made.update(self._staged)
            finally:
                self._staged = {}
                self._owner = None

    def _define_one(self, name: str) -> None:
        try:
            self._define(self._tables[name], self._staged)
        except RingfenceError:
            raise
        except Exception as error:
            # An AttributeError would be reported as a missing table.
            raise BadMirror(
                f"{name}: PyDAL cannot define this table: {type(error).__name__}: {error}; "
                "change the models and make the mirrors again with `ringfence mirror`"
            ) from error


def in_order(
    names: Iterable[str], targets: Mapping[str, Iterable[str]], done: Container[str] = ()
) -> list[str]:
    """Return tables and those that they refer to, referenced tables first; cycles are ignored.

    Args:
        names: the tables.
        targets: for each table those that it refers to.
        done: tables to leave out.
    """
    order: dict[str, None] = {}
    seen: set[str] = set()
    stack = [(name, False) for name in names]
    while stack:
        name, is_ready = stack.pop()
        if is_ready:
            order[name] = None
        elif name not in seen and name not in done:
            seen.add(name)
            stack.append((name, True))
            stack += [(target, False) for target in targets.get(name, ())]
    return list(order)


def references(
    tables: Mapping[str, MirrorTable],
) -> tuple[dict[str, dict[str, None]], dict[str, dict[str, None]]]:
    """Return for each table those it refers to, and those that refer to it, as the keys of dicts in the mirror's order.

    Args:
        tables: the mirror's tables.
    """
    by_name = {(table.schema, table.name): table.key for table in tables.values()}
    # Dicts and not sets, whose order would differ from process to process, and with it that of an exported file.
    targets: dict[str, dict[str, None]] = {}
    referrers: dict[str, dict[str, None]] = {}
    for table in tables.values():
        for foreign in table.foreign_keys:
            target = by_name.get((foreign.schema, foreign.table))
            if target is not None:
                targets.setdefault(table.key, {})[target] = None
                referrers.setdefault(target, {})[table.key] = None
    return targets, referrers


_makers: "weakref.WeakSet[Maker]" = weakref.WeakSet()


def _after_fork() -> None:
    for maker in list(_makers):
        maker.reset_lock()


os.register_at_fork(after_in_child=_after_fork)
