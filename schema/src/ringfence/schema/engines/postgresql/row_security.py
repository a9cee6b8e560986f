"""Row security on PostgreSQL: one policy for each account, table and verb, and row security enabled on those tables.

A declared policy is identified by a digest of its statement, a policy on the server by a digest of the form in which
the server prints it. Both digests are stored in a comment, so that an alteration by hand is detected and an unchanged
policy is left alone. One policy of each table carries the digests of all: a comment on each policy would take one lock
each until the transaction ends, and the server's lock table is small.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ringfence.schema.engines.base import Altered, Change, PendingDrops, RowSecurity, Statement
from ringfence.schema.engines.postgresql.catalog import NOT_SYSTEM, table_parameters
from ringfence.schema.engines.postgresql.quoting import literal, qualified, quoted
from ringfence.schema.engines.types import RelationKey
from ringfence.schema.features.postgresql import FEATURES
from ringfence.schema.grants.difference import READABLE
from ringfence.schema.manifest.model import Account, BoundScope, Condition, Grant, Scope

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

PREFIX = "ringfence_"
_MAX_NAME = FEATURES.longest_name or 0  # in bytes
_DIGEST = 16
_MARK = "ringfence "
_ROLES = """ARRAY(SELECT coalesce(r.rolname::text, '') FROM unnest(p.polroles) given
                  LEFT JOIN pg_catalog.pg_roles r ON r.oid = given ORDER BY 1)"""
# A digest of the policy as the server prints it; it changes only when the policy is altered.
_PRINTED_DIGEST = f"""md5(concat_ws(' | ', p.polcmd, p.polpermissive, {_ROLES}::text,
    coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), '-'),
    coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '-')))"""
_POLICIES = f"""
    SELECT n.nspname, c.relname, p.polname, p.polcmd, p.polpermissive, {_ROLES}, {_PRINTED_DIGEST},
           pg_catalog.obj_description(p.oid, 'pg_policy'),
           pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2, 3
"""  # noqa: S608 - constant SQL
COMMANDS = {"select": "r", "insert": "a", "update": "w", "delete": "d"}
USING, CHECK = frozenset({"r", "w", "d", "*"}), frozenset({"a", "w", "*"})


@dataclass(frozen=True, slots=True)
class DeclaredPolicy:
    """A policy that the manifest declares."""

    table: RelationKey
    name: str
    command: str
    clause: str
    """The `TO` clause and the conditions."""
    login: str = ""
    by: str = ""
    """The lines of the manifest that ask for it."""

    @property
    def digest(self) -> str:
        """A digest of the policy's command, role and conditions."""
        return hashlib.sha256(f"{self.command} {self.clause}".encode()).hexdigest()[:_DIGEST]

    def create(self) -> Statement:
        """Return the CREATE POLICY."""
        target = f"{quoted(self.name)} ON {qualified(self.table)}"
        verb = _verb(self.command).upper()
        return Statement.plain(
            f"CREATE POLICY {target} AS PERMISSIVE FOR {verb} {self.clause}", self.change("-")
        )

    def alter(self) -> Statement:
        """Return the ALTER POLICY that turns a policy of the same name and command into this one."""
        altered = f"ALTER POLICY {quoted(self.name)} ON {qualified(self.table)} {self.clause}"
        return Statement.plain(altered, self.change("another"))

    def change(self, held: str) -> Change:
        """Describe the creation or alteration of this policy for a plan.

        Args:
            held: the policy on the server now; `-` for none.
        """
        on = f"policy {self.name} on {'.'.join(self.table)}"
        finding = "missing" if held == "-" else "excess"
        wanted, verb = self.clause.partition(" ")[2], _verb(self.command)
        return Change(on, held, wanted, self.login, self.by, self.table, verb, finding)


