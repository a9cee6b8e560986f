"""Views of the models beside those of a database of the MySQL family, which has no temporary views."""

import re
from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from ringfence.schema.backends.mysql_catalog_models import RAW, Server, attached, compiled
from ringfence.schema.comparison.snapshot import Models, Name, Snapshot

_NAMED = r"(?:(?:`[^`]*`|[\w$]+)\s*\.\s*)?(?P<name>`(?:[^`]|``)*`|[\w$]+)"
_VIEW = re.compile(
    rf"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:ALGORITHM\s*=\s*\w+\s+)?(?:DEFINER\s*=\s*\S+\s+)?(?:SQL\s+SECURITY\s+\w+\s+)?"
    rf"VIEW\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAMED}\s*(?P<columns>\(.*?\))?\s+AS\s+(?P<select>.*?)"
    r"(?:\s+WITH\s+(?:CASCADED\s+|LOCAL\s+)?CHECK\s+OPTION)?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
# MariaDB's trace is not always JSON: a quote in it follows a single backslash.
_RESOLVED = re.compile(r'"expanded_query": "((?:[^"\\]|\\.)*)"')
_EXISTS = " limit 1"
"""What MariaDB adds to the query of an EXISTS, and stores with a view."""


def expected(
    scratch: sa.Connection, models: Models, server: Server, found: Snapshot
) -> Mapping[Name, dict[str, str | None]]:
    """The views that the models make, as `CreateView` or in DDL of their own, each with its facets.

    Whether a view is still what the models say, the server's optimizer is asked: its trace holds a query as it was
    resolved, before anything is optimized. Nothing is made for that. Where it cannot say it, as when a table does not
    exist yet, only the existence of the view counts.

    Args:
        scratch: a session of its own, whose settings do not matter any more.
        models: which views there are to be.
        server: of both.
        found: the views that there are.
    """
    wanted: dict[Name, dict[str, str | None]] = {}
    scratch.exec_driver_sql("SET SESSION optimizer_trace = 'enabled=on'")
    for schema, sql in _statements(models, scratch):
        match = _VIEW.fullmatch(sql)
        if match is None:
            continue
        plain = match["name"]
        view = plain[1:-1].replace("``", "`") if plain.startswith("`") else plain
        name = Name("view", server.label(schema), view, view)
        facets = dict(found.items.get(name, {}))
        definition = facets.get("definition")
        if definition is not None and match["columns"] is None:
            meant = _resolved(scratch, match["select"])
            if meant is not None and meant != _resolved(scratch, definition):
                facets["definition"] = " ".join(match["select"].split())
        wanted[name] = facets
    return wanted


def _statements(models: Models, connection: sa.Connection) -> Iterator[tuple[str | None, str]]:
    """What would make the views, each with the schema that it is in unless it says another."""
    for metadata in models.metadata:
        for table in metadata.tables.values():
            if table.is_view:
                yield table.schema, compiled(table._creator_ddl, connection.dialect)  # noqa: SLF001 - SQLAlchemy has no public way to ask
    for target in (*models.metadata, *models.tables.values()):
        for sql in attached(target, connection):
            yield target.schema, sql


def _resolved(connection: sa.Connection, select: str) -> tuple[str, ...] | None:
    """A query as the server understands it; None where it cannot run, or may not be seen."""
    try:
        connection.exec_driver_sql(f"EXPLAIN {select}", execution_options=RAW).all()
        trace, missing = connection.exec_driver_sql(
            "SELECT trace, missing_bytes_beyond_max_mem_size FROM information_schema.optimizer_trace"
        ).one()
    except sa.exc.DBAPIError:
        return None
    queries = _RESOLVED.findall(str(trace))
    if not queries or missing:
        return None
    *inner, last = queries
    return (*(query.removesuffix(_EXISTS) for query in inner), last.replace(f"{_EXISTS})", ")"))
