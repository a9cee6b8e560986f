"""Find columns of the database that no model has: retired by a pending contract revision, or added by hand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend
from ringfence.schema.manifest.model import Account
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.privileges.pending_drops import pending_drops

_BY_COLUMN = ("select", "insert", "update")


@dataclass(frozen=True, slots=True)
class UnmodelledColumn:
    """One column that a modelled table has in the database and not in the models."""

    table: sa.Table
    key: str
    column: str
    writable: bool
    """Whether the column can be written at all: False for computed columns and identity columns that are ALWAYS."""
    pending_drop: str
    """The pending revision that retires the column, or empty."""

    def verbs(self) -> tuple[str, ...]:
        """Return the verbs to try on the column.

        A write to a view that is not updatable fails with another error than a denial, so it is not tried.
        """
        writes = self.writable and (self.table.info.get("updatable") or not is_view(self.table))
        return _BY_COLUMN if writes else ("select",)

    def excuse(self, account: Account, verb: str, *, itself: bool) -> str:
        """Explain why the account may legitimately reach the column.

        Args:
            account: the account that is tried.
            verb: the verb that is tried.
            itself: whether the verb goes to the table itself, and not to a view before it.

        Returns:
            The reason, or an empty text if there is none.
        """
        on = [grant for grant in account.grants if grant.key == self.key]
        if self.pending_drop and on:
            return f"{self.pending_drop} will drop it, and accounts keep their grants on it until then"
        whole = next((grant for grant in on if grant.verb == verb and grant.columns is None), None)
        if whole is not None and itself:
            return (
                f"no model has it, and {whole.origin} grants the whole table: add it to a model, or drop it"
            )
        return ""


@dataclass(frozen=True, slots=True)
class DroppedTableAttempt:
    """One verb on one column of a table that a pending revision drops, and why an account may legitimately reach it."""

    schema: str | None
    table: str
    verb: str
    column: str
    excuse: str


class Unmodelled:
    """The columns of the database's tables that the models do not have.

    Args:
        backend: the server.
        connection: one that sees every table.
        deployment: its tables and pending contract revisions.
    """

    def __init__(self, backend: Backend, connection: sa.Connection, deployment: Deployment) -> None:
        inspector = sa.inspect(connection)
        pending = pending_drops(connection, backend, deployment)
        self._there: dict[tuple[str | None, str], set[str]] = {}
        for schema, table, column in backend.introspection.columns(connection):
            self._there.setdefault((schema, table), set()).add(str(column))
        self.columns: list[UnmodelledColumn] = []
        for key, model in deployment.tables.items():
            name = str(model.name)
            schema = None if model.schema == inspector.default_schema_name else model.schema
            known = {str(column.name) for column in model.columns}
            beyond = self._there.get((schema, name), set()) - known
            retired = pending.columns.get((model.schema, name), {})
            fixed = _fixed(inspector, name, schema) if beyond else frozenset()
            self.columns += [
                UnmodelledColumn(model, key, column, column not in fixed, retired.get(column, ""))
                for column in sorted(beyond)
            ]

        self._default = inspector.default_schema_name or ""
        self._tables = {
            (schema, table): (revision, _fixed(inspector, table, schema))
            for (schema, table), revision in pending.tables.items()
        }
        self._held: set[tuple[str, str, str, str, str]] = set()
        if self._tables and backend.accounts is not None:
            declared = deployment.accounts.values()
            accounts = backend.accounts.hosts.at_declared(connection, declared)
            schemas = {schema or self._default for schema, _ in self._tables}
            held = accounts.privileges.held(connection, [account.login for account in declared], schemas)
            self._held = {(p.login, p.schema, p.name, p.verb, p.column) for p in held if p.kind == "table"}

    def dropped_table_attempts(self, account: Account) -> Iterator[DroppedTableAttempt]:
        """Yield what to try on tables that pending revisions drop; only accounts that still have grants may reach them.

        Args:
            account: the account that is tried.

        Yields:
            A verb on a column, with its excuse.
        """
        for (schema, table), (revision, fixed) in self._tables.items():
            columns = sorted(self._there.get((schema, table), ()))
            for verb in (*_BY_COLUMN, "delete"):
                for column in columns if verb in _BY_COLUMN else ("",):
                    if column in fixed and verb != "select":
                        continue
                    mine = {
                        (account.login, schema or self._default, table, verb, granted)
                        for granted in ("", column)
                    }
                    kept = f"{revision} will drop the table, and accounts keep their grants on it until then"
                    yield DroppedTableAttempt(schema, table, verb, column, kept if mine & self._held else "")

    def has(self, relation: str, column: str) -> bool:
        """Whether a relation of the default schema exists and has the column.

        Args:
            relation: its name, without schema and quotes.
            column: the column's name.
        """
        return column in self._there.get((None, relation), ())


def _fixed(inspector: sa.Inspector, table: str, schema: str | None) -> frozenset[str]:
    """Return the columns that only the server writes."""
    return frozenset(
        column["name"]
        for column in inspector.get_columns(table, schema)
        if column.get("computed") or _identity(column).get("always")
    )


def _identity(column: Mapping[str, Any]) -> Mapping[str, Any]:
    return column.get("identity") or {}