@dataclass(frozen=True, slots=True)
class ExistingPolicy:
    """A policy on the server.

    Args:
        table: the table's schema and name.
        name: the policy's name.
        command: `pg_policy.polcmd`: r, a, w, d, or * for all.
        permissive: whether it is PERMISSIVE rather than RESTRICTIVE.
        roles: the roles that it names; an empty name stands for PUBLIC.
        digest: a digest of the policy as the server prints it.
        comment: the comment on the policy.
        using: the USING condition as the server prints it.
        check: the WITH CHECK condition as the server prints it.
    """

    table: RelationKey
    name: str
    command: str
    permissive: bool
    roles: frozenset[str]
    digest: str
    comment: str | None
    using: str | None
    check: str | None

    @property
    def has_our_name(self) -> bool:
        """Whether its name has Ringfence's prefix."""
        return self.name.startswith(PREFIX)

    def stored_digests(self) -> dict[str, str]:
        """Read the digests in its comment.

        Returns:
            Policy name -> digest of its statement followed by the digest of its printed form; empty if the comment
            holds none.
        """
        try:
            stored = json.loads((self.comment or "").removeprefix(_MARK))
        except ValueError:
            return {}
        return {name: str(digests) for name, digests in stored.items()} if isinstance(stored, dict) else {}

    def close(self) -> Statement:
        """Return the ALTER POLICY that replaces the conditions by `false`; `inverse` of the statement restores them.

        The policy then shows no row and depends on no column.
        """
        alter = f"ALTER POLICY {quoted(self.name)} ON {qualified(self.table)}"
        using, check = self.command in USING, self.command in CHECK
        closed = f"{' USING (false)' if using else ''}{' WITH CHECK (false)' if check else ''}"
        restored = f" USING ({self.using})" if using and self.using else ""
        restored += f" WITH CHECK ({self.check})" if check and self.check else ""
        return replace(Statement.plain(f"{alter}{closed}"), inverse=f"{alter}{restored}".replace("%", "%%"))

    def drop(self) -> Statement:
        """Return the DROP POLICY."""
        login = next(iter(self.roles)) if len(self.roles) == 1 else ""
        change = Change(
            f"policy {self.name} on {'.'.join(self.table)}",
            self.using or self.check or "",
            "-",
            login,
            table=self.table,
            verb=_verb(self.command),
            finding="excess" if self.permissive else "missing",
        )
        return Statement.plain(f"DROP POLICY {quoted(self.name)} ON {qualified(self.table)}", change)


def _verb(command: str) -> str:
    """Return the verb of a `polcmd`; empty for a policy for all verbs."""
    return next((verb for verb, word in COMMANDS.items() if word == command), "")


def policy_name(login: str, verb: str) -> str:
    """Return the name of an account's policy for a verb: always the same, and at most 63 bytes long.

    Args:
        login: the account.
        verb: select, insert, update or delete.
    """
    name = f"{PREFIX}{verb}_{login}"
    if len(name.encode()) <= _MAX_NAME:
        return name
    digest = hashlib.sha256(login.encode()).hexdigest()[:8]
    return name.encode()[: _MAX_NAME - 9].decode(errors="ignore") + "_" + digest


def policies_of(connection: sa.Connection) -> list[ExistingPolicy]:
    """Read every policy of the database.

    Args:
        connection: a connection of the admin account.
    """
    return [
        ExistingPolicy((schema, table), name, command, permissive, frozenset(roles), *rest)
        for schema, table, name, command, permissive, roles, *rest in connection.exec_driver_sql(_POLICIES)
    ]


def store_digests(table: RelationKey, policies: list[tuple[DeclaredPolicy, str | None]]) -> Statement:
    """Return the statement that stores the digests of a table's policies in a comment on the first of them.

    Args:
        table: the table's schema and name.
        policies: each policy with the digest of its printed form; None for one that was just created or altered, whose
            form the statement reads from the server.
    """
    listed = ", ".join(
        f"({literal(policy.name)}, '{policy.digest}', {literal(digest) if digest else 'NULL'})"
        for policy, digest in policies
    )
    name, printed = qualified(table), " ".join(_PRINTED_DIGEST.split())
    body = (
        "DECLARE digests text; BEGIN"  # noqa: S608 - quoted
        f" SELECT jsonb_object_agg(p.polname, given.digest || coalesce(given.form, {printed}))"
        f" INTO digests FROM pg_catalog.pg_policy p JOIN (VALUES {listed}) AS given (name, digest, form)"
        f" ON given.name = p.polname WHERE p.polrelid = {literal(name)}::pg_catalog.regclass;"
        f" EXECUTE format('COMMENT ON POLICY %I ON %s IS %L', {literal(policies[0][0].name)}, {literal(name)},"
        f" {literal(_MARK)} || digests); END"
    )
    mark = "$ringfence$"
    while mark in body:
        mark = f"{mark[:-1]}_$"
    return Statement.plain(f"DO {mark} {body} {mark}")


