"""The views in front of tables on the MySQL family, and the privileges of accounts on each; no server is asked.

A view is required where rows are scoped, and where an account may read some columns of a table and not the others. On
these servers not every way to read a table checks column privileges; a view does not have the other columns.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from ringfence.schema.manifest.model import Account, Grant, Scope
from ringfence.schema.manifest.resolution import is_view

_LONGEST = 64  # characters of an identifier


@dataclass(slots=True)
class View:
    """One definer view of one account, in front of one table.

    Args:
        account: the account that uses it.
        schema: of the table and the view; None for the default one.
        table: the table.
        name: of the view.
        columns: those of the view, in the order of the models.
        scope: the rows that it shows; None for all.
        rights: verb -> the columns that the account is granted it on; None for the whole view.
    """

    account: Account
    schema: str | None
    table: str
    name: str
    columns: tuple[str, ...]
    scope: Scope
    rights: dict[str, tuple[str, ...] | None] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the table's key in `Deployment.tables`."""
        return key_of(self.schema, self.table)


def key_of(schema: str | None, table: str) -> str:
    """Return the key of a table in `Deployment.tables`.

    Args:
        schema: its schema; None for the default one.
        table: its name.
    """
    return f"{schema}.{table}" if schema else table


def view_name(service: str, key: str, verb: str) -> str:
    """Return the name of the view that is made for a verb, and may serve other verbs too.

    The name depends on neither columns nor rows, so that the mirrors of running services stay valid when these change.

    Args:
        service: the service whose account uses the view.
        key: the table's key in `Deployment.tables`.
        verb: select, insert, update or delete.
    """
    digest = hashlib.sha256(f"{service}\0{key}\0{verb}".encode()).hexdigest()[:8]
    plain = re.sub(r"[^a-z0-9]+", "_", f"{service}_{key}".lower())
    return f"ringfence_{digest}_{plain}"[:_LONGEST].rstrip("_")


def relations(account: Account, tables: Mapping[str, sa.Table]) -> dict[tuple[str, str], str]:
    """Return which grants of an account use a view.

    Args:
        account: its grants.
        tables: the tables of the deployment, by key.

    Returns:
        (table's key, verb) -> the name of the view.
    """
    return {(key, verb): view.name for (key, verb), view in _routes(account, tables)}


def views(account: Account, tables: Mapping[str, sa.Table]) -> list[View]:
    """Return the views of an account, each once, in the order of its grants.

    Args:
        account: its grants.
        tables: the tables of the deployment, by key.
    """
    found = {view.name: view for _, view in _routes(account, tables)}
    return list(found.values())


def _routes(account: Account, tables: Mapping[str, sa.Table]) -> Iterator[tuple[tuple[str, str], View]]:
    granted: dict[str, dict[str, Grant]] = {}
    for grant in account.grants:
        granted.setdefault(grant.key, {})[grant.verb] = grant
    for key, grants in granted.items():
        if key in tables and not is_view(tables[key]):
            for verb, view in _Table(account, tables[key], grants).routes().items():
                yield (key, verb), view


class _Table:
    """The views of one account in front of one table, as few as possible."""

    def __init__(self, account: Account, table: sa.Table, grants: Mapping[str, Grant]) -> None:
        self._account = account
        self._grants = grants
        self._order = tuple(str(column.name) for column in table.columns)
        self._keys = tuple(str(column.name) for column in table.primary_key.columns)
        self._read = self._columns(grants.get("select"))
        self._views: dict[str, View] = {}

    def _columns(self, grant: Grant | None) -> tuple[str, ...]:
        if grant is None:
            return ()
        return self._order if grant.columns is None else grant.columns

    def routes(self) -> dict[str, View]:
        """Return verb -> its view, for the verbs that need one."""
        select = self._grants.get("select")
        if select is not None and (select.scope is not None or set(self._read) != set(self._order)):
            self._views["select"] = self._made("select", self._read)
            self._views["select"].rights["select"] = None
        for verb in ("update", "delete", "insert"):
            grant = self._grants.get(verb)
            # A verb without a scope needs a view only where reads go through one: the condition of the statement, and
            # the key of a new row, must then be read through it.
            if grant is not None and (grant.scope is not None or "select" in self._views):
                self._views[verb] = self._for(verb, grant)
        return self._views

    def _for(self, verb: str, grant: Grant) -> View:
        """Return a view that exists already and serves this verb too, or a new one."""
        needed = self._needed(verb, grant)
        fit = (
            v for v in (self._views.get("update"), self._views.get("select"), self._views.get("delete")) if v
        )
        view = next((v for v in fit if v.scope == grant.scope and set(needed) <= set(v.columns)), None)
        if view is None:
            view = self._made(verb, needed)
            # INSERT does not require SELECT: without it, columns that are only written cannot be read.
            if "select" in self._grants and (verb != "insert" or set(needed) <= set(self._read)):
                view.rights["select"] = self._grants["select"].columns
        view.rights[verb] = None if verb == "delete" else grant.columns
        return view

    def _needed(self, verb: str, grant: Grant) -> tuple[str, ...]:
        """Return the columns that a view for a verb needs: those written, and those read, for INSERT the key alone."""
        written = {"insert": self._columns(grant), "update": self._columns(grant), "delete": ()}[verb]
        keys = tuple(key for key in self._keys if key in self._read)
        seen = {*written, *(keys if verb == "insert" else self._read)}
        return tuple(name for name in self._order if name in seen) or self._keys or self._order[:1]

    def _made(self, verb: str, columns: Iterable[str]) -> View:
        grant = self._grants[verb]
        name = view_name(self._account.service, grant.key, verb)
        chosen = set(columns)
        ordered = tuple(column for column in self._order if column in chosen)
        return View(self._account, grant.schema, grant.table, name, ordered, grant.scope)
