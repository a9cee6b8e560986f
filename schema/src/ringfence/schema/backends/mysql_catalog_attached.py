"""Views, triggers and functions that the models attach, beside those of a database of the MySQL family."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.ddl import ExecutableDDLElement

from ringfence.schema.backends.mysql_catalog_models import RAW, Server, compiled
from ringfence.schema.comparison.snapshot import Models, Name, Snapshot

_ALGORITHM = r"(?:ALGORITHM\s*=\s*\w+\s+)?(?:DEFINER\s*=\s*\S+\s+)?(?:SQL\s+SECURITY\s+\w+\s+)?"
_CREATE = rf"\s*CREATE\s+(?:OR\s+REPLACE\s+)?{_ALGORITHM}(?:AGGREGATE\s+)?"
_NAME = r"(?:IF\s+NOT\s+EXISTS\s+)?(?:(?:`[^`]*`|[\w$]+)\s*\.\s*)?(?P<name>`(?:[^`]|``)*`|[\w$]+)"
_VIEW = re.compile(
    rf"{_CREATE}VIEW\s+{_NAME}\s*(?P<columns>\(.*?\))?\s+AS\s+(?P<select>.*?)"
    r"(?:\s+WITH\s+(?:CASCADED\s+|LOCAL\s+)?CHECK\s+OPTION)?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TRIGGER = re.compile(
    rf"{_CREATE}TRIGGER\s+{_NAME}\s+(?P<timing>BEFORE|AFTER)\s+(?P<event>INSERT|UPDATE|DELETE)\s+ON\s+"
    r"(?:(?:`[^`]*`|[\w$]+)\s*\.\s*)?(?P<table>`(?:[^`]|``)*`|[\w$]+)\s+"
    r"FOR\s+EACH\s+ROW\s+(?:(?:FOLLOWS|PRECEDES)\s+\S+\s+)?(?P<body>.*)",
    re.IGNORECASE | re.DOTALL,
)
_ROUTINE = re.compile(rf"{_CREATE}(?P<kind>FUNCTION|PROCEDURE)\s+{_NAME}\s*\(.*", re.IGNORECASE | re.DOTALL)
# MariaDB's trace is not always JSON: a quote in it follows a single backslash.
_RESOLVED = re.compile(r'"expanded_query": "((?:[^"\\]|\\.)*)"')
_EXISTS = " limit 1"
"""What MariaDB adds to the query of an EXISTS, and stores with a view."""


def trigger(name: str, table: str, timing: str, event: str, body: str) -> dict[str, str | None]:
    """The facets of a trigger: the server keeps its words, and takes white space and a semicolon off the end."""
    name, table = (part.replace("`", "``") for part in (name, table))
    body = body.strip().rstrip(";").rstrip()
    when = f"{timing} {event}".upper()
    return {"definition": f"CREATE TRIGGER `{name}` {when} ON `{table}` FOR EACH ROW {body}"}


def expected(
    scratch: sa.Connection, models: Models, server: Server, found: Snapshot
) -> Mapping[Name, dict[str, str | None]]:
    """What the models make as `CreateView`, or in DDL of their own that runs with `create_all`, each with its facets.

    It is read, and not run: none of it can be temporary. Whether a view is still what the models say, the server's
    optimizer is asked: its trace holds a query as it was resolved, before anything is optimized. Where it cannot say
    it, as when a table does not exist yet, only the existence of the view counts.

    Args:
        scratch: a session of its own, whose settings do not matter any more.
        models: which objects there are to be.
        server: of both.
        found: what there is.
    """
    wanted: dict[Name, dict[str, str | None]] = {}
    scratch.exec_driver_sql("SET SESSION optimizer_trace = 'enabled=on'")
    for schema, sql in _statements(models, scratch):
        label = server.label(schema)
        if match := _TRIGGER.fullmatch(sql):
            name, table = _plain(match["name"]), _plain(match["table"])
            facets = trigger(name, table, match["timing"], match["event"], match["body"])
            wanted[Name("trigger", label, table, name)] = facets
        elif match := _ROUTINE.fullmatch(sql):
            key = Name("function", label, "", _plain(match["name"]))
            wanted[key] = _routine(sql, match["kind"].lower(), found.items.get(key, {}))
        elif match := _VIEW.fullmatch(sql):
            name = _plain(match["name"])
            key = Name("view", label, name, name)
            facets = dict(found.items.get(key, {}))
            definition = facets.get("definition")
            if definition is not None and match["columns"] is None:
                meant = _resolved(scratch, match["select"])
                if meant is not None and meant != _resolved(scratch, definition):
                    facets["definition"] = " ".join(match["select"].split())
            wanted[key] = facets
    return wanted


def _statements(models: Models, connection: sa.Connection) -> Iterator[tuple[str | None, str]]:
    """What would make the objects, each with the schema that it is in unless it says another."""
    for metadata in models.metadata:
        for table in metadata.tables.values():
            if table.is_view:
                yield table.schema, compiled(table._creator_ddl, connection.dialect)  # noqa: SLF001 - SQLAlchemy has no public way to ask
    for target in (*models.metadata, *models.tables.values()):
        for listener in (*target.dispatch.before_create, *target.dispatch.after_create):
            if isinstance(listener, ExecutableDDLElement):
                ddl: Any = listener.against(target)
                if ddl._should_execute(target, connection):  # noqa: SLF001 - SQLAlchemy has no public way to ask
                    yield target.schema, compiled(ddl, connection.dialect)


def _routine(sql: str, kind: str, found: Mapping[str, str | None]) -> dict[str, str | None]:
    """The facets of a function or procedure; who may not see the body of the one that there is, cannot compare it."""
    whole, body = (" ".join(text.split()).rstrip("; ") for text in (sql, found.get("body") or ""))
    return {"routine": kind, "body": found.get("body") if whole.endswith(body) else whole}


def _plain(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


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