def scope_condition(
    scope: Scope, types: Mapping[str, tuple[str, bool]], bound_scopes: Mapping[str, BoundScope]
) -> str:
    """Return the SQL condition of a scope.

    Args:
        scope: alternatives, each a list of conditions that must all hold; None for every row, no alternative for no
            row.
        types: column -> its type as the server prints it, and whether that is an enum.
        bound_scopes: the scopes that sessions bind, by name.
    """
    if scope is None:
        return "true"
    parts = [" AND ".join(_condition(c, *types[c.column], bound_scopes) for c in part) for part in scope]
    return " OR ".join(f"({part})" for part in parts) if len(parts) > 1 else "".join(parts) or "false"


def _condition(
    condition: Condition, type_: str, is_enum: bool, bound_scopes: Mapping[str, BoundScope]
) -> str:
    column = quoted(condition.column)
    if condition.kind == "null":
        return f"{column} IS NULL"
    if condition.kind == "in":
        return f"{column} IN ({', '.join(_constant(value, type_) for value in condition.value)})"
    if condition.kind == "equals":
        return f"{column} = {_constant(condition.value, type_)}"
    # Comparing as text: a value that is no label of the enum matches no row instead of raising an error.
    left, cast = (f"{column}::text", "text") if is_enum else (column, type_)
    return f"{left} = (SELECT ({_bound(bound_scopes[condition.value])})::{cast})"


def _bound(bound: BoundScope) -> str:
    """Return the value of a bound scope's setting as SQL; an empty text counts as unset.

    A setting reads as empty after the transaction that set it with SET LOCAL.
    """
    value = f"NULLIF(current_setting({literal(bound.setting)}, true), '')"
    if bound.unset == "none":
        return value
    # No setting can have such a name, so the server fails with this text, whichever client is used.
    refusal = f"the scope {bound.name} is not bound: SET LOCAL {bound.setting} first"
    return f"coalesce({value}, current_setting({literal(refusal)}))"


def _constant(value: Any, type_: str) -> str:
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return f"{literal(text)}::{type_}"


