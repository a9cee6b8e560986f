"""Drop all that a database for proofs holds, so that it is empty again afterwards."""

import contextlib
import warnings
from collections.abc import Collection

import sqlalchemy as sa

from ringfence.schema.engines import Backend
from ringfence.schema.errors import JobFailed
from ringfence.schema.sampling.rows import others, quietly
from ringfence.schema.sql.text import verbatim


class NotEmpty(JobFailed):
    """The database holds something, and the proof would drop it: it wants one of its own."""


def empty(backend: Backend, keep: Collection[str] = (), schemas: Collection[str | None] = ()) -> None:
    """Drop every view, routine and table of the database.

    Args:
        backend: the server.
        keep: what would drop the routines that were there before, and stay.
        schemas: those beside the default one, whose views and tables are dropped too.
    """
    _drop_around(backend, keep, schemas)
    metadata = sa.MetaData()
    with quietly(), backend.engine(migrating=True).begin() as connection:
        # SQLite drops tables that refer to each other in any order, while foreign keys do not act.
        warnings.filterwarnings("ignore", "Can't(?: correctly)? sort tables", sa.exc.SAWarning)
        warnings.filterwarnings("ignore", "Skipped unsupported reflection", sa.exc.SAWarning)
        for schema in (None, *others(connection, schemas)):
            metadata.reflect(connection, schema=schema)
        metadata.drop_all(connection)
    _drop_around(backend, keep, schemas)


def _drop_around(backend: Backend, keep: Collection[str], schemas: Collection[str | None]) -> None:
    """Drop views and routines, which may use one another: each by itself, again and again until none can go.

    What cannot be dropped yet waits for those that use it; if it never can, the drop of its tables fails and says so.
    """
    there = _around(backend, schemas) - set(keep)
    while there:
        for statement in sorted(there):
            with contextlib.suppress(sa.exc.DBAPIError), backend.engine().begin() as connection:
                connection.execute(verbatim(statement))
        left = _around(backend, schemas) - set(keep)
        if left == there:
            return
        there = left


def routines(backend: Backend) -> list[str]:
    """What drops each routine that is there."""
    with backend.engine().connect() as connection:
        return backend.drop_routines(connection)


def _around(backend: Backend, schemas: Collection[str | None]) -> set[str]:
    """What drops each view and routine."""
    with backend.engine().connect() as connection:
        quote, inspector = connection.dialect.identifier_preparer.quote, sa.inspect(connection)
        views = {f"DROP VIEW {quote(view)}" for view in inspector.get_view_names()}
        for schema in others(connection, schemas):
            views |= {f"DROP VIEW {quote(schema)}.{quote(view)}" for view in inspector.get_view_names(schema)}
    return views | set(routines(backend))
