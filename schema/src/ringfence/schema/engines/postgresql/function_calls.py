"""Which functions and sequences the use of a table on PostgreSQL calls, with the privileges of the calling account."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from ringfence.schema.engines.postgresql.catalog import (
    BEYOND_REVOKE,
    NOT_SYSTEM,
    OF_EXTENSION,
    OF_TABLES,
    SIGNATURE,
    table_parameters,
)
from ringfence.schema.engines.types import RelationKey

# Functions that implement operators, casts, index methods and types are used by every user of these.
_OF_TYPES = """
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_operator o WHERE p.oid IN (o.oprcode, o.oprrest, o.oprjoin))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castfunc = p.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_amproc a WHERE a.amproc = p.oid)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_type t WHERE p.oid IN (t.typinput, t.typoutput, t.typreceive,
                                                                                 t.typsend))
"""
# A trigger function cannot be called directly.
_CALLABLE = f"""
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE {NOT_SYSTEM} AND NOT {OF_EXTENSION.format("pg_catalog.pg_proc", "p")}
      AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
"""
ROUTINES = f"{_CALLABLE} {_OF_TYPES}"
OPEN_TO_ALL = """EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
                         WHERE x.grantee = 0 AND x.privilege_type = 'EXECUTE')"""
_ALL = "tn.nspname <> 'information_schema' AND left(tn.nspname, 3) <> 'pg_'"
_FIRST_OF_USERS = 16384  # FirstNormalObjectId of access/transam.h: lower OIDs are the server's own objects
# Relations that a verb on a table also reaches: child tables, the tables of a view, the targets of a rule. `role` is
# whose policies apply there: 0 for the account itself, else the owner of the view or of the table with the rule.
_RELATIONS = """
    verbs (verb, event, bit, word) AS (VALUES
        ('select', '1'::"char", 2, NULL), ('insert', '3', 8, 'INSERT INTO '), ('update', '2', 4, 'UPDATE '),
        ('delete', '4', 16, 'DELETE FROM '), ('type', NULL, 0, NULL)),
    rel AS (
        SELECT t.oid AS root, verbs.verb AS asked, verbs.verb, t.oid AS relid, 0::oid AS role, true AS policed
        FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace CROSS JOIN verbs
        WHERE t.relkind IN ('r', 'p', 'v', 'f') AND {tables}
        UNION
        SELECT rel.root, rel.asked, beyond.verb, beyond.relid, beyond.role, beyond.policed
        FROM rel CROSS JOIN LATERAL (
            SELECT rel.verb, i.inhrelid AS relid, rel.role, false AS policed
            FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhparent
            WHERE i.inhparent = rel.relid
              AND (rel.verb IN ('update', 'delete') OR rel.verb = 'insert' AND c.relkind = 'p')
            UNION ALL
            SELECT next.verb, d.refobjid,
                   CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_options_to_table(c.reloptions)
                                     WHERE option_name = 'security_invoker' AND option_value::boolean)
                        THEN rel.role ELSE c.relowner END, true
            FROM verbs mine JOIN pg_catalog.pg_rewrite w ON w.ev_class = rel.relid
            JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
            JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
                 AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> w.ev_class
            JOIN pg_catalog.pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p', 'v', 'f')
            JOIN verbs next ON next.verb <> 'type' AND CASE w.ev_type
                WHEN '1' THEN c.relkind = 'v' AND (next.verb = 'select' OR next.verb = mine.verb
                              AND pg_catalog.pg_relation_is_updatable(c.oid, false) & mine.bit <> 0)
                WHEN mine.event THEN next.verb = 'select' OR pg_catalog.pg_get_ruledef(w.oid) ~ next.word
                ELSE false END
            WHERE mine.verb = rel.verb AND rel.verb <> 'type') beyond)