_GIVEN = "unnest(%(schemas)s::text[], %(names)s::text[]) AS given (schema, name)"
_TABLES = f"""
    SELECT n.nspname, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, given.name IS NOT NULL
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN {_GIVEN} ON given.schema = n.nspname AND given.name = c.relname
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (given.name IS NOT NULL OR c.relrowsecurity) AND {NOT_SYSTEM}
"""  # noqa: S608 - constant SQL
# The type without its length: a cast to it would truncate a longer value, which could then equal another one.
_COLUMN_TYPES = f"""
    SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, -1), t.typtype = 'e'
    FROM {_GIVEN} JOIN pg_catalog.pg_namespace n ON n.nspname = given.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = given.name
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
"""  # noqa: S608 - constant SQL
# Roles outside the manifest that read or write a table, by a grant or by a predefined role, and have no policy on it:
# they see no row once row security is enabled. A policy applies to the roles that it names and to their members.
_UNMANAGED_ROLES = f"""
    WITH tables AS (
            SELECT c.oid, n.nspname, c.relname, c.relowner, c.relacl FROM {_GIVEN}
            JOIN pg_catalog.pg_namespace n ON n.nspname = given.schema
            JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = given.name
                 AND c.relrowsecurity = %(secured)s),
        others AS (
            SELECT tables.*, x.grantee AS role, '' AS by FROM tables
            CROSS JOIN LATERAL (SELECT tables.relacl AS acl UNION ALL
                                SELECT a.attacl FROM pg_catalog.pg_attribute a WHERE a.attrelid = tables.oid) acls
            CROSS JOIN LATERAL aclexplode(acls.acl) x
            WHERE x.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
            UNION SELECT tables.*, r.oid, every.rolname FROM tables
            JOIN pg_catalog.pg_roles every ON every.rolname IN ('pg_read_all_data', 'pg_write_all_data')
            JOIN pg_catalog.pg_roles r ON r.rolcanlogin AND pg_catalog.pg_has_role(r.oid, every.oid, 'USAGE')
                 AND has_database_privilege(r.oid, current_database(), 'CONNECT'))
    SELECT g.nspname, g.relname, r.rolname, max(g.by), r.rolreplication
    FROM others g JOIN pg_catalog.pg_roles r ON r.oid = g.role
    WHERE NOT r.rolname = ANY (%(logins)s) AND NOT r.rolsuper AND NOT r.rolbypassrls
      AND NOT pg_catalog.pg_has_role(r.oid, g.relowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy p CROSS JOIN LATERAL unnest(p.polroles) given
                      WHERE p.polrelid = g.oid
                        AND CASE given WHEN 0 THEN true ELSE pg_catalog.pg_has_role(r.oid, given, 'USAGE') END)
    GROUP BY 1, 2, 3, 5 ORDER BY 1, 2, 3
"""  # noqa: S608 - constant SQL
# Views that read a scoped table with their owner's rights or store its rows, and the views that read such views.
_VIEWS = f"""
    WITH RECURSIVE reads AS (
        SELECT DISTINCT v.oid AS view, v.relkind, d.refobjid AS relation,
               coalesce((SELECT option_value::boolean FROM pg_catalog.pg_options_to_table(v.reloptions)
                         WHERE option_name = 'security_invoker'), false) AS invoker
        FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
             AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> v.oid),
    bypassing AS (
        SELECT reads.view, reads.relation AS scoped, reads.view AS leak FROM {_GIVEN}
        JOIN pg_catalog.pg_namespace n ON n.nspname = given.schema
        JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = given.name
        JOIN reads ON reads.relation = c.oid AND NOT reads.invoker
        UNION SELECT reads.view, bypassing.scoped, bypassing.leak FROM bypassing
        JOIN reads ON reads.relation = bypassing.view)
    SELECT DISTINCT n.nspname, c.relname, sn.nspname, s.relname, bypassing.leak::regclass::text, l.relkind
    FROM bypassing JOIN pg_catalog.pg_class c ON c.oid = bypassing.view
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class s ON s.oid = bypassing.scoped JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
    JOIN pg_catalog.pg_class l ON l.oid = bypassing.leak ORDER BY 1, 2, 3, 4, 5
"""  # noqa: S608 - constant SQL

_FORCED, _NOT_FORCED = "for the owner too", "not for the owner"
_POLICY_COLUMNS = """
    SELECT n.nspname, c.relname, p.polname, a.attname
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_policy'::regclass AND d.objid = p.oid
         AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND a.attnum > 0
"""


def column_types(
    connection: sa.Connection, tables: Collection[RelationKey]
) -> dict[tuple[str, str, str], tuple[str, bool]]:
    """Return the types of the columns of tables, as the conditions of policies cast to them.

    Args:
        connection: a connection of the admin account.
        tables: schema and name of each table.

    Returns:
        (schema, table, column) -> the type as the server prints it, without its length, and whether it is an enum.
    """
    if not tables:
        return {}
    rows = connection.exec_driver_sql(_COLUMN_TYPES, table_parameters(tables))
    return {(schema, name, column): (type_, bool(is_enum)) for schema, name, column, type_, is_enum in rows}


def compare_row_security(
    connection: sa.Connection,
    deployment: "Deployment",
    managed: Iterable[str],
    pending_drops: PendingDrops,
) -> RowSecurity:
    """Compare row security on the server with the scopes of the manifest.

    The number of catalog queries does not depend on the number of tables and accounts.

    Args:
        connection: a connection of the admin account.
        deployment: accounts with their scopes, and the scopes that sessions bind.
        managed: managed logins, including those that the manifest no longer declares.
        pending_drops: tables that a pending contract revision drops.

    Returns:
        The statements before and after the grants, with obstacles and warnings.
    """
    return _Comparison(connection, deployment, managed, pending_drops).changes


