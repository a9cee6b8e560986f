"""Which functions the use of a table on PostgreSQL calls, with the rights of whoever uses it."""

from collections.abc import Collection

import sqlalchemy as sa

NOT_SYSTEM = "n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'"
# An extension's objects are as its author made them; a trigger's function can be called by nobody.
OF_EXTENSION = """EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = '{0}'::regclass AND e.objid = {1}.oid
                           AND e.deptype = 'e')"""
# What operators, casts, index methods and types call is used by whoever uses those.
ROUTINES = f"""
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE {NOT_SYSTEM} AND NOT {OF_EXTENSION.format("pg_catalog.pg_proc", "p")}
      AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_operator o WHERE p.oid IN (o.oprcode, o.oprrest, o.oprjoin))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castfunc = p.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_amproc a WHERE a.amproc = p.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_type t WHERE p.oid IN (t.typinput, t.typoutput, t.typreceive,
                                                                                 t.typsend))
"""  # noqa: S608 - our own words
SIGNATURE = "quote_ident(p.proname) || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')'"
# Functions that defaults, checks and indexes of a table, or a view, call: the writer, or the reader, executes them.
_CALLABLE = f"""
    SELECT p.oid, n.nspname, {SIGNATURE} AS signature {ROUTINES} AND pg_catalog.pg_has_role(p.proowner, 'USAGE')
"""
_USERS = """
    SELECT 'pg_catalog.pg_attrdef'::regclass AS classid, oid, adrelid AS relid, false AS reads
    FROM pg_catalog.pg_attrdef
    UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, oid, conrelid, false FROM pg_catalog.pg_constraint
    UNION ALL SELECT 'pg_catalog.pg_class'::regclass, indexrelid, indrelid, false FROM pg_catalog.pg_index
    UNION ALL SELECT 'pg_catalog.pg_rewrite'::regclass, oid, ev_class, true FROM pg_catalog.pg_rewrite
"""
_CALLS = f"""
    SELECT tn.nspname, t.relname, u.reads, f.nspname, f.signature
    FROM ({_CALLABLE}) f
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_proc'::regclass AND d.refobjid = f.oid
    JOIN ({_USERS}) u ON u.classid = d.classid AND u.oid = d.objid
    JOIN pg_catalog.pg_class t ON t.oid = u.relid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
"""  # noqa: S608 - our own words
# Of the tables given, with the names that a query has for a table and its schema.
CHOSEN = "(tn.nspname, t.relname) IN (SELECT * FROM unnest(%(schemas)s::name[], %(names)s::name[]))"
# The same of a few tables, from these to the functions: never by way of all that call a function.
_CALLS_OF = f"""
    WITH used AS MATERIALIZED (
        SELECT DISTINCT t.nspname, t.relname, u.reads, d.refobjid AS routine
        FROM (SELECT t.oid, tn.nspname, t.relname
              FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace WHERE {CHOSEN}) t
        CROSS JOIN LATERAL (SELECT * FROM ({_USERS}) every WHERE every.relid = t.oid) u
        JOIN pg_catalog.pg_depend d ON d.classid = u.classid AND d.objid = u.oid
             AND d.refclassid = 'pg_catalog.pg_proc'::regclass)
    SELECT used.nspname, used.relname, used.reads, f.nspname, f.signature
    FROM used JOIN ({_CALLABLE} AND p.oid IN (SELECT routine FROM used)) f ON f.oid = used.routine
"""  # noqa: S608 - our own words


def calls(
    connection: sa.Connection, tables: Collection[tuple[str, str]] | None = None
) -> dict[tuple[str, str, bool], set[tuple[str, str]]]:
    """(schema, table, whether reading is enough) -> the functions, as (schema, signature), that its user executes.

    Args:
        connection: the admin's.
        tables: those to look at; None for all.
    """
    ask = connection.exec_driver_sql
    rows = ask(_CALLS) if tables is None else ask(_CALLS_OF, chosen(tables))
    found: dict[tuple[str, str, bool], set[tuple[str, str]]] = {}
    for table_schema, table, reads, schema, signature in rows:
        found.setdefault((table_schema, table, reads), set()).add((schema, signature))
    return found


def chosen(tables: Collection[tuple[str, str]]) -> dict[str, list[str]]:
    """What CHOSEN is given."""
    return {"schemas": [schema for schema, _ in tables], "names": [name for _, name in tables]}
