"""Catalog queries for comparing a PostgreSQL database with its models; each takes the list `schemas`.

Left out are members of extensions, Ringfence's own tables, Alembic's version table, and what a partition or a child
table inherits. Names of objects on the search_path are printed without their schema, as the server's functions do.
"""

CONSTRAINT_KINDS = {"p": "primary key", "u": "unique", "c": "check", "f": "foreign key", "x": "exclude"}
GENERATED = {"s": "STORED", "v": "VIRTUAL"}
IDENTITY = {"a": "always", "d": "by default"}

_OURS = r"(c.relname LIKE 'ringfence\_%%' OR c.relname = 'alembic_version')"


def _no_member(catalog: str, oid: str) -> str:
    return (
        "NOT EXISTS (SELECT FROM pg_catalog.pg_depend e"
        f" WHERE e.classid = 'pg_catalog.{catalog}'::regclass AND e.objid = {oid} AND e.deptype = 'e')"
    )


SCHEMAS = "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY(%(schemas)s) ORDER BY nspname"

_TABLE = f"""
    c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY(%(schemas)s) AND NOT {_OURS}
    AND {_no_member("pg_class", "c.oid")}
"""

TABLES = f"""
    SELECT n.nspname AS schema, c.relname AS table,
      CASE c.relpersistence WHEN 'u' THEN 'yes' END AS unlogged,
      pg_catalog.pg_get_partkeydef(c.oid) AS partition_by,
      (SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
       FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) AS inherits,
      pg_catalog.obj_description(c.oid, 'pg_class') AS comment
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE {_TABLE} ORDER BY 1, 2
"""

COLUMNS = f"""
    SELECT n.nspname AS schema, c.relname AS table, a.attname AS name,
      pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
      a.attidentity::text AS identity, a.attgenerated::text AS generated,
      pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) AS expression,
      EXISTS (
        SELECT FROM pg_catalog.pg_depend o JOIN pg_catalog.pg_sequence q ON q.seqrelid = o.objid
        WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.deptype = 'a'
          AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.refobjid = c.oid AND o.refobjsubid = a.attnum
      ) AS owned_sequence,
      CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END AS collation,
      pg_catalog.col_description(c.oid, a.attnum) AS comment,
      s.seqstart AS start, s.seqincrement AS increment, s.seqmin AS minimum, s.seqmax AS maximum,
      s.seqcache AS cache, s.seqcycle AS cycle
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_catalog.pg_depend i ON a.attidentity <> '' AND i.deptype = 'i'
      AND i.classid = 'pg_catalog.pg_class'::regclass AND i.refclassid = 'pg_catalog.pg_class'::regclass
      AND i.refobjid = c.oid AND i.refobjsubid = a.attnum
    LEFT JOIN pg_catalog.pg_sequence s ON s.seqrelid = i.objid
    WHERE {_TABLE} AND a.attnum > 0 AND NOT a.attisdropped AND a.attislocal
    ORDER BY 1, 2, a.attnum
"""

CONSTRAINTS = f"""
    SELECT n.nspname AS schema, c.relname AS table, k.conname AS name, k.contype::text AS type,
      pg_catalog.pg_get_constraintdef(k.oid, true) AS definition,
      pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE {_TABLE} AND k.contype IN ('p', 'u', 'c', 'f', 'x') AND k.conislocal AND k.conparentid = 0
    ORDER BY 1, 2, 3
"""

INDEXES = f"""
    SELECT n.nspname AS schema, c.relname AS table, x.relname AS name,
      pg_catalog.pg_get_indexdef(i.indexrelid, 0, true) AS definition,
      i.indisunique AS is_unique, i.indisvalid AS is_valid,
      pg_catalog.obj_description(i.indexrelid, 'pg_class') AS comment
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    WHERE {_TABLE} AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_constraint k
      WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
    )
    ORDER BY 1, 2, 3
"""

ENUMS = f"""
    SELECT n.nspname AS schema, t.typname AS name,
      (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
       WHERE e.enumtypid = t.oid) AS labels
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype = 'e' AND n.nspname = ANY(%(schemas)s) AND {_no_member("pg_type", "t.oid")}
    ORDER BY 1, 2
"""