"""
# Expressions that are evaluated on those relations. `col` is the column that must be used, NULL where every use counts;
# `roles` are those of a policy, with an empty name for PUBLIC.
_ROOTS = f"""
    roots AS (
        SELECT rel.root, rel.asked, NULL::name[] AS roles, 'pg_catalog.pg_attrdef'::regclass::oid AS classid,
               ad.oid AS objid, a.attgenerated = '' AS plain,
               CASE WHEN rel.verb = 'update' AND rel.relid = rel.root AND a.attgenerated = '' THEN a.attname END AS col
        FROM rel JOIN pg_catalog.pg_attrdef ad ON ad.adrelid = rel.relid
        JOIN pg_catalog.pg_attribute a ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum
        WHERE rel.verb IN ('insert', 'update')
        UNION ALL
        SELECT rel.root, rel.asked, NULL, 'pg_catalog.pg_type'::regclass, a.atttypid, true,
               CASE WHEN rel.relid <> rel.root THEN NULL WHEN rel.verb = 'type' THEN a.attname
                    WHEN rel.verb = 'update' AND a.attgenerated = '' THEN a.attname END
        FROM rel JOIN pg_catalog.pg_attribute a ON a.attrelid = rel.relid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE rel.verb IN ('insert', 'update', 'type') AND a.atttypid >= {_FIRST_OF_USERS}
        UNION ALL
        SELECT rel.root, rel.asked, NULL, 'pg_catalog.pg_constraint'::regclass, c.oid, false, NULL
        FROM rel JOIN pg_catalog.pg_constraint c ON c.conrelid = rel.relid AND c.contype = 'c'
        WHERE rel.verb IN ('insert', 'update')
        UNION ALL
        SELECT rel.root, rel.asked, NULL, 'pg_catalog.pg_class'::regclass, i.indexrelid, false, NULL
        FROM rel JOIN pg_catalog.pg_index i ON i.indrelid = rel.relid
             AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
        WHERE rel.verb IN ('insert', 'update')
        UNION ALL
        SELECT rel.root, rel.asked, NULL, 'pg_catalog.pg_class'::regclass, k.partrelid, false, NULL
        FROM rel JOIN pg_catalog.pg_class c ON c.oid = rel.relid AND (c.relkind = 'p' OR c.relispartition)
        CROSS JOIN LATERAL pg_catalog.pg_partition_ancestors(c.oid) up (relid)
        JOIN pg_catalog.pg_partitioned_table k ON k.partrelid = up.relid AND k.partexprs IS NOT NULL
        WHERE rel.verb IN ('insert', 'update')
        UNION ALL
        SELECT rel.root, rel.asked, NULL, 'pg_catalog.pg_trigger'::regclass, g.oid, false, NULL
        FROM rel JOIN verbs ON verbs.verb = rel.verb
        JOIN pg_catalog.pg_trigger g ON g.tgrelid = rel.relid AND NOT g.tgisinternal AND g.tgqual IS NOT NULL
             AND g.tgtype & CASE rel.verb WHEN 'insert' THEN 4 WHEN 'delete' THEN 8 WHEN 'update' THEN 16
                                          ELSE 0 END <> 0
        UNION ALL
        SELECT rel.root, rel.asked,
               CASE rel.role WHEN 0 THEN
                   ARRAY(SELECT coalesce(r.rolname, '') FROM unnest(p.polroles) given
                         LEFT JOIN pg_catalog.pg_roles r ON r.oid = given) END,
               'pg_catalog.pg_policy'::regclass, p.oid, false, NULL
        FROM rel JOIN pg_catalog.pg_class c ON c.oid = rel.relid AND c.relrowsecurity
        JOIN pg_catalog.pg_policy p ON p.polrelid = c.oid AND (p.polcmd = '*' OR p.polcmd::text =
             CASE rel.verb WHEN 'select' THEN 'r' WHEN 'insert' THEN 'a' WHEN 'update' THEN 'w'
                           WHEN 'delete' THEN 'd' END)
        WHERE rel.policed AND rel.verb <> 'type' AND (rel.role = 0
           OR (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role(rel.role, c.relowner, 'USAGE'))
              AND EXISTS (SELECT FROM unnest(p.polroles) given
                          WHERE CASE given WHEN 0 THEN true ELSE pg_catalog.pg_has_role(rel.role, given, 'USAGE') END))
        UNION ALL
        SELECT rel.root, rel.asked, NULL, 'pg_catalog.pg_rewrite'::regclass, w.oid, false, NULL
        FROM rel JOIN verbs ON verbs.verb = rel.verb JOIN pg_catalog.pg_class c ON c.oid = rel.relid
        JOIN pg_catalog.pg_rewrite w ON w.ev_class = c.oid
             AND CASE w.ev_type WHEN '1' THEN c.relkind = 'v' ELSE w.ev_type = verbs.event END
        WHERE rel.verb NOT IN ('insert', 'type') OR rel.verb = 'insert'
          AND (w.ev_type <> '1' OR EXISTS (SELECT FROM pg_catalog.pg_options_to_table(c.reloptions)
                                           WHERE option_name = 'check_option')))
