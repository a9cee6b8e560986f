"""What the models create by statements of their own, compared with what a database of the MySQL family has."""

import re
from collections.abc import Mapping

import sqlalchemy as sa

from ringfence.schema.comparison.model_statements import statements
from ringfence.schema.comparison.snapshot import Models, Name, Snapshot
from ringfence.schema.engines.mysql.introspection_models import RAW, Server
from ringfence.schema.engines.mysql.introspection_tokens import Reader, Token, split, tokens
from ringfence.schema.errors import JobFailed

_ALGORITHM = r"(?:ALGORITHM\s*=\s*\w+\s+)?(?:DEFINER\s*=\s*\S+\s+)?(?:SQL\s+SECURITY\s+(?P<security>\w+)\s+)?"
_CREATE = rf"\s*CREATE\s+(?:OR\s+REPLACE\s+)?{_ALGORITHM}(?:AGGREGATE\s+)?"
_NAME = r"(?:IF\s+NOT\s+EXISTS\s+)?(?:(?:`[^`]*`|[\w$]+)\s*\.\s*)?(?P<name>`(?:[^`]|``)*`|[\w$]+)"
_VIEW = re.compile(
    rf"{_CREATE}VIEW\s+{_NAME}\s*(?P<columns>\(.*?\))?\s+AS\s+(?P<select>.*?)"
    r"(?P<check>\s+WITH\s+(?:CASCADED\s+|LOCAL\s+)?CHECK\s+OPTION)?\s*;?\s*",
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
_HOW = ("ALGORITHM", "LOCK", "WAIT", "NOWAIT", "AFTER")
"""Words that follow an item: how the change is to be made, and where the column is to be placed."""
_EXISTS = " limit 1"
"""What MariaDB appends to the query of an EXISTS, and stores with a view."""


def trigger(name: str, table: str, timing: str, event: str, body: str) -> dict[str, str | None]:
    """Return the facets of a trigger.

    The server stores the body as it was written, without white space and a semicolon at its end.

    Args:
        name: of the trigger.
        table: of the trigger.
        timing: BEFORE or AFTER.
        event: INSERT, UPDATE or DELETE.
        body: the statement that it runs.
    """
    name, table = (part.replace("`", "``") for part in (name, table))
    body = body.strip().rstrip(";").rstrip()
    when = f"{timing} {event}".upper()
    return {"definition": f"CREATE TRIGGER `{name}` {when} ON `{table}` FOR EACH ROW {body}"}


def expected(
    scratch: sa.Connection, models: Models, server: Server, found: Snapshot
) -> Mapping[Name, dict[str, str | None]]:
    """Return the objects that the models create by `CreateView`, or by other DDL that runs with `create_all`.

    The statements are parsed and not run, because none of these objects can be temporary. Whether a view still has the
    query of the models is decided by the server's optimizer: its trace contains a query as it was resolved, before
    anything is optimized. Where there is no trace, as when a table does not exist yet, only the existence of the view
    is compared.

    Args:
        scratch: a session of its own, whose settings are changed.
        models: the models.
        server: the properties of the server.
        found: the objects that the database has.

    Returns:
        The views, triggers and functions, each with its facets.
    """
    wanted: dict[Name, dict[str, str | None]] = {}
    scratch.exec_driver_sql("SET SESSION optimizer_trace = 'enabled=on'")
    for statement in statements(models, scratch):
        sql, label = statement.sql, server.label(statement.target.schema)
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
            if facets:
                # Without these clauses the server's defaults hold: SQL SECURITY DEFINER, and no CHECK OPTION.
                facets["security"] = (match["security"] or "DEFINER").upper()
                facets.pop("check option", None)
                if match["check"] is not None:
                    facets["check option"] = "LOCAL" if "LOCAL" in match["check"].upper() else "CASCADED"
            if definition is not None and match["columns"] is None:
                meant = _resolved(scratch, match["select"])
                if meant is not None and meant != _resolved(scratch, definition):
                    facets["definition"] = " ".join(match["select"].split())
            wanted[key] = facets
    return wanted


def items(models: Models, connection: sa.Connection, server: Server) -> dict[tuple[str, str], list[str]]:
    """Return what DDL of the models adds to their tables, as items of CREATE TABLE.

    Args:
        models: whose DDL.
        connection: evaluates conditions of DDL (`execute_if`).
        server: says which database is the default one.

    Returns:
        The items of CREATE INDEX and ALTER TABLE ... ADD, by the label of the schema and the name of the table.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for statement in statements(models, connection):
        sql = statement.sql.rstrip("; ")
        table, several = _items(sql)
        if table is not None:
            label = server.label(table[0] or statement.target.schema)
            found.setdefault((label, table[1]), []).extend(several)
    return found


def _items(sql: str) -> tuple[tuple[str, str] | None, list[str]]:
    """Return the table, as (schema or "", name), and the items that a statement adds to it."""
    try:
        reader = Reader(tokens(sql))
    except JobFailed:  # another statement, whose syntax is not parsed here
        return None, []
    if reader.take("ALTER"):
        while reader.word() in ("ONLINE", "IGNORE"):
            reader.next()
        if not reader.take("TABLE"):
            return None, []
        reader.take("IF", "EXISTS")
        table = _table(reader)
        added = (_added(part, sql) for part in split(reader.rest()))
        return table, [item for item in added if item]
    if not reader.take("CREATE"):
        return None, []
    reader.take("OR", "REPLACE")
    words = [reader.next().word] if reader.word() in ("UNIQUE", "FULLTEXT", "SPATIAL") else []
    if not reader.take("INDEX"):
        return None, []
    reader.take("IF", "NOT", "EXISTS")
    words += ["INDEX", reader.next().spelled]
    if reader.take("USING"):
        words += ["USING", reader.next().spelled]
    if not reader.take("ON"):
        return None, []
    table = _table(reader)
    return table, [f"{' '.join(words)} {_text(reader.rest(), sql)}"]


def _table(reader: Reader) -> tuple[str, str]:
    schema, name = "", reader.next().name
    if reader.take("."):
        schema, name = name, reader.next().name
    return schema, name


def _added(part: list[Token], sql: str) -> str | None:
    """Return an action of ALTER TABLE as an item of CREATE TABLE; None for one that adds nothing."""
    reader = Reader(part)
    if not reader.take("ADD"):
        return None
    reader.take("COLUMN")
    reader.take("IF", "NOT", "EXISTS")
    return None if reader.word() == "(" else _text(reader.rest(), sql)


def _text(given: list[Token], sql: str) -> str:
    """Return the text of tokens, without how the change is to be made and where a column is to be placed."""
    ends = (
        n
        for n, token in enumerate(given)
        if token.word in _HOW or (n + 1 == len(given) and token.word == "FIRST")
    )
    kept = given[: next(ends, len(given))]
    return sql[kept[0].start : kept[-1].end] if kept else ""


def _routine(sql: str, kind: str, found: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the facets of a function or procedure; one whose body the server hides is not compared."""
    whole, body = (" ".join(text.split()).rstrip("; ") for text in (sql, found.get("body") or ""))
    return {"routine": kind, "body": found.get("body") if whole.endswith(body) else whole}


def _plain(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _resolved(connection: sa.Connection, select: str) -> tuple[str, ...] | None:
    """Return a query as the server resolves it; None where it cannot be run, or its trace is incomplete or hidden."""
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
