"""Drop everything in a database that was used for a proof."""

import contextlib
import warnings
from collections.abc import Collection

import sqlalchemy as sa

from ringfence.schema.engines import Backend
from ringfence.schema.errors import JobFailed
from ringfence.schema.sampling.rows import existing_schemas, without_reflection_warnings
from ringfence.schema.sql.text import verbatim


class NotEmpty(JobFailed):
    """The database is not empty; a proof would drop its content, so it needs a separate database."""


def drop_everything(
    backend: Backend, keep: Collection[str] = (), schemas: Collection[str | None] = ()
) -> None:
    """Drop every view, routine and table of the database.

    Args:
        backend: the engine and the database.
        keep: the drop statements (see `routines`) of routines that existed before and are not dropped.
        schemas: schemas whose views and tables are dropped too, in addition to the default one.
    """
    _drop_outside_references(backend, keep, schemas)
    metadata = sa.MetaData()
    with without_reflection_warnings(), backend.engine(migrating=True).begin() as connection:
        # On SQLite the order does not matter: foreign keys are not enforced on this connection.
        warnings.filterwarnings("ignore", "Can't(?: correctly)? sort tables", sa.exc.SAWarning)
        warnings.filterwarnings("ignore", "Skipped unsupported reflection", sa.exc.SAWarning)
        for schema in (None, *existing_schemas(connection, schemas)):
            metadata.reflect(connection, schema=schema)
        metadata.drop_all(connection)
    _drop_outside_references(backend, keep, schemas)


def _drop_outside_references(
    backend: Backend, keep: Collection[str], schemas: Collection[str | None]
) -> None:
    """Drop views and routines, which may depend on each other, in repeated passes until no further drop succeeds.

    Drops that fail are ignored here; if one never succeeds, the drop of the tables reports the error.
    """
    remaining = _outside_references(backend, schemas) - set(keep)
    while remaining:
        for statement in sorted(remaining):
            with contextlib.suppress(sa.exc.DBAPIError), backend.engine().begin() as connection:
                connection.execute(verbatim(statement))
        still_remaining = _outside_references(backend, schemas) - set(keep)
        if still_remaining == remaining:
            return
        remaining = still_remaining


def routines(backend: Backend) -> list[str]:
    """Return the drop statement of each routine in the database.

    Args:
        backend: the engine and the database.
    """
    with backend.engine().connect() as connection:
        return backend.ddl.drop_standalone_objects(connection)


def _outside_references(backend: Backend, schemas: Collection[str | None]) -> set[str]:
    """Return the drop statement of each view and routine."""
    with backend.engine().connect() as connection:
        quote, inspector = connection.dialect.identifier_preparer.quote, sa.inspect(connection)
        views = {f"DROP VIEW {quote(view)}" for view in inspector.get_view_names()}
        for schema in existing_schemas(connection, schemas):
            views |= {f"DROP VIEW {quote(schema)}.{quote(view)}" for view in inspector.get_view_names(schema)}
    return views | set(routines(backend))
