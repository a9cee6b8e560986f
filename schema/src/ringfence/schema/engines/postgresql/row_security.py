"""Row scopes on PostgreSQL: one policy for each account, table and verb, and row security enabled on those tables."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ringfence.schema.engines.base import Altered, Change, PendingDrops, RowSecurity, Statement
from ringfence.schema.engines.postgresql.identifiers import quoted
from ringfence.schema.engines.postgresql.policy import (
    CHECK,
    COMMANDS,
    USING,
    ExistingPolicy,
    Place,
    WantedPolicy,
    policies_of,
    policy_name,
    statement,
    store_digests,
    written,
)
from ringfence.schema.engines.postgresql.policy_conditions import rows
from ringfence.schema.grants.difference import READABLE
from ringfence.schema.manifest.model import Account, BoundScope, Grant

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_NOT_SYSTEM = "n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'"
_GIVEN = "unnest(%(schemas)s::text[], %(names)s::text[]) AS given (schema, name)"
_TABLES = f"""
    SELECT n.nspname, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, given.name IS NOT NULL
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN {_GIVEN} ON given.schema = n.nspname AND given.name = c.relname
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (given.name IS NOT NULL OR c.relrowsecurity) AND {_NOT_SYSTEM}
"""  # noqa: S608 - constant SQL
# The type without its length: a cast to it would truncate a longer value, which could then equal another one.
_COLUMNS = f"""
    SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, -1), t.typtype = 'e'
    FROM {_GIVEN} JOIN pg_catalog.pg_namespace n ON n.nspname = given.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = given.name
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
"""  # noqa: S608 - constant SQL
# Roles outside the manifest that read or write a table, by a grant or by a predefined role, and have no policy there:
# they see no row once row security is enabled. A policy applies to the roles that it names and to their members.
_GUESTS = f"""
    WITH tables AS (
            SELECT c.oid, n.nspname, c.relname, c.relowner, c.relacl FROM {_GIVEN}
            JOIN pg_catalog.pg_namespace n ON n.nspname = given.schema
            JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = given.name
                 AND c.relrowsecurity = %(secured)s),
        guests AS (
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
    FROM guests g JOIN pg_catalog.pg_roles r ON r.oid = g.role
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
    past AS (
        SELECT reads.view, reads.relation AS scoped, reads.view AS leak FROM {_GIVEN}
        JOIN pg_catalog.pg_namespace n ON n.nspname = given.schema
        JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = given.name
        JOIN reads ON reads.relation = c.oid AND NOT reads.invoker
        UNION SELECT reads.view, past.scoped, past.leak FROM past JOIN reads ON reads.relation = past.view)
    SELECT DISTINCT n.nspname, c.relname, sn.nspname, s.relname, past.leak::regclass::text, l.relkind
    FROM past JOIN pg_catalog.pg_class c ON c.oid = past.view JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class s ON s.oid = past.scoped JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
    JOIN pg_catalog.pg_class l ON l.oid = past.leak ORDER BY 1, 2, 3, 4, 5
"""  # noqa: S608 - constant SQL

_FORCED, _UNFORCED = "for the owner too", "not for the owner"
_HANGING = """
    SELECT n.nspname, c.relname, p.polname, a.attname
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_policy'::regclass AND d.objid = p.oid
         AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND a.attnum > 0
"""


def compare_row_security(
    connection: sa.Connection, deployment: "Deployment", managed: Iterable[str], going: PendingDrops
) -> RowSecurity:
    """Compare row security on the server with the scopes of the manifest.

    The number of catalog queries does not depend on the number of tables and accounts.

    Args:
        connection: a connection of the admin account.
        deployment: accounts with their scopes, and the scopes that sessions bind.
        managed: managed logins, including those that the manifest no longer declares.
        going: tables that a contract revision to come retires.

    Returns:
        The statements before and after the grants, with obstacles and warnings.
    """
    return _RowSecurityComparison(connection, deployment, managed, going).changes


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
    chosen = {(schema or default, name): set(columns) for (schema, name), columns in altered.items()}
    hanging: dict[tuple[str, str, str], set[str]] = {}
    for schema, table, name, column in connection.exec_driver_sql(_HANGING):
        hanging.setdefault((schema, table, name), set()).add(column)
    statements = []
    for found in policies_of(connection):
        columns = chosen.get(found.place)
        if columns is None or not found.made_by_us:
            continue
        if not columns or columns & hanging.get((*found.place, found.name), set()):
            statements.append(found.close())
    return statements


class _RowSecurityComparison:
    """One comparison of row security on the server with the manifest; the result is in `changes`."""

    def __init__(
        self, connection: sa.Connection, deployment: "Deployment", managed: Iterable[str], going: PendingDrops
    ) -> None:
        self.changes = RowSecurity()
        self._ask = connection.exec_driver_sql
        self._accounts = list(deployment.accounts.values())
        self._names: Mapping[str, BoundScope] = deployment.policy.scopes
        self._ours = {*managed, *(account.login for account in self._accounts)}
        self._default = str(self._ask("SELECT current_schema()").scalar_one())
        self._granted: dict[Place, list[tuple[Account, Grant]]] = {}
        for account in self._accounts:
            for grant in account.grants:
                place = (grant.schema or self._default, grant.table)
                self._granted.setdefault(place, []).append((account, grant))
        scoped = {p for p, held in self._granted.items() if any(g.scope is not None for _, g in held)}
        given = {"schemas": [schema for schema, _ in scoped], "names": [name for _, name in scoped]}
        goes = {(schema or self._default, name) for schema, name in going.tables}
        kept, found = self._keep(policies_of(connection), goes)
        there, secured, forced = self._tables(given)
        if not (there or secured or found or kept):
            return
        types = {
            (schema, name, column): (type_, bool(is_enum))
            for schema, name, column, type_, is_enum in (self._ask(_COLUMNS, given) if scoped else ())
        }
        stay = self._stay(secured - there - {policy.place for policy in kept}, found)
        self._compare(found, self._policies(sorted(there | stay), types), there)
        self._switch(there | stay, {policy.place for policy in kept}, secured, forced, found)
        if there:
            self._look_at_guests(given)
            self._look_at_views(given)
        if self.changes.before or self.changes.after:
            # Each statement waits for the table's sessions, and all later ones queue behind it; an apply tries again.
            self.changes.before.insert(0, statement("SET LOCAL lock_timeout = '2s'"))

    def _keep(
        self, found: Iterable[ExistingPolicy], goes: set[Place]
    ) -> tuple[list[ExistingPolicy], list[ExistingPolicy]]:
        """Separate the policies that must stay until a contract revision retires their table from all others.

        The models no longer have such a table, so its policies cannot be created again from them.

        Returns:
            The policies that stay unchanged, and the others.
        """
        logins = {account.login for account in self._accounts}
        kept: list[ExistingPolicy] = []
        others: list[ExistingPolicy] = []
        known: dict[Place, set[tuple[str, str]]] = {}
        for policy in found:
            stays = policy.place in goes and policy.made_by_us and policy.roles <= logins
            (kept if stays else others).append(policy)
            known.setdefault(policy.place, set()).update(policy.remembered().items())
        for policy in kept:
            made = [told for name, told in known[policy.place] if name == policy.name]
            if made and not any(told.endswith(policy.form) for told in made):
                self.changes.warnings.append(
                    f"the policy {policy.name} on {'.'.join(policy.place)} was changed, and stays so until its table"
                    " is retired: the models no longer have it, so it cannot be made again"
                )
        return kept, others

    def _tables(self, given: Mapping[str, Any]) -> tuple[set[Place], set[Place], set[Place]]:
        """Look up tables in the catalog, and report an obstacle for a scoped relation that is not a table.

        Returns:
            The existing scoped tables, those with row security, and those with FORCE ROW LEVEL SECURITY.
        """
        there: set[Place] = set()
        secured: set[Place] = set()
        forced: set[Place] = set()
        for schema, name, kind, enabled, is_forced, wanted in self._ask(_TABLES, given):
            if wanted and kind not in ("r", "p"):
                self.changes.obstacles.append(
                    f"{self._first_rows((schema, name))}: {schema}.{name} is no table, and the server keeps no rows of"
                    " it apart: scope the tables behind it"
                )
            elif wanted:
                there.add((schema, name))
            secured |= {(schema, name)} if enabled else set()
            forced |= {(schema, name)} if is_forced else set()
        return there, secured, forced

    def _first_rows(self, place: Place) -> str:
        return next(str(grant.origin) for _, grant in self._granted[place] if grant.scope is not None)

    def _policies(
        self, tables: Iterable[Place], types: Mapping[tuple[str, str, str], tuple[str, bool]]
    ) -> Iterator[WantedPolicy]:
        for place in tables:
            for account, grant in self._granted[place]:
                columns = {c.column for part in grant.scope or () for c in part}
                if missing := [column for column in columns if (*place, column) not in types]:
                    self.changes.obstacles.append(
                        f"{grant.origin}: the table {grant.key} has no column {', '.join(sorted(missing))} in the"
                        " database; is a migration missing?"
                    )
                    continue
                condition = rows(
                    grant.scope, {column: types[*place, column] for column in columns}, self._names
                )
                command = COMMANDS[grant.verb]
                using = f" USING ({condition})" if command in USING else ""
                check = f" WITH CHECK ({condition})" if command in CHECK else ""
                name = policy_name(account.login, grant.verb)
                whom = f"TO {quoted(account.login)}{using}{check}"
                yield WantedPolicy(place, name, command, whom, account.login, grant.by)

    def _compare(
        self, found: Iterable[ExistingPolicy], wanted: Iterable[WantedPolicy], scoped: set[Place]
    ) -> None:
        """Add the statements that drop, create or alter policies, table by table."""
        want: dict[Place, dict[str, WantedPolicy]] = {}
        for policy in wanted:
            want.setdefault(policy.place, {})[policy.name] = policy
        have: dict[Place, dict[str, ExistingPolicy]] = {}
        for there in found:
            have.setdefault(there.place, {})[there.name] = there
        for place in sorted({*want, *have}):
            wants, has = want.get(place, {}), have.get(place, {})
            self._drop(wants, has, scoped)
            self._make(place, wants, {name: there for name, there in has.items() if name in wants})

    def _drop(
        self, wants: Mapping[str, WantedPolicy], has: Mapping[str, ExistingPolicy], scoped: set[Place]
    ) -> None:
        """Drop unwanted policies of Ringfence or of its accounts alone; report those that concern other roles too."""
        for name, policy in has.items():
            if name in wants:
                continue
            if policy.made_by_us or policy.roles <= self._ours:
                self.changes.after.append(policy.drop())
            elif policy.place in scoped and ("" in policy.roles or policy.roles & self._ours):
                self.changes.obstacles.append(self._foreign(policy))

    def _make(
        self, place: Place, wants: Mapping[str, WantedPolicy], has: Mapping[str, ExistingPolicy]
    ) -> None:
        """Create missing policies and restore altered ones.

        A policy is unchanged if the digests that the comment of a policy of its table records match the manifest and
        the server.
        """
        known = {entry for there in has.values() for entry in there.remembered().items()}
        forms: dict[str, str | None] = {}
        for name, policy in wants.items():
            there = has.get(name)
            if there is not None and (name, policy.digest + there.form) in known:
                forms[name] = there.form
                continue
            forms[name] = None
            if there is not None and there.permissive and there.command == policy.command:
                self.changes.before.append(policy.alter())
                continue
            if there is not None:
                self.changes.before.append(there.drop())
            self.changes.before.append(policy.create())
        if None in forms.values():
            self.changes.before.append(
                store_digests(place, [(wants[name], form) for name, form in forms.items()])
            )

    def _foreign(self, policy: ExistingPolicy) -> str:
        others = sorted(filter(None, policy.roles - self._ours))
        whom = "everybody" if "" in policy.roles else ", ".join(sorted(policy.roles))
        narrowed = f"ALTER POLICY {quoted(policy.name)} ON {written(policy.place)} TO"
        kept = ", ".join(map(quoted, others)) or "those that need it"
        return (
            f"the policy {policy.name} on {'.'.join(policy.place)} is for {whom}, and changes which rows the accounts"
            f" of the manifest reach: {policy.drop()}, or {narrowed} {kept}"
        )

    def _switch(
        self,
        there: set[Place],
        kept: set[Place],
        secured: set[Place],
        forced: set[Place],
        found: Iterable[ExistingPolicy],
    ) -> None:
        """Enable row security on scoped tables, and disable it where only Ringfence's policies needed it.

        Args:
            there: tables that are to have row security.
            kept: tables whose policies stay until a contract revision.
            secured: tables that have row security.
            forced: tables that have FORCE ROW LEVEL SECURITY.
            found: policies of the database, without those that stay.
        """
        for place in sorted(there | kept):
            if place not in secured:
                self.changes.before.append(_switched(place, "ENABLE", "off", "on"))
            if place in forced:  # otherwise the admin, its owner, would not see the rows that it migrates
                self.changes.before.append(_switched(place, "NO FORCE", _FORCED, _UNFORCED))
        policies: dict[Place, list[ExistingPolicy]] = {}
        for policy in found:
            policies.setdefault(policy.place, []).append(policy)
        for place in sorted(secured - there - kept):
            left = [p for p in policies.get(place, ()) if not self._is_ours(p)]
            ours = place in self._granted or place in {(self._default, name) for name in READABLE}
            if not left and (ours or any(p.made_by_us for p in policies.get(place, ()))):
                if place in forced:
                    self.changes.after.append(_switched(place, "NO FORCE", _FORCED, _UNFORCED))
                self.changes.after.append(_switched(place, "DISABLE", "on", "off"))
            elif place in self._granted:
                self._look_at_left(place, [p for p in left if self._concerns_us(p)])

    def _is_ours(self, policy: ExistingPolicy) -> bool:
        return policy.made_by_us or policy.roles <= self._ours

    def _concerns_us(self, policy: ExistingPolicy) -> bool:
        return "" in policy.roles or bool(policy.roles & self._ours)

    def _stay(self, secured: set[Place], found: Iterable[ExistingPolicy]) -> set[Place]:
        """Return tables without scopes on which row security must stay; accounts get policies for every row.

        Disabling it would show rows to roles that see none or only some now. Where another role's policy applies to the
        accounts too, a policy that shows every row would defeat it: that table is not returned.
        """
        left: dict[Place, list[ExistingPolicy]] = {}
        for policy in found:
            if policy.place in secured and policy.place in self._granted and not self._is_ours(policy):
                left.setdefault(policy.place, []).append(policy)
        stay = dict.fromkeys(left, "others have policies there")
        if asked := sorted(place for place in secured if place in self._granted and place not in left):
            given = {"schemas": [schema for schema, _ in asked], "names": [name for _, name in asked]}
            for schema, name, role, *_ in self._guests(given, secured=True):
                stay[schema, name] = f"{role} holds rights on it, and sees no row now"
        for place in [place for place, policies in left.items() if any(map(self._concerns_us, policies))]:
            del stay[place]
        for place, why in sorted(stay.items()):
            self.changes.warnings.append(
                f"row security stays on for {'.'.join(place)}, which no `rows:` asks for, for {why}; our accounts have"
                f" policies that show them every row: ALTER TABLE {written(place)} DISABLE ROW LEVEL SECURITY, when"
                " nobody needs it"
            )
        return set(stay)

    def _look_at_left(self, place: Place, left: list[ExistingPolicy]) -> None:
        """Report other roles' policies that apply to the accounts on a table without scopes."""
        if not any(policy.permissive for policy in left):
            self.changes.obstacles += [self._foreign(policy) for policy in left]
            return
        services = dict.fromkeys(account.service for account, _ in self._granted[place])
        self.changes.warnings.append(
            f"row security is on for {'.'.join(place)}, which no `rows:` asks for: {', '.join(services)} may see only"
            f" what {', '.join(p.name for p in left)} shows; ALTER TABLE {written(place)} DISABLE ROW LEVEL SECURITY,"
            " or write `rows:`"
        )

    def _guests(self, given: Mapping[str, Any], *, secured: bool) -> Iterable[Any]:
        return self._ask(_GUESTS, {**given, "logins": sorted(self._ours), "secured": secured})

    def _look_at_guests(self, given: Mapping[str, Any]) -> None:
        """Report roles outside the manifest that would see no row once row security is enabled on a table."""
        for schema, name, role, by, replicates in self._guests(given, secured=False):
            how = (
                f"reads or writes {schema}.{name} through {by}" if by else f"holds rights on {schema}.{name}"
            )
            way = f"CREATE POLICY {quoted(role)} ON {written((schema, name))} TO {quoted(role)} USING (true)"
            if replicates:
                way += f", or ALTER ROLE {quoted(role)} BYPASSRLS, for it replicates"
            end = f"REVOKE {by} FROM {quoted(role)}" if by else "revoke them"
            self.changes.obstacles.append(
                f"{role} {how}, is none of the manifest's accounts, and would see no row of it any more: {way}, or"
                f" {end}"
            )

    def _look_at_views(self, given: Mapping[str, Any]) -> None:
        """Report views by which an account with a scope reads rows outside it.

        A view may show columns on which its reader has no privilege, if the manifest grants the view; it must not
        bypass the reader's row scope.
        """
        for schema, name, table_schema, table, leak, kind in self._ask(_VIEWS, given):
            for account, grant in self._granted.get((schema, name), ()):
                held = self._granted[table_schema, table]
                if grant.verb != "select" or not any(a is account and g.scope is not None for a, g in held):
                    continue
                through = "" if leak in (name, f"{schema}.{name}") else f" through {leak}"
                why, way = "reads", f"ALTER VIEW {leak} SET (security_invoker = true)"
                if kind == "m":
                    why, way = "keeps rows of", "take it from the service"
                self.changes.obstacles.append(
                    f"{grant.origin}: the view {grant.key} {why} {table}{through} with its owner's rights, past the"
                    f" rows that {account.service} may see: {way}"
                )


def _switched(place: Place, word: str, held: str, wanted: str) -> Statement:
    finding = "excess" if word == "ENABLE" else "missing"
    change = Change(f"row security of {'.'.join(place)}", held, wanted, table=place, finding=finding)
    return statement(f"ALTER TABLE {written(place)} {word} ROW LEVEL SECURITY", change)
