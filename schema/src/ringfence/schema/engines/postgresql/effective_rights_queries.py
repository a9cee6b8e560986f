"""Catalog queries for effective rights: which roles a login can become, their rights, and how these were granted."""

from ringfence.schema.engines.postgresql.function_calls import NOT_SYSTEM, OF_EXTENSION

# Each login with the roles that it can become with SET ROLE. Superusers, who can become any, are refused elsewhere.
_ACTORS = """
    ours AS (SELECT oid, rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname = ANY (%(logins)s)),
    actors AS (
        SELECT o.rolname AS login, r.oid, r.rolname, r.rolsuper OR r.rolbypassrls AS past_rows
        FROM ours o JOIN pg_catalog.pg_roles r
          ON r.oid = o.oid OR NOT o.rolsuper AND pg_catalog.pg_has_role(o.oid, r.oid, %(set)s)),
    each AS (SELECT DISTINCT oid, rolname FROM actors)
"""
ACTORS = f"""
    WITH {_ACTORS}
    SELECT login, rolname, past_rows,
           ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_roles g WHERE pg_catalog.pg_has_role(a.oid, g.oid, 'USAGE'))
    FROM actors a ORDER BY login, rolname <> login, rolname
"""  # noqa: S608 - constant SQL
RELATIONS = f"""
    SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity,
           pg_catalog.pg_get_userbyid(c.relowner)::text,
           NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') OR {OF_EXTENSION.format("pg_catalog.pg_class", "c")},
           ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
           ARRAY(SELECT ARRAY[coalesce(g.rolname::text, ''), lower(x.privilege_type), acls.col]
                 FROM (SELECT '' AS col, c.relacl AS acl UNION ALL
                       SELECT a.attname::text, a.attacl FROM pg_catalog.pg_attribute a
                       WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped) acls
                 CROSS JOIN LATERAL aclexplode(acls.acl) x
                 LEFT JOIN pg_catalog.pg_roles g ON g.oid = x.grantee ORDER BY 1)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {NOT_SYSTEM}
"""  # noqa: S608 - constant SQL
_TABLE_RIGHTS = f"""
    WITH {_ACTORS}, things AS (
        SELECT c.oid, n.oid AS schema_oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {NOT_SYSTEM})
    SELECT e.rolname::text, t.schema, t.name, lower(v.verb), whole.held,
           CASE WHEN NOT whole.held THEN
               ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                     WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
                       AND pg_catalog.has_column_privilege(e.oid, t.oid, a.attnum, v.verb)) END,
           pg_catalog.has_schema_privilege(e.oid, t.schema_oid, 'USAGE')
    FROM each e CROSS JOIN things t
    JOIN (VALUES ('SELECT', true), ('INSERT', true), ('UPDATE', true), ('REFERENCES', true), ('DELETE', false),
                 ('TRUNCATE', false), ('TRIGGER', false)) v (verb, by_column) ON t.relkind <> 'S'
    CROSS JOIN LATERAL (SELECT pg_catalog.has_table_privilege(e.oid, t.oid, v.verb) AS held) whole
    WHERE whole.held OR v.by_column AND pg_catalog.has_any_column_privilege(e.oid, t.oid, v.verb)
    UNION ALL
    SELECT e.rolname::text, t.schema, t.name, lower(v.verb), true, NULL,
           pg_catalog.has_schema_privilege(e.oid, t.schema_oid, 'USAGE')
    FROM each e CROSS JOIN things t JOIN (VALUES ('USAGE'), ('SELECT'), ('UPDATE')) v (verb) ON t.relkind = 'S'
    WHERE CASE WHEN t.relkind = 'S' THEN pg_catalog.has_sequence_privilege(e.oid, t.oid, v.verb) END
"""  # noqa: S608 - constant SQL
# Rights on functions, schemas and the database: with the grantees (empty for PUBLIC), and whether the admin may not
# act as the owner, so that PUBLIC keeps its privilege.
OTHER_RIGHTS = f"""
    WITH {_ACTORS}, things AS (
        SELECT 'function' AS kind, n.nspname::text AS schema, 'EXECUTE' AS verb, p.oid,
               quote_ident(p.proname) || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' AS name,
               coalesce(p.proacl, acldefault('f', p.proowner)) AS acl, p.proowner AS owner, n.oid AS schema_oid
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        WHERE {NOT_SYSTEM} AND NOT {OF_EXTENSION.format("pg_catalog.pg_proc", "p")}
          AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
        UNION ALL
        SELECT 'schema', n.nspname::text, 'CREATE', n.oid, '', n.nspacl, n.nspowner, n.oid
        FROM pg_catalog.pg_namespace n WHERE {NOT_SYSTEM}
        UNION ALL
        SELECT 'database', '', v.verb, d.oid, d.datname::text, coalesce(d.datacl, acldefault('d', d.datdba)),
               d.datdba, 0 FROM pg_catalog.pg_database d CROSS JOIN (VALUES ('CREATE'), ('TEMPORARY')) v (verb)
        WHERE d.datname = current_database())
    SELECT e.rolname::text, t.kind, t.schema, t.name, lower(t.verb),
           ARRAY(SELECT coalesce(g.rolname::text, '') FROM aclexplode(t.acl) x
                 LEFT JOIN pg_catalog.pg_roles g ON g.oid = x.grantee WHERE x.privilege_type = t.verb),
           NOT pg_catalog.pg_has_role(t.owner, 'USAGE')
    FROM each e CROSS JOIN things t
    WHERE CASE t.kind
          WHEN 'function' THEN pg_catalog.has_function_privilege(e.oid, t.oid, 'EXECUTE')
                               AND pg_catalog.has_schema_privilege(e.oid, t.schema_oid, 'USAGE')
          WHEN 'schema' THEN pg_catalog.has_schema_privilege(e.oid, t.oid, 'CREATE')
          ELSE pg_catalog.has_database_privilege(e.oid, t.oid, t.verb) END
"""  # noqa: S608 - constant SQL
# Sequences of a table: those of its SERIAL and identity columns, and those that its defaults draw from.
FOLDED = """
    SELECT sn.nspname::text, s.relname::text, tn.nspname::text, t.relname::text
    FROM pg_catalog.pg_class s JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
    CROSS JOIN LATERAL (
        SELECT d.refobjid AS relid FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
          AND d.refclassid = 'pg_catalog.pg_class'::regclass
        UNION
        SELECT ad.adrelid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef ad ON ad.oid = d.objid
        WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
          AND d.refobjid = s.oid) part
    JOIN pg_catalog.pg_class t ON t.oid = part.relid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
    WHERE s.relkind = 'S'
"""
# The type without its length, as in the conditions of policies.
COLUMN_TYPES = """
    SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, -1), t.typtype = 'e'
    FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS given (schema, name)
    JOIN pg_catalog.pg_namespace n ON n.nspname = given.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = given.name
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
"""
# Logins outside the manifest that may connect and have a privilege on a table from PUBLIC alone.
BY_PUBLIC = f"""
    WITH guests AS (
        SELECT r.oid, r.rolname FROM pg_catalog.pg_roles r
        WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user AND NOT r.rolname = ANY (%(logins)s)
          AND pg_catalog.has_database_privilege(r.oid, current_database(), 'CONNECT')),
    entries AS (
        SELECT c.oid, c.relowner AS owner, n.oid AS schema_oid, n.nspname::text AS schema, c.relname::text AS name,
               acls.col, acls.acl, x.privilege_type AS verb
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL (SELECT '' AS col, c.relacl AS acl UNION ALL
                            SELECT a.attname::text, a.attacl FROM pg_catalog.pg_attribute a
                            WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped) acls
        CROSS JOIN LATERAL aclexplode(acls.acl) x
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND x.grantee = 0 AND {NOT_SYSTEM}
          AND pg_catalog.pg_has_role(c.relowner, 'USAGE') AND NOT {OF_EXTENSION.format("pg_catalog.pg_class", "c")})
    SELECT e.schema, e.name, lower(e.verb), e.col, array_agg(g.rolname::text ORDER BY g.rolname)
    FROM entries e JOIN guests g ON pg_catalog.has_schema_privilege(g.oid, e.schema_oid, 'USAGE')
    WHERE NOT pg_catalog.pg_has_role(g.oid, e.owner, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c CROSS JOIN LATERAL (
                          SELECT c.relacl AS acl UNION ALL SELECT e.acl) every_acl
                      CROSS JOIN LATERAL aclexplode(every_acl.acl) x
                      WHERE c.oid = e.oid AND x.privilege_type = e.verb
                        AND CASE x.grantee WHEN 0 THEN false ELSE pg_catalog.pg_has_role(g.oid, x.grantee, 'USAGE') END)
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""  # noqa: S608 - constant SQL
MEMBERS = """
    SELECT r.rolname::text, array_agg(m.rolname::text ORDER BY m.rolname)
    FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_auth_members am ON am.roleid = r.oid
    JOIN pg_catalog.pg_roles m ON m.oid = am.member
    WHERE r.rolname = ANY (%(logins)s) AND NOT m.rolname = ANY (%(ours)s) AND m.rolname <> current_user
    GROUP BY 1 ORDER BY 1
"""
UNREACHED = """
    SELECT rolname::text, rolcanlogin FROM pg_catalog.pg_roles
    WHERE rolname = ANY (%(logins)s)
      AND NOT (rolcanlogin AND pg_catalog.has_database_privilege(oid, current_database(), 'CONNECT')) ORDER BY 1
"""


def table_rights(version: tuple[object, ...]) -> str:
    """Return the query of each role's rights on tables and sequences.

    Args:
        version: the server's version; MAINTAIN is a privilege from 17 on.
    """
    return (
        _TABLE_RIGHTS.replace(_LAST, f"{_LAST}, ('MAINTAIN', false)") if version >= (17,) else _TABLE_RIGHTS
    )


_LAST = "('TRIGGER', false)"


def set_option(version: tuple[object, ...]) -> str:
    """Return the privilege word with which `pg_has_role` tests for SET ROLE.

    Args:
        version: the server's version; from 16 on a membership can exclude SET ROLE.
    """
    return "SET" if version >= (16,) else "MEMBER"