EXTENSIONS = "SELECT extname FROM pg_catalog.pg_extension ORDER BY 1"

# Domains, composite types and ranges. Row types of tables and multiranges are created with another object.
TYPES = f"""
    SELECT n.nspname AS schema, t.typname AS name, t.typtype::text AS type, t.typnotnull AS not_null,
      CASE t.typtype
        WHEN 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod)
        WHEN 'r' THEN (SELECT pg_catalog.format_type(r.rngsubtype, NULL) FROM pg_catalog.pg_range r
                       WHERE r.rngtypid = t.oid)
        ELSE (SELECT string_agg(quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', '
                ORDER BY a.attnum)
              FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
      END AS definition,
      t.typdefault AS default,
      CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END
        AS collation,
      (SELECT array_agg(k.conname || ' ' || pg_catalog.pg_get_constraintdef(k.oid, true) ORDER BY k.conname)
       FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c') AS checks
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
    WHERE (t.typtype IN ('d', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')) AND n.nspname = ANY(%(schemas)s)
      AND {_no_member("pg_type", "t.oid")}
    ORDER BY 1, 2
"""
TYPE_KINDS = {"d": "domain", "r": "range", "c": "composite"}

# A sequence that a column owns is read with that column.
SEQUENCES = rf"""
    SELECT n.nspname AS schema, c.relname AS name, s.seqstart AS start, s.seqincrement AS increment,
      s.seqmin AS minimum, s.seqmax AS maximum, s.seqcache AS cache, s.seqcycle AS cycle
    FROM pg_catalog.pg_sequence s
    JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY(%(schemas)s) AND c.relname NOT LIKE 'ringfence\_%%'
      AND {_no_member("pg_class", "c.oid")} AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend o
        WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.objid = c.oid AND o.deptype IN ('a', 'i')
          AND o.refclassid = 'pg_catalog.pg_class'::regclass
      )
    ORDER BY 1, 2
"""

VIEWS = rf"""
    SELECT n.nspname AS schema, c.relname AS table, pg_catalog.pg_get_viewdef(c.oid, true) AS definition,
      CASE c.relkind WHEN 'm' THEN 'yes' END AS materialized, c.reloptions AS options
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm') AND n.nspname = ANY(%(schemas)s) AND c.relname NOT LIKE 'ringfence\_%%'
      AND {_no_member("pg_class", "c.oid")}
    ORDER BY 1, 2
"""

FUNCTIONS = rf"""
    SELECT n.nspname AS schema,
      p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' AS name,
      concat_ws(' ', p.prokind, pg_catalog.pg_get_function_arguments(p.oid), '->',
        pg_catalog.pg_get_function_result(p.oid), l.lanname, p.provolatile, p.prosecdef::text, p.proisstrict::text,
        p.proparallel, array_to_string(p.proconfig, ', ')) AS header,
      coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) AS body
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE n.nspname = ANY(%(schemas)s) AND p.prokind IN ('f', 'p', 'w') AND p.proname NOT LIKE 'ringfence\_%%'
      AND {_no_member("pg_proc", "p.oid")}
    ORDER BY 1, 2
"""

TRIGGERS = rf"""
    SELECT n.nspname AS schema, c.relname AS table, g.tgname AS name,
      pg_catalog.pg_get_triggerdef(g.oid, true) AS definition,
      CASE g.tgenabled WHEN 'O' THEN NULL ELSE g.tgenabled::text END AS enabled
    FROM pg_catalog.pg_trigger g
    JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE {_TABLE} AND NOT g.tgisinternal AND g.tgname NOT LIKE 'ringfence\_%%'
    ORDER BY 1, 2, 3
"""
# Triggers on views, partitions and foreign tables too, without those that a partition inherits.
ALL_TRIGGERS = TRIGGERS.replace(
    f"WHERE {_TABLE}",
    "WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p', 'v', 'f') AND g.tgparentid = 0"
    f" AND {_no_member('pg_class', 'c.oid')}",
)
