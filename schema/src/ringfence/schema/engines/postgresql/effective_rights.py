"""Effective rights of roles on PostgreSQL, as the server's own privilege functions report them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.effective_rights import (
    EVERY,
    Effective,
    Reach,
    Right,
    declared_rights,
    dotted,
    listed,
    normal,
)
from ringfence.schema.engines.postgresql.catalog import (
    MEMBERSHIP_OPTIONS,
    NOT_SYSTEM,
    OF_EXTENSION,
    SIGNATURE,
)
from ringfence.schema.engines.postgresql.row_security import (
    CHECK,
    COMMANDS,
    ExistingPolicy,
    column_types,
    policies_of,
    scope_condition,
)
from ringfence.schema.engines.types import RelationKey
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.scopes import columns as columns_of

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

# Each login with the roles that it can become with SET ROLE. Superusers, who can become any, are refused elsewhere.
_ACTORS_CTE = """
    managed AS (SELECT oid, rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname = ANY (%(logins)s)),
    actors AS (
        SELECT o.rolname AS login, r.oid, r.rolname, r.rolsuper OR r.rolbypassrls AS bypasses_rls
        FROM managed o JOIN pg_catalog.pg_roles r
          ON r.oid = o.oid OR NOT o.rolsuper AND pg_catalog.pg_has_role(o.oid, r.oid, %(set)s)),
    each AS (SELECT DISTINCT oid, rolname FROM actors)
"""
_ACTORS = f"""
    WITH {_ACTORS_CTE}
    SELECT login, rolname, bypasses_rls,
           ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_roles g WHERE pg_catalog.pg_has_role(a.oid, g.oid, 'USAGE'))
    FROM actors a ORDER BY login, rolname <> login, rolname
