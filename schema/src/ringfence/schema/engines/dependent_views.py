"""Views that block a change of the tables they depend on, and the explanation of statements that a server refused."""

from dataclasses import dataclass

import sqlalchemy as sa

from ringfence.runtime.engines.mysql.transaction_size import LIMITS, too_large
from ringfence.schema.engines.base import Server

_VIEWS = """
    SELECT CASE WHEN t.relnamespace = here.oid THEN NULL ELSE tn.nspname END, t.relname, a.attname,
           CASE WHEN v.relnamespace = here.oid THEN NULL ELSE vn.nspname END, v.relname, v.relkind = 'm',
           v.oid::regclass::text, pg_catalog.pg_get_viewdef(v.oid)
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
    JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')
    JOIN pg_catalog.pg_namespace vn ON vn.oid = v.relnamespace
    JOIN pg_catalog.pg_class t ON t.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_class'::regclass
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
    LEFT JOIN pg_catalog.pg_namespace here ON here.nspname = current_schema()
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid AND a.attnum > 0
    WHERE v.oid <> t.oid AND left(tn.nspname, 3) <> 'pg_' AND tn.nspname <> 'information_schema'
    ORDER BY 7, 2, 3
"""
_DEPENDED_ON = {"0A000", "2BP01"}
"""feature_not_supported (a column's type) and dependent_objects_still_exist.

Their DETAIL names objects and never a value: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""
_NO_SCHEMA, _NO_RIGHT = "3F000", "42501"


@dataclass(frozen=True)
class DependentView:
    """A view that depends on a table, or on one of its columns.

    In `schema` and `view_schema`, None is the default schema. `column` is None where the view depends on the table
    alone.
    """

    schema: str | None
    table: str
    column: str | None
    view_schema: str | None
    view: str
    quoted: str
    """The view's name as SQL."""
    kind: str
    """VIEW or MATERIALIZED VIEW."""
    definition: str

    @property
    def drop(self) -> str:
        """The statement that drops the view."""
        return f"DROP {self.kind} {self.quoted}"

    @property
    def create(self) -> str:
        """The statement that creates the view again."""
        return f"CREATE {self.kind} {self.quoted} AS {self.definition}"


def views(backend: Server, connection: sa.Connection) -> tuple[DependentView, ...]:
    """Return the views that block a change of the tables they depend on; none on engines other than PostgreSQL.

    Args:
        backend: The engine.
        connection: A connection of the admin account.
    """
    if backend.identity.engine != "postgresql":
        return ()
    return tuple(
        DependentView(
            schema, table, column, view_schema, view, quoted,
            "MATERIALIZED VIEW" if kept else "VIEW", " ".join(definition.split()).rstrip(";"),
        )
        for schema, table, column, view_schema, view, kept, quoted, definition in connection.exec_driver_sql(_VIEWS)
    )  # fmt: skip


def explanation(error: sa.exc.DBAPIError) -> str:
    """Return what a server says after the first line of an error, and how to resolve it; it holds no value of a row.

    Args:
        error: The error of the refused statement.

    Returns:
        Lines that each begin with a line break, or an empty text.
    """
    if too_large(error.orig):
        return (
            "\n  the transaction is larger than the server takes at once, and nothing of it is stored: change rows in a"
            f" backfill, which commits batch by batch (`ringfence backfill --help`); {LIMITS}"
        )
    code = getattr(error.orig, "pgcode", None)
    if code in _DEPENDED_ON:
        detail = getattr(getattr(error.orig, "diag", None), "message_detail", None)
        if detail:
            lines = "".join(f"\n  {line}" for line in detail.splitlines())
            return (
                f"{lines}\n  what depends on it is dropped before and made again after it, in the same revision:"
                " op.execute('DROP …'), the change, op.execute('CREATE …')"
            )
    if code == _NO_SCHEMA:
        return "\n  make it by hand, or in a revision before the first that uses it: op.execute('CREATE SCHEMA …')"
    if code == _NO_RIGHT:
        return "\n  `ringfence plan` names each right that the admin lacks, with the statement that gives it"
    return ""