def detach(connection: sa.Connection, altered: Altered) -> list[Statement]:
    """Replace the conditions of Ringfence's policies by `false`, so that they depend on no column to be altered.

    Accounts then see no row through these policies until the next apply restores or drops them. The policies are not
    dropped, because their names mark row security as Ringfence's. Other policies of such a table, such as those of
    accounts without a scope, do not depend on the columns: services go on using them, even if the revision fails.

    Args:
        connection: a connection of the admin account.
        altered: (schema, table) -> its columns to alter, none for the whole table; a schema of None is the default one.

    Returns:
        An ALTER POLICY for each policy, with the statement that restores its condition.
    """
    default = str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    altered_columns = {(schema or default, name): set(columns) for (schema, name), columns in altered.items()}
    used: dict[tuple[str, str, str], set[str]] = {}
    for schema, table, name, column in connection.exec_driver_sql(_POLICY_COLUMNS):
        used.setdefault((schema, table, name), set()).add(column)
    statements = []
    for policy in policies_of(connection):
        columns = altered_columns.get(policy.table)
        if columns is None or not policy.has_our_name:
            continue
        if not columns or columns & used.get((*policy.table, policy.name), set()):
            statements.append(policy.close())
    return statements


class _Comparison:
    """One comparison of row security on the server with the manifest; the result is in `changes`."""

    def __init__(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        managed: Iterable[str],
        pending_drops: PendingDrops,
    ) -> None:
        self.changes = RowSecurity()
        self._ask = connection.exec_driver_sql
        self._accounts = list(deployment.accounts.values())
        self._bound_scopes: Mapping[str, BoundScope] = deployment.policy.scopes
        self._managed = {*managed, *(account.login for account in self._accounts)}
        self._default = str(self._ask("SELECT current_schema()").scalar_one())
        self._granted: dict[RelationKey, list[tuple[Account, Grant]]] = {}
        for account in self._accounts:
            for grant in account.grants:
                table = (grant.schema or self._default, grant.table)
                self._granted.setdefault(table, []).append((account, grant))
        scopes = {
            table for table, grants in self._granted.items() if any(g.scope is not None for _, g in grants)
        }
        given = table_parameters(scopes)
        dropped_later = {(schema or self._default, name) for schema, name in pending_drops.tables}
        retained, policies = self._separate_retained(policies_of(connection), dropped_later)
        retained_tables = {policy.table for policy in retained}
        scoped, secured, forced = self._tables(given)
        if not (scoped or secured or policies or retained):
            return
        unscoped = self._secured_without_scope(secured - scoped - retained_tables, policies)
        declared = self._declared_policies(sorted(scoped | unscoped), column_types(connection, scopes))
        self._compare_policies(policies, declared, scoped)
        self._compare_switches(scoped | unscoped, retained_tables, secured, forced, policies)
        if scoped:
            self._check_unmanaged_roles(given)
            self._check_views(given)
        if self.changes.before or self.changes.after:
            # Each statement waits for the table's sessions, and all later ones queue behind it; an apply tries again.
            self.changes.before.insert(0, Statement.plain("SET LOCAL lock_timeout = '2s'"))

    def _separate_retained(
        self, policies: Iterable[ExistingPolicy], dropped_later: set[RelationKey]
    ) -> tuple[list[ExistingPolicy], list[ExistingPolicy]]:
        """Separate the policies that must be retained until a contract revision drops their table from all others.

        The models no longer have such a table, so its policies cannot be created again from them.

        Returns:
            The policies that stay unchanged, and the others.
        """
        logins = {account.login for account in self._accounts}
        retained: list[ExistingPolicy] = []
        others: list[ExistingPolicy] = []
        stored: dict[RelationKey, set[tuple[str, str]]] = {}
        for policy in policies:
            is_retained = policy.table in dropped_later and policy.has_our_name and policy.roles <= logins
            (retained if is_retained else others).append(policy)
            stored.setdefault(policy.table, set()).update(policy.stored_digests().items())
        for policy in retained:
            digests = [digest for name, digest in stored[policy.table] if name == policy.name]
            if digests and not any(digest.endswith(policy.digest) for digest in digests):
                self.changes.warnings.append(
                    f"the policy {policy.name} on {'.'.join(policy.table)} was changed, and stays so until its table"
                    " is dropped: the models no longer have the table, so the policy cannot be created again"
                )
        return retained, others

    def _tables(
        self, given: Mapping[str, Any]
    ) -> tuple[set[RelationKey], set[RelationKey], set[RelationKey]]:
        """Look up tables in the catalog, and report an obstacle for a scoped relation that is not a table.

        Returns:
            The existing scoped tables, those with row security, and those with FORCE ROW LEVEL SECURITY.
        """
        scoped: set[RelationKey] = set()
        secured: set[RelationKey] = set()
        forced: set[RelationKey] = set()
        for schema, name, kind, enabled, is_forced, is_scoped in self._ask(_TABLES, given):
            if is_scoped and kind not in ("r", "p"):
                self.changes.obstacles.append(
                    f"{self._origin_of_scope((schema, name))}: {schema}.{name} is not a table, and row security applies"
                    " to tables only: scope the tables that it reads"
                )
            elif is_scoped:
                scoped.add((schema, name))
            secured |= {(schema, name)} if enabled else set()
            forced |= {(schema, name)} if is_forced else set()
        return scoped, secured, forced

    def _origin_of_scope(self, table: RelationKey) -> str:
        return next(str(grant.origin) for _, grant in self._granted[table] if grant.scope is not None)

    def _declared_policies(
        self, tables: Iterable[RelationKey], types: Mapping[tuple[str, str, str], tuple[str, bool]]
    ) -> Iterator[DeclaredPolicy]:
        for table in tables:
            for account, grant in self._granted[table]:
                columns = {c.column for part in grant.scope or () for c in part}
                if missing := [column for column in columns if (*table, column) not in types]:
                    self.changes.obstacles.append(
                        f"{grant.origin}: the table {grant.key} has no column {', '.join(sorted(missing))} in the"
                        " database; is a migration missing?"
                    )
                    continue
                condition = scope_condition(
                    grant.scope, {column: types[*table, column] for column in columns}, self._bound_scopes
                )
                command = COMMANDS[grant.verb]
                using = f" USING ({condition})" if command in USING else ""
                check = f" WITH CHECK ({condition})" if command in CHECK else ""
                name = policy_name(account.login, grant.verb)
                clause = f"TO {quoted(account.login)}{using}{check}"
                yield DeclaredPolicy(table, name, command, clause, account.login, grant.by)

    def _compare_policies(
        self,
        existing: Iterable[ExistingPolicy],
        declared: Iterable[DeclaredPolicy],
        scoped: set[RelationKey],
    ) -> None:
        """Add the statements that drop, create or alter policies, table by table."""
        declared_by_table: dict[RelationKey, dict[str, DeclaredPolicy]] = {}
        for policy in declared:
            declared_by_table.setdefault(policy.table, {})[policy.name] = policy
        existing_by_table: dict[RelationKey, dict[str, ExistingPolicy]] = {}
        for found in existing:
            existing_by_table.setdefault(found.table, {})[found.name] = found
        for table in sorted({*declared_by_table, *existing_by_table}):
            wanted, held = declared_by_table.get(table, {}), existing_by_table.get(table, {})
            self._drop(wanted, held, scoped)
            self._create(table, wanted, {name: policy for name, policy in held.items() if name in wanted})

    def _drop(
        self,
        declared: Mapping[str, DeclaredPolicy],
        existing: Mapping[str, ExistingPolicy],
        scoped: set[RelationKey],
    ) -> None:
        """Drop undeclared policies of Ringfence or of its accounts alone; report those that concern other roles too."""
        for name, policy in existing.items():
            if name in declared:
                continue
            if self._is_managed(policy):
                self.changes.after.append(policy.drop())
            elif policy.table in scoped and self._applies_to_accounts(policy):
                self.changes.obstacles.append(self._unmanaged_policy(policy))

    def _create(
        self,
        table: RelationKey,
        declared: Mapping[str, DeclaredPolicy],
        existing: Mapping[str, ExistingPolicy],
    ) -> None:
        """Create missing policies and restore altered ones.

        A policy is unchanged if the digests that the comment of a policy of its table records match the manifest and
        the server.
        """
        stored = {entry for policy in existing.values() for entry in policy.stored_digests().items()}
        digests: dict[str, str | None] = {}
        for name, policy in declared.items():
            found = existing.get(name)
            if found is not None and (name, policy.digest + found.digest) in stored:
                digests[name] = found.digest
                continue
            digests[name] = None
            if found is not None and found.permissive and found.command == policy.command:
                self.changes.before.append(policy.alter())
                continue
            if found is not None:
                self.changes.before.append(found.drop())
            self.changes.before.append(policy.create())
        if None in digests.values():
            self.changes.before.append(
                store_digests(table, [(declared[name], digest) for name, digest in digests.items()])
            )

    def _unmanaged_policy(self, policy: ExistingPolicy) -> str:
        others = sorted(filter(None, policy.roles - self._managed))
        roles = "PUBLIC" if "" in policy.roles else ", ".join(sorted(policy.roles))
        alter = f"ALTER POLICY {quoted(policy.name)} ON {qualified(policy.table)} TO"
        others_quoted = ", ".join(map(quoted, others)) or "the roles that need it"
        return (
            f"the policy {policy.name} on {'.'.join(policy.table)} is for {roles}, and changes which rows the accounts"
            f" of the manifest reach: {policy.drop()}, or {alter} {others_quoted}"
        )

    def _compare_switches(
        self,
        enabled: set[RelationKey],
        retained: set[RelationKey],
        secured: set[RelationKey],
        forced: set[RelationKey],
        policies: Iterable[ExistingPolicy],
    ) -> None:
        """Enable row security on scoped tables, and disable it where only Ringfence's policies needed it.

        Args:
            enabled: tables that are to have row security.
            retained: tables whose policies stay until a contract revision.
            secured: tables that have row security.
            forced: tables that have FORCE ROW LEVEL SECURITY.
            policies: policies of the database, without those that stay.
        """
        for table in sorted(enabled | retained):
            if table not in secured:
                self.changes.before.append(_switch(table, "ENABLE", "off", "on"))
            if table in forced:  # otherwise the admin, its owner, would not see the rows that it migrates
                self.changes.before.append(_switch(table, "NO FORCE", _FORCED, _NOT_FORCED))
        by_table: dict[RelationKey, list[ExistingPolicy]] = {}
        for policy in policies:
            by_table.setdefault(policy.table, []).append(policy)
        readable = {(self._default, name) for name in READABLE}
        for table in sorted(secured - enabled - retained):
            unmanaged = [policy for policy in by_table.get(table, ()) if not self._is_managed(policy)]
            had_policies = any(policy.has_our_name for policy in by_table.get(table, ()))
            if not unmanaged and (table in self._granted or table in readable or had_policies):
                if table in forced:
                    self.changes.after.append(_switch(table, "NO FORCE", _FORCED, _NOT_FORCED))
                self.changes.after.append(_switch(table, "DISABLE", "on", "off"))
            elif table in self._granted:
                self._check_unmanaged_policies(table, list(filter(self._applies_to_accounts, unmanaged)))

    def _is_managed(self, policy: ExistingPolicy) -> bool:
        return policy.has_our_name or policy.roles <= self._managed

    def _applies_to_accounts(self, policy: ExistingPolicy) -> bool:
        return "" in policy.roles or bool(policy.roles & self._managed)

    def _secured_without_scope(
        self, secured: set[RelationKey], policies: Iterable[ExistingPolicy]
    ) -> set[RelationKey]:
        """Return tables without scopes on which row security must stay; accounts get policies for every row.

        Disabling it would show rows to roles that see none or only some now. Where another role's policy applies to the
        accounts too, a policy that shows every row would defeat it: that table is not returned.
        """
        unmanaged: dict[RelationKey, list[ExistingPolicy]] = {}
        for policy in policies:
            if policy.table in secured and policy.table in self._granted and not self._is_managed(policy):
                unmanaged.setdefault(policy.table, []).append(policy)
        reasons = dict.fromkeys(unmanaged, "other roles have policies on it")
        rest = sorted(table for table in secured if table in self._granted and table not in unmanaged)
        if rest:
            for schema, name, role, *_ in self._unmanaged_roles(table_parameters(rest), secured=True):
                reasons[schema, name] = f"{role} holds privileges on it, and sees no row now"
        for table in [t for t, found in unmanaged.items() if any(map(self._applies_to_accounts, found))]:
            del reasons[table]
        for table, reason in sorted(reasons.items()):
            self.changes.warnings.append(
                f"row security stays enabled on {'.'.join(table)}, although no `rows:` needs it, because {reason}; the"
                " accounts of the manifest have policies that show them every row. To disable it: ALTER TABLE"
                f" {qualified(table)} DISABLE ROW LEVEL SECURITY"
            )
        return set(reasons)

    def _check_unmanaged_policies(self, table: RelationKey, policies: list[ExistingPolicy]) -> None:
        """Report other roles' policies that apply to the accounts on a table without scopes."""
        if not any(policy.permissive for policy in policies):
            self.changes.obstacles += [self._unmanaged_policy(policy) for policy in policies]
            return
        services = dict.fromkeys(account.service for account, _ in self._granted[table])
        self.changes.warnings.append(
            f"row security is on for {'.'.join(table)}, although no `rows:` needs it: {', '.join(services)} may see"
            f" only what {', '.join(p.name for p in policies)} shows; ALTER TABLE {qualified(table)} DISABLE ROW LEVEL"
            " SECURITY, or write `rows:`"
        )

    def _unmanaged_roles(self, given: Mapping[str, Any], *, secured: bool) -> Iterable[Any]:
        return self._ask(_UNMANAGED_ROLES, {**given, "logins": sorted(self._managed), "secured": secured})

    def _check_unmanaged_roles(self, given: Mapping[str, Any]) -> None:
        """Report roles outside the manifest that would see no row once row security is enabled on a table."""
        for schema, name, role, by, replicates in self._unmanaged_roles(given, secured=False):
            access = (
                f"reads or writes {schema}.{name} through {by}"
                if by
                else f"holds privileges on {schema}.{name}"
            )
            resolution = (
                f"CREATE POLICY {quoted(role)} ON {qualified((schema, name))} TO {quoted(role)} USING (true)"
            )
            if replicates:
                resolution += f", or ALTER ROLE {quoted(role)} BYPASSRLS, because it replicates"
            revoke = f"REVOKE {by} FROM {quoted(role)}" if by else "revoke them"
            self.changes.obstacles.append(
                f"{role} {access}, is not an account of the manifest, and would see no row of it any more:"
                f" {resolution}, or {revoke}"
            )

    def _check_views(self, given: Mapping[str, Any]) -> None:
        """Report views by which an account with a scope reads rows outside it.

        A view may show columns on which its reader has no privilege, if the manifest grants the view; it must not
        bypass the reader's row scope.
        """
        for schema, name, table_schema, table, bypass, kind in self._ask(_VIEWS, given):
            for account, grant in self._granted.get((schema, name), ()):
                on_table = self._granted[table_schema, table]
                if grant.verb != "select" or not any(
                    a is account and g.scope is not None for a, g in on_table
                ):
                    continue
                through = "" if bypass in (name, f"{schema}.{name}") else f" through {bypass}"
                if kind == "m":
                    does, resolution = "stores rows of", "remove it from the service"
                else:
                    does, resolution = "reads", f"ALTER VIEW {bypass} SET (security_invoker = true)"
                self.changes.obstacles.append(
                    f"{grant.origin}: the view {grant.key} {does} {table}{through} with its owner's privileges, and"
                    f" bypasses the row scope of {account.service}: {resolution}"
                )


def _switch(table: RelationKey, word: str, held: str, wanted: str) -> Statement:
    finding = "excess" if word == "ENABLE" else "missing"
    change = Change(f"row security of {'.'.join(table)}", held, wanted, table=table, finding=finding)
    return Statement.plain(f"ALTER TABLE {qualified(table)} {word} ROW LEVEL SECURITY", change)