"""  # noqa: S608 - constant SQL
_RELATIONS = f"""
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
    WITH {_ACTORS_CTE}, things AS (
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
    WITH {_ACTORS_CTE}, things AS (
        SELECT 'function' AS kind, n.nspname::text AS schema, 'EXECUTE' AS verb, p.oid,
               {SIGNATURE} AS name,
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
_FOLDED = """
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
# Logins outside the manifest that may connect and have a privilege on a table from PUBLIC alone.
_BY_PUBLIC = f"""
    WITH others AS (
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
    FROM entries e JOIN others g ON pg_catalog.has_schema_privilege(g.oid, e.schema_oid, 'USAGE')
    WHERE NOT pg_catalog.pg_has_role(g.oid, e.owner, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c CROSS JOIN LATERAL (
                          SELECT c.relacl AS acl UNION ALL SELECT e.acl) every_acl
                      CROSS JOIN LATERAL aclexplode(every_acl.acl) x
                      WHERE c.oid = e.oid AND x.privilege_type = e.verb
                        AND CASE x.grantee WHEN 0 THEN false ELSE pg_catalog.pg_has_role(g.oid, x.grantee, 'USAGE') END)
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""  # noqa: S608 - constant SQL
_MEMBERS = """
    SELECT r.rolname::text, array_agg(m.rolname::text ORDER BY m.rolname)
    FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_auth_members am ON am.roleid = r.oid
    JOIN pg_catalog.pg_roles m ON m.oid = am.member
    WHERE r.rolname = ANY (%(logins)s) AND NOT m.rolname = ANY (%(managed)s) AND m.rolname <> current_user
    GROUP BY 1 ORDER BY 1
"""
_UNREACHED = """
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


def _set_option(version: tuple[object, ...]) -> str:
    """Return the privilege word with which `pg_has_role` tests for SET ROLE.

    Args:
        version: the server's version; from 16 on a membership can exclude SET ROLE.
    """
    return "SET" if version >= MEMBERSHIP_OPTIONS else "MEMBER"


_VERB = {command: verb for verb, command in COMMANDS.items()}


class Notes:
    """Collects grants and policies without effect while effective rights are evaluated.

    Args:
        managed: managed logins, and those that are to be adopted.
        default: the default schema, whose name is omitted.
    """

    def __init__(self, managed: Collection[str], default: str) -> None:
        self._managed = frozenset(managed)
        self._default = default
        self._unusable: dict[tuple[str, RelationKey], list[str]] = {}
        self._without_policy: dict[tuple[str, RelationKey], list[str]] = {}
        self._invisible: dict[tuple[str, RelationKey], list[str]] = {}

    def unusable(self, login: str, key: RelationKey, verb: str) -> None:
        """Record a privilege that has no effect because the login has no USAGE on the schema.

        Args:
            login: who holds it.
            key: the table, view or sequence.
            verb: the privilege.
        """
        self._unusable.setdefault((login, key), []).append(verb)

    def without_policy(self, login: str, key: RelationKey, verb: str) -> None:
        """Record a privilege on a table whose row security shows the login no row.

        Args:
            login: who holds it.
            key: the table.
            verb: the privilege.
        """
        self._without_policy.setdefault((login, key), []).append(verb)

    def invisible(self, login: str, key: RelationKey, verb: str) -> None:
        """Record a privilege of the manifest that will reach no row after an apply.

        Args:
            login: who gets it.
            key: the table.
            verb: the privilege.
        """
        self._invisible.setdefault((login, key), []).append(verb)

    def lines(
        self,
        found: Effective,
        policies: Mapping[RelationKey, Sequence[ExistingPolicy]],
        relations: Mapping[RelationKey, "Relation"],
        scoped: Collection[RelationKey],
    ) -> list[str]:
        """Return a line for each recorded privilege, and for each policy that has no effect or stays.

        Args:
            found: the effective rights now and after an apply.
            policies: the policies of each table.
            relations: the tables, views and sequences of the database.
            scoped: tables to which the manifest gives a row scope.
        """
        lines = []
        for login, key, verbs in _in_order(self._unusable):
            schema = key[0]
            declared = [v for v in verbs if Right(login, "table", *key, v) in found.after]
            lines.append(
                f"{login}: {', '.join(verbs)} on {self._name(key)} has no effect now, because the login has no USAGE on"
                f" the schema {schema}; an apply {self._becomes(declared, verbs, 'grants that, and')}"
            )
        for login, key, verbs in _in_order(self._without_policy):
            declared = [v for v in verbs if Right(login, "table", *key, v) in found.after]
            lines.append(
                f"{login}: {', '.join(verbs)} on {self._name(key)} reaches no row now, because row security is on and"
                f" no policy applies to the login; an apply {self._becomes(declared, verbs, 'creates policies, and')}"
            )
        lines += [
            f"{login}: the manifest gives {', '.join(verbs)} on {self._name(key)}, where row security stays on and no"
            " policy applies to the login: it will reach no row until the manifest has `rows:` for the table or row"
            " security is disabled"
            for login, key, verbs in _in_order(self._invisible)
        ]
        for key, every in policies.items():
            for policy in every:
                lines += self._policy(found, policy, secured=relations[key].secured, scoped=key in scoped)
        return lines

    def _name(self, key: RelationKey) -> str:
        return dotted(*key, self._default)

    @staticmethod
    def _becomes(declared: list[str], verbs: list[str], how: str) -> str:
        if not declared:
            return "revokes the grant"
        rest = "" if len(declared) == len(verbs) else ", and the rest is revoked"
        return f"{how} {', '.join(declared)} takes effect{rest}"

    def _policy(
        self, found: Effective, policy: ExistingPolicy, *, secured: bool, scoped: bool
    ) -> Iterator[str]:
        """Describe a policy that has no effect now, or that applies to an account and stays."""
        logins = sorted(policy.roles & {right.login for right in found.now | found.after})
        verbs = list(COMMANDS) if policy.command == "*" else [_VERB[policy.command]]
        roles = "PUBLIC" if "" in policy.roles else ", ".join(sorted(policy.roles))
        described = f"the policy {policy.name} on {self._name(policy.table)}, for {roles},"
        drops = policy.has_our_name or policy.roles <= self._managed
        others = sorted(policy.roles - self._managed - {""})
        outcome = "an apply drops it" if drops else "it stays"
        if not secured:
            if scoped and not drops:
                outcome = (
                    "an apply enables row security, and it takes effect for"
                    f" {', '.join(others) or 'every role'}"
                )
            if policy.roles & (self._managed | {""}) or scoped:
                yield f"{described} has no effect now, because row security is off for the table; {outcome}"
            return
        idle = [login for login in logins if not self._reached(found, login, policy.table, verbs)]
        if idle:
            granted = [
                x for x in idle if any(Right(x, "table", *policy.table, v) in found.after for v in verbs)
            ]
            if granted and not drops:
                outcome = f"with the manifest's grants it takes effect for {', '.join(granted)}"
            yield (
                f"{described} has no effect for {', '.join(idle)} now, because {', '.join(verbs)} on the table is not"
                f" granted; {outcome}"
            )
        elif logins and not drops:
            yield f"{described} is for unmanaged roles too, and stays"

    @staticmethod
    def _reached(found: Effective, login: str, key: RelationKey, verbs: list[str]) -> bool:
        return any(Right(login, "table", *key, verb) in found.now for verb in verbs)

    def others(self, connection: sa.Connection, logins: list[str]) -> list[str]:
        """Return lines on unmanaged roles that an adoption affects, and on adopted logins that cannot log in yet.

        Args:
            connection: a connection of the admin account.
            logins: the logins to adopt.
        """
        ask = connection.exec_driver_sql
        given = {"logins": sorted(self._managed), "managed": sorted(self._managed)}
        lines = [
            f"{listed(members)} {'is a member' if len(members) == 1 else 'are members'} of {role}, and not"
            f" in the manifest: they have all privileges of {role} until that membership is revoked"
            for role, members in ask(_MEMBERS, {**given, "logins": logins})
        ]
        taken: dict[tuple[tuple[str, ...], str], dict[str, list[str]]] = {}
        for schema, name, verb, column, roles in ask(_BY_PUBLIC, given):
            columns = taken.setdefault((tuple(roles), verb), {}).setdefault(
                dotted(schema, name, self._default), []
            )
            columns += [column] if column else []
        for (roles, verb), relations in taken.items():
            on = ", ".join(
                f"{name} ({', '.join(cols)})" if cols else name for name, cols in relations.items()
            )
            lines.append(
                f"{verb} on {on} is revoked from PUBLIC, and {listed(roles)}, which the manifest does not name, "
                f"{'has' if len(roles) == 1 else 'have'} it through PUBLIC only"
            )
        lines += [
            f"{login} cannot log in now: {'it has no CONNECT' if can else 'it is locked (NOLOGIN)'}; an apply"
            f" {'grants it' if can else 'unlocks it'}"
            for login, can in ask(_UNREACHED, {"logins": logins})
        ]
        return lines


_VERBS = {verb: position for position, verb in enumerate(COMMANDS)}


def _in_order(
    recorded: Mapping[tuple[str, RelationKey], list[str]],
) -> Iterator[tuple[str, RelationKey, list[str]]]:
    """Yield the recorded privileges by login and table, so that the order of the server's rows does not show.

    Args:
        recorded: (login, table) -> verbs.

    Yields:
        The login, the table, and its verbs: those of rows first, the others by name.
    """
    for (login, key), verbs in sorted(recorded.items()):
        yield login, key, sorted(verbs, key=lambda verb: (_VERBS.get(verb, len(_VERBS)), verb))


_PREDEFINED_ROLES = {
    "select": "pg_read_all_data",
    "insert": "pg_write_all_data",
    "update": "pg_write_all_data",
}
_PREDEFINED_ROLES["delete"] = "pg_write_all_data"


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or sequence, with its owner, row security and access list."""

    kind: str
    secured: bool
    forced: bool
    owner: str
    keeps_public: bool
    """Whether an apply leaves PUBLIC's privileges: an extension owns it, or the admin may not act as its owner."""
    columns: tuple[str, ...]
    acl: tuple[tuple[str, str, str], ...]
    """(grantee, verb, column); the grantee is empty for PUBLIC, the column for the whole relation."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A role that a login is, or can become with SET ROLE."""

    name: str
    bypasses_rls: bool
    """Whether it bypasses row security, as a superuser or by BYPASSRLS."""
    inherits: frozenset[str]
    """The roles whose privileges it has without SET ROLE, itself included."""


def effective(
    connection: sa.Connection,
    deployment: "Deployment",
    logins: Collection[str],
    wanted: Collection[Privilege],
    left_open: Collection[str],
) -> Effective:
    """Return the effective rights of logins, now and after an apply.

    The number of catalog queries does not depend on the number of tables and accounts.

    Args:
        connection: a connection of the admin account.
        deployment: the accounts with their grants and scopes.
        logins: the logins to look at.
        wanted: the privileges that an apply grants or leaves.
        left_open: privileges that the manifest leaves to PUBLIC.
    """
    return _Evaluation(connection, deployment, logins, wanted, left_open).found


class _Evaluation:
    """One evaluation of effective rights; the result is in `found`."""

    def __init__(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        logins: Collection[str],
        wanted: Collection[Privilege],
        left_open: Collection[str],
    ) -> None:
        ask = connection.exec_driver_sql
        version = connection.dialect.server_version_info or ()
        given_logins = {"logins": list(logins), "set": _set_option(version)}
        self._logins, self._left_open = logins, left_open
        self._deployment = deployment
        self._managed = {*logins, *(account.login for account in deployment.accounts.values())}
        default = str(ask("SELECT current_schema()").scalar_one())
        self.found = found = Effective(default=default)
        self._actors: dict[str, list[Actor]] = {}
        for login, name, bypasses_rls, inherits in ask(_ACTORS, given_logins):
            self._actors.setdefault(login, []).append(Actor(name, bypasses_rls, frozenset(inherits)))
        self._relations: dict[RelationKey, Relation] = {}
        for schema, name, kind, secured, forced, owner, keeps_public, columns, acl in ask(_RELATIONS):
            parts = tuple((str(g), str(v), str(c)) for g, v, c in acl)
            self._relations[schema, name] = Relation(
                kind, secured, forced, owner, keeps_public, tuple(columns), parts
            )
            if kind != "S":
                found.columns[schema, name] = tuple(columns)
        for schema, sequence, table_schema, table in ask(_FOLDED):
            found.owned_sequences.setdefault((schema, sequence), set()).add((table_schema, table))
        self._policies: dict[RelationKey, list[ExistingPolicy]] = {}
        for policy in policies_of(connection):
            self._policies.setdefault(policy.table, []).append(policy)
        self._notes = Notes(self._managed, default)
        self._tables(ask(table_rights(version), given_logins))
        self._other_rights(ask(OTHER_RIGHTS, given_logins))
        found.after = declared_rights(deployment, wanted, logins, default)
        self._add_scopes(connection)
        self._limit_by_remaining_policies()
        self._add_public()
        found.notes = self._notes.lines(found, self._policies, self._relations, self._scoped())
        found.others = self._notes.others(connection, list(logins))

    # -- rights now

    def _tables(self, rows: Iterable[tuple[str, str, str, str, bool, list[str] | None, bool]]) -> None:
        """Add the rights of each actor on tables and sequences to the logins that can act as it."""
        rights: dict[str, list[tuple[RelationKey, str, Reach, bool]]] = {}
        for role, schema, name, verb, whole, columns, usable in rows:
            reach = Reach(None if whole else frozenset(columns or ()))
            rights.setdefault(role, []).append(((schema, name), verb, reach, usable))
        for login, actors in self._actors.items():
            for actor in actors:
                for key, verb, reach, usable in rights.get(actor.name, ()):
                    self._table(login, actor, key, verb, reach, usable=usable)

    def _table(
        self, login: str, actor: Actor, key: RelationKey, verb: str, reach: Reach, *, usable: bool
    ) -> None:
        relation = self._relations[key]
        if not usable:
            if actor.name == login:
                self._notes.unusable(login, key, verb)
            return
        kind = "sequence" if relation.kind == "S" else "table"
        rows = self._rows(actor, key, verb, self._policies.get(key, ()))
        if rows is None:
            if actor.name == login:
                self._notes.without_policy(login, key, verb)
            return
        reach = replace(rows, columns=reach.columns, through=self._through(login, actor, relation, verb))
        self.found.add(self.found.now, Right(login, kind, *key, verb), reach)

    def _through(self, login: str, actor: Actor, relation: Relation, verb: str) -> tuple[str, ...]:
        """Return how a login holds a right: by a grant, a role, PUBLIC, ownership, SET ROLE or as a superuser."""
        if actor.name != login:
            return (f"SET ROLE {actor.name}",)
        ways = []
        for grantee in dict.fromkeys(g for g, v, _ in relation.acl if v == verb):
            if not grantee:
                ways.append("PUBLIC")
            elif grantee in actor.inherits:
                ways.append(_way(grantee, login, relation.owner))
        if not ways and relation.owner in actor.inherits:
            ways = [_way(relation.owner, login, relation.owner)]
        if not ways and _PREDEFINED_ROLES.get(verb) in actor.inherits:
            ways = [f"role {_PREDEFINED_ROLES[verb]}"]
        if not ways and actor.bypasses_rls:
            ways = ["superuser"]
        return tuple(ways)

    def _rows(
        self, actor: Actor, key: RelationKey, verb: str, policies: Iterable[ExistingPolicy]
    ) -> Reach | None:
        """Return the rows that a verb reaches; None for no row."""
        relation = self._relations[key]
        owns = relation.owner in actor.inherits and not relation.forced
        if not relation.secured or actor.bypasses_rls or owns or verb not in COMMANDS:
            return Reach()
        return _shown(verb, [p for p in policies if "" in p.roles or p.roles & actor.inherits])

    def _other_rights(self, rows: Iterable[tuple[str, str, str, str, str, list[str], bool]]) -> None:
        """Add the rights on functions, schemas and the database.

        Actors are taken in their order, the login itself first: the server returns the rows in no order, and a right
        that is held in several ways is shown with the first.

        Args:
            rows: the role, the kind, schema and name of the object, the verb, who was granted it ("" for PUBLIC), and
                whether what PUBLIC has is left to it.
        """
        held: dict[str, list[tuple[str, str, str, str, str, list[str], bool]]] = {}
        for row in rows:
            held.setdefault(row[0], []).append(row)
        for login, actors in self._actors.items():
            for actor in actors:
                for _, kind, schema, name, verb, grantees, stays in held.get(actor.name, ()):
                    ways = tuple(
                        "PUBLIC" if not g else _way(g, login, "")
                        for g in grantees
                        if not g or g in actor.inherits
                    )
                    through = ways if actor.name == login else (f"SET ROLE {actor.name}",)
                    right = Right(login, kind, schema, name, verb)
                    self.found.add(self.found.now, right, Reach(through=through))
                    if "" in grantees and (stays or {"temporary": "temp"}.get(verb, verb) in self._left_open):
                        self.found.add(self.found.after, right, Reach(through=("PUBLIC",)))
        self._open = dict(self.found.after)

    # -- rights after an apply

    def _scoped(self) -> set[RelationKey]:
        return {
            (grant.schema or self.found.default, grant.table)
            for account in self._deployment.accounts.values()
            for grant in account.grants
            if grant.scope is not None
        }

    def _add_scopes(self, connection: sa.Connection) -> None:
        """Write the row scopes of the manifest as conditions that can be compared with those of policies."""
        scoped = self._scoped()
        types = column_types(connection, scoped)
        for account in self._deployment.accounts.values():
            for grant in account.grants:
                key = (grant.schema or self.found.default, grant.table)
                right = Right(account.login, "table", *key, grant.verb)
                named = columns_of(grant.scope)
                if grant.scope is None or right not in self.found.after:
                    continue
                if all((*key, column) in types for column in named):
                    known = {column: types[*key, column] for column in named}
                    sql = scope_condition(grant.scope, known, self._deployment.policy.scopes)
                    self.found.after[right] = replace(self.found.after[right], condition=normal(sql))

    def _limit_by_remaining_policies(self) -> None:
        """Limit the rights after an apply where row security stays because of other roles' policies.

        An apply leaves a table's row security as it is where such a policy applies to the accounts too.
        """
        scoped = self._scoped()
        for right, reach in list(self.found.after.items()):
            key = (right.schema, right.name)
            relation = self._relations.get(key)
            if right.kind != "table" or relation is None or key in scoped or not relation.secured:
                continue
            left = [p for p in self._remaining_policies(key) if "" in p.roles or p.roles & self._managed]
            if not left:
                continue  # an apply disables row security, or creates policies that show the accounts every row
            actor = Actor(right.login, False, frozenset({right.login}))
            rows = self._rows(actor, key, right.verb, left)
            if rows is None:
                del self.found.after[right]
                self._notes.invisible(right.login, key, right.verb)
            else:
                self.found.after[right] = replace(rows, columns=reach.columns, through=reach.through)

    def _remaining_policies(self, key: RelationKey) -> list[ExistingPolicy]:
        """Return the policies of a table that no apply drops."""
        return [p for p in self._policies.get(key, ()) if not (p.has_our_name or p.roles <= self._managed)]

    def _add_public(self) -> None:
        """Add the rights after an apply that PUBLIC has and that no apply revokes."""
        found = self.found
        for right, reach in self._open.items():
            found.add(found.after, right, reach)
        for key, relation in self._relations.items():
            public = [(verb, column) for grantee, verb, column in relation.acl if not grantee]
            if not public or not relation.keeps_public:
                continue
            kind = "sequence" if relation.kind == "S" else "table"
            for login in self._logins:
                for verb, column in public:
                    right = Right(login, kind, *key, verb)
                    if right not in found.now:  # for example, the login has no USAGE on the schema
                        continue
                    rows = self._rows(
                        Actor(login, False, frozenset({login})), key, verb, self._remaining_policies(key)
                    )
                    columns = frozenset({column}) if column else None
                    if rows is not None:
                        found.add(found.after, right, replace(rows, columns=columns, through=("PUBLIC",)))


def _way(grantee: str, login: str, owner: str) -> str:
    if grantee == owner:
        return "owner" if grantee == login else f"role {grantee}, the owner"
    return "grant" if grantee == login else f"role {grantee}"


def _shown(verb: str, policies: Iterable[ExistingPolicy]) -> Reach | None:
    """Return the rows that policies show to a verb: any permissive one must match, and every restrictive one.

    Returns:
        The rows, or None if no permissive policy shows any.
    """
    permissive: list[str] = []
    restrictive: list[str] = []
    for policy in policies:
        if policy.command not in ("*", COMMANDS[verb]):
            continue
        writes = COMMANDS[verb] in CHECK and verb == "insert"
        condition = (policy.check or policy.using) if writes else policy.using
        (permissive if policy.permissive else restrictive).append(condition or "true")
    if set(permissive) <= {"false"}:
        return None
    wide = "true" in permissive
    parts = [] if wide else [" OR ".join(dict.fromkeys(permissive))]
    parts += [one for one in dict.fromkeys(restrictive) if one != "true"]
    if not parts:
        return Reach()
    text = parts[0] if len(parts) == 1 else " AND ".join(f"({part})" for part in parts)
    shown = text[1:-1] if _wrapped(text) else text
    return Reach(rows=shown or EVERY, condition=normal(text))


def _wrapped(text: str) -> bool:
    """Return whether one pair of parentheses encloses the whole text."""
    depth = 0
    for position, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth and position < len(text) - 1:
            return False
    return text.startswith("(")