"""  # noqa: S608 - constant SQL
# A default that names its sequence by a text, and not by a regclass, is not in pg_depend. Only well-formed names are
# matched, because parse_ident raises an error on others. Classes such as [:alpha:] depend on the locale, names do not.
_BEYOND_ASCII = r"[^\x01-\x7f]"
_WORD = f"""(?:"(?:[^"']|"")+"|(?:[a-zA-Z_]|{_BEYOND_ASCII})(?:[a-zA-Z0-9_$]|{_BEYOND_ASCII})*)"""
_TEXT = "::(?:text|character varying|name)(?:[)]::text)?[)]::regclass[)]"
_DRAWN = f"""$re$nextval[(][(]+'({_WORD}(?:[.]{_WORD})?)'{_TEXT}$re$"""
# From an expression to what its evaluation calls. pg_depend has the functions, operators and types of expressions, and
# of bodies only those of BEGIN ATOMIC. SECURITY DEFINER functions and aggregates call with their owner's privileges.
_REACHED = f"""
    walk AS (
        SELECT DISTINCT classid AS first_class, objid AS first, classid, objid FROM roots
        UNION
        SELECT walk.first_class, walk.first, beyond.classid, beyond.objid
        FROM walk CROSS JOIN LATERAL (
            SELECT d.refclassid AS classid, d.refobjid AS objid FROM pg_catalog.pg_depend d
            WHERE d.classid = walk.classid AND d.objid = walk.objid
              AND (d.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass,
                                    'pg_catalog.pg_type'::regclass)
                   OR d.refclassid = 'pg_catalog.pg_class'::regclass
                      AND EXISTS (SELECT FROM pg_catalog.pg_class s WHERE s.oid = d.refobjid AND s.relkind = 'S')
                      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend read WHERE read.classid = d.classid
                                      AND read.objid = d.objid AND read.refclassid = d.refclassid
                                      AND read.refobjid = d.refobjid AND read.refobjsubid > 0))
              AND CASE d.classid
                  WHEN 'pg_catalog.pg_class'::regclass THEN d.objsubid = 0
                  WHEN 'pg_catalog.pg_operator'::regclass THEN false
                  WHEN 'pg_catalog.pg_type'::regclass THEN
                      EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.oid = d.objid AND t.typtype = 'd')
                  WHEN 'pg_catalog.pg_proc'::regclass THEN
                      EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.oid = d.objid AND p.prokind <> 'a'
                              AND (NOT p.prosecdef OR p.proargdefaults IS NOT NULL))
                  ELSE true END
            UNION ALL
            SELECT 'pg_catalog.pg_class'::regclass, s.oid
            FROM (SELECT pg_catalog.pg_get_expr(ad.adbin, ad.adrelid) FROM pg_catalog.pg_attrdef ad
                  WHERE walk.classid = 'pg_catalog.pg_attrdef'::regclass AND ad.oid = walk.objid
                  UNION ALL
                  SELECT t.typdefault FROM pg_catalog.pg_type t
                  WHERE walk.classid = 'pg_catalog.pg_type'::regclass AND t.oid = walk.objid) said (text)
            CROSS JOIN LATERAL regexp_matches(said.text, {_DRAWN}, 'g') named
            -- Not by to_regclass, which raises at a schema that the admin may not use.
            CROSS JOIN LATERAL (SELECT pg_catalog.parse_ident(named[1])::name[]) parsed (name)
            JOIN pg_catalog.pg_class s ON s.relkind = 'S' AND s.relname = parsed.name[cardinality(parsed.name)]
            JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
            WHERE CASE cardinality(parsed.name) WHEN 1 THEN pg_catalog.pg_table_is_visible(s.oid)
                                                ELSE n.nspname = parsed.name[1] END
            UNION ALL
            SELECT 'pg_catalog.pg_proc'::regclass, every.oprcode::oid
            FROM pg_catalog.pg_operator o
            JOIN pg_catalog.pg_operator every ON every.oid IN (o.oid, o.oprcom, o.oprnegate)
            WHERE walk.classid = 'pg_catalog.pg_operator'::regclass AND o.oid = walk.objid
            UNION ALL
            SELECT 'pg_catalog.pg_constraint'::regclass, c.oid FROM pg_catalog.pg_constraint c
            WHERE walk.classid = 'pg_catalog.pg_type'::regclass AND c.contypid = walk.objid
            UNION ALL
            SELECT 'pg_catalog.pg_type'::regclass, part.oid
            FROM pg_catalog.pg_type t CROSS JOIN LATERAL (
                SELECT unnest(ARRAY[t.typelem, t.typbasetype]) AS oid
                UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
                          WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
                UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r
                          WHERE t.oid IN (r.rngtypid, r.rngmultitypid)) part
            WHERE walk.classid = 'pg_catalog.pg_type'::regclass AND t.oid = walk.objid AND part.oid >= {_FIRST_OF_USERS}
            UNION ALL
            SELECT walk.classid, g.tgparentid FROM pg_catalog.pg_trigger g
            WHERE walk.classid = 'pg_catalog.pg_trigger'::regclass AND g.oid = walk.objid AND g.tgparentid <> 0
        ) beyond)
"""  # noqa: S608 - constant SQL
_HOLDERS = """FROM aclexplode(callees.acl) x JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
                 WHERE x.privilege_type IN ('EXECUTE', 'USAGE')"""
_CALLS = f"""
    WITH RECURSIVE {_RELATIONS}, {_ROOTS}, {_REACHED},
    callees AS (
        SELECT 'function' AS kind, 'pg_catalog.pg_proc'::regclass AS classid, p.oid, n.nspname, {SIGNATURE} AS name,
               {OPEN_TO_ALL} AS is_open,
               pg_catalog.has_function_privilege(p.oid, 'EXECUTE WITH GRANT OPTION') AS grantable,
               pg_catalog.pg_has_role(p.proowner, 'USAGE') {_OF_TYPES} AS revocable,
               p.proowner AS owner, p.proacl AS acl
        {_CALLABLE} AND p.oid IN (SELECT objid FROM walk WHERE classid = 'pg_catalog.pg_proc'::regclass)
        UNION ALL
        SELECT 'sequence', 'pg_catalog.pg_class'::regclass, s.oid, n.nspname, s.relname, false,
               pg_catalog.has_sequence_privilege(s.oid, 'USAGE WITH GRANT OPTION'), false, s.relowner, s.relacl
        FROM pg_catalog.pg_class s JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
        WHERE s.relkind = 'S' AND s.oid IN (SELECT objid FROM walk WHERE classid = 'pg_catalog.pg_class'::regclass))
    SELECT DISTINCT tn.nspname, t.relname, roots.asked, roots.col, roots.roles, callees.kind, callees.nspname,
           callees.name, callees.oid, pg_catalog.pg_get_userbyid(callees.owner), callees.is_open, callees.grantable,
           callees.revocable,
           ARRAY(SELECT DISTINCT r.rolname::text {_HOLDERS} ORDER BY 1),
           ARRAY(SELECT DISTINCT r.rolname::text {_HOLDERS} AND {BEYOND_REVOKE.format("callees")} ORDER BY 1)
    FROM roots JOIN walk ON walk.first_class = roots.classid AND walk.first = roots.objid
    JOIN callees ON callees.classid = walk.classid AND callees.oid = walk.objid
    JOIN pg_catalog.pg_class t ON t.oid = roots.root JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
    WHERE NOT (callees.kind = 'sequence' AND roots.plain AND roots.asked <> 'insert')
"""  # noqa: S608 - constant SQL


@dataclass(frozen=True, slots=True)
class Call:
    """A function that a verb on a table executes, or a sequence that it draws from, with the caller's privileges.

    Args:
        schema: the table's schema.
        table: the table's name.
        verb: select, insert, update or delete; or `type` for what checks a value of the column's type.
        column: the verb calls it only on this column; None for every use.
        roles: the roles of the row security policy that calls it, with an empty name for PUBLIC; None without a policy.
        kind: function or sequence.
        callee: the schema of the function or sequence, and its signature or name.
        oid: its OID.
        owner: its owner, who can grant the privilege.
        is_open: whether PUBLIC may execute it.
        grantable: whether the admin account may grant the privilege.
        revocable_from_public: whether an apply revokes it from PUBLIC; False for functions of another owner and for
            those that implement operators, casts, index methods and types.
        holders: the roles that were granted the privilege by name.
        not_revocable_from: the holders from whom the admin account cannot revoke it, because another role granted it.
    """

    schema: str
    table: str
    verb: str
    column: str | None
    roles: frozenset[str] | None
    kind: str
    callee: tuple[str, str]
    oid: int
    owner: str
    is_open: bool
    grantable: bool
    revocable_from_public: bool
    holders: frozenset[str]
    not_revocable_from: frozenset[str]

    def applies_to(self, login: str, column: str) -> bool:
        """Return whether a login with the verb needs this function or sequence.

        Args:
            login: the account.
            column: the column of its privilege; empty for the whole table.
        """
        named = self.roles is None or login in self.roles or "" in self.roles
        return named and (not self.column or not column or self.column == column)

    def needs_grant(self, left_open: Collection[str]) -> bool:
        """Return whether the admin account is to grant the privilege by name, because PUBLIC will not have it.

        Args:
            left_open: privileges that the manifest leaves to PUBLIC.
        """
        stays_open = self.is_open and ("execute" in left_open or not self.revocable_from_public)
        return self.grantable and not stays_open

    def lacks(self, login: str) -> bool:
        """Return whether an account lacks the privilege and the admin account may not grant it.

        Args:
            login: the account.
        """
        return not (self.is_open or self.grantable or login in self.holders)


def calls(connection: sa.Connection, tables: Collection[RelationKey] | None = None) -> list[Call]:
    """Find what the use of tables and views calls, as far as the catalog records it.

    The text of a function's body is not parsed.

    Args:
        connection: a connection of the admin account.
        tables: schema and name of the tables to look at; None for all.
    """
    sql = _CALLS.replace("{tables}", _ALL if tables is None else OF_TABLES)
    ask = connection.exec_driver_sql
    # The planner overestimates the recursion and would use JIT, whose compilation takes longer than the query.
    jit = ask("SELECT current_setting('jit'), set_config('jit', 'off', false)").scalar_one()
    rows = ask(sql, table_parameters(tables) if tables is not None else {}).all()
    ask("SELECT set_config('jit', %s, false)", (jit,))
    return [_call(*row) for row in rows]


def _call(
    schema: str,
    table: str,
    verb: str,
    column: str | None,
    roles: list[str] | None,
    kind: str,
    callee_schema: str,
    callee: str,
    oid: int,
    owner: str,
    is_open: bool,
    grantable: bool,
    revocable_from_public: bool,
    holders: list[str],
    not_revocable_from: list[str],
) -> Call:
    return Call(
        schema,
        table,
        verb,
        column,
        None if roles is None else frozenset(roles),
        kind,
        (callee_schema, callee),
        oid,
        owner,
        is_open,
        grantable,
        revocable_from_public,
        frozenset(holders),
        frozenset(not_revocable_from),
    )
