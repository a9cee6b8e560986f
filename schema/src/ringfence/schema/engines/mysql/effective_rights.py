"""The effective rights of accounts on the MySQL family: their own, and those of the roles that they can activate.

The servers have no function that returns them, so the grants are read from the catalogs and combined as the servers do.
The rules here were tried on MySQL 9.7 and MariaDB 10.11. Of several database patterns that match, only one counts.
Which one differs between the two, and on MySQL also while a role is active.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import sqlalchemy as sa

from ringfence.schema.engines.effective_rights import Effective, Reach, Right, Rights, declared_rights
from ringfence.schema.engines.mysql.privileges import PUBLIC, drawn_sequences, mandatory_roles, matches
from ringfence.schema.engines.mysql.row_security import View, views
from ringfence.schema.engines.types import RelationKey
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.scopes import to_text

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts

Grantee = tuple[str, str]
"""The name of a user or role, and its host."""
Sources = Iterable[tuple[str, "Grants"]]
"""How privileges are held (`grant`, `PUBLIC`, `role …`), and the grants that give them."""

BY_TABLE = frozenset(
    {
        *(
            "select",
            "insert",
            "update",
            "delete",
            "create",
            "drop",
            "references",
            "index",
            "alter",
            "trigger",
        ),
        *("create view", "show view", "delete history", "delete versioning rows"),
    }
)
BY_DATABASE = frozenset(
    {
        "create temporary tables",
        "lock tables",
        "event",
        "create routine",
        "alter routine",
        "show create routine",
    }
)
_LEVELS = (
    "SELECT grantee, 'server', '', '', privilege_type, '' FROM information_schema.user_privileges",
    "SELECT grantee, 'database', table_schema, '', privilege_type, '' FROM information_schema.schema_privileges",
    "SELECT grantee, 'table', table_schema, table_name, privilege_type, ''"
    " FROM information_schema.table_privileges",
    "SELECT grantee, 'table', table_schema, table_name, privilege_type, column_name"
    " FROM information_schema.column_privileges",
)


@dataclass
class Grants:
    """The privileges that were granted directly to one user or role."""

    global_privileges: set[str] = field(default_factory=set)
    """The global privileges."""
    patterns: dict[str, set[str]] = field(default_factory=dict)
    """Pattern of databases -> verbs."""
    tables: dict[tuple[str, str], dict[str, set[str]]] = field(default_factory=dict)
    """(schema, table) -> verb -> columns; an empty name means the whole table."""
    routines: set[tuple[str, str, str]] = field(default_factory=set)
    """The routines with EXECUTE, as (kind, schema, name)."""
    restricted: dict[str, frozenset[str]] = field(default_factory=dict)
    """Schema -> the verbs of `global_privileges` that a partial revoke removes there."""


class GrantCatalog:
    """The grants of some accounts and of the roles that they can activate, and the objects of some databases.

    Args:
        connection: the admin's.
        grantees: the accounts.
        schemas: the databases.
    """

    def __init__(
        self, connection: sa.Connection, grantees: Iterable[Grantee], schemas: Collection[str]
    ) -> None:
        self._ask = connection.exec_driver_sql
        self.schemas = tuple(schemas)
        self._logins = set(grantees)
        self.held_by: dict[Grantee, set[Grantee]] = {}
        """A user or role -> the roles that were granted to it."""
        self.defaults: dict[Grantee, set[Grantee]] = {}
        """A user -> the roles that are active after its login."""
        self.universal_roles: frozenset[Grantee] = frozenset()
        """Roles that every account has and no apply revokes: mandatory roles, and those of PUBLIC."""
        self.literal = False
        """Whether database names in grants are literal, and not patterns."""
        self.read_roles()
        roles = {role for roles in self.held_by.values() for role in roles}
        self._grants: dict[Grantee, Grants] = {}
        self._read({*self._logins, *roles, *self.held_by, *self.universal_roles, PUBLIC})
        self.read_more()
        self._read_objects()

    # -- what differs between the servers

    def read_roles(self) -> None:
        """Read which roles were granted to whom, which are active by default, and which every account has."""
        raise NotImplementedError

    def read_more(self) -> None:
        """Read the privileges that information_schema does not show; by default none."""

    def states(self, grantee: Grantee) -> Iterator[tuple[str, frozenset[Grantee]]]:
        """Yield the sets of roles that an account can have active.

        Args:
            grantee: the account.

        Yields:
            The statement that activates the set, and the roles; first those after the login, with an empty statement.
        """
        raise NotImplementedError

    def of_database(self, schema: str, sources: Sources, *, active: bool) -> Iterator[tuple[str, str]]:
        """Yield the privileges that grants on databases give on one database.

        Args:
            schema: the database.
            sources: the grants that count.
            active: whether a role is active.

        Yields:
            How a privilege is held, and the verb.
        """
        raise NotImplementedError

    def pattern_key(self, pattern: str) -> tuple[object, ...]:
        """Return a sort key of a database pattern: the server applies the matching pattern with the smallest key."""
        raise NotImplementedError

    # -- what is the same on both servers

    def closure(self, roles: Iterable[Grantee]) -> frozenset[Grantee]:
        """Return these roles and all roles that were granted to them, directly or indirectly."""
        found: set[Grantee] = set()
        left = list(roles)
        while left:
            if (role := left.pop()) not in found:
                found.add(role)
                left += self.held_by.get(role, ())
        return frozenset(found)

    def grants(self, grantee: Grantee) -> Grants:
        """Return what was granted directly to a user or role."""
        return self._grants.setdefault(grantee, Grants())

    def sources(self, grantee: Grantee | None, roles: Iterable[Grantee]) -> Iterator[tuple[str, Grants]]:
        """Yield the grants that count while some roles are active.

        Args:
            grantee: the account whose rights are read; None leaves its own grants out.
            roles: the active roles.

        Yields:
            How the grants are held, and the grants.
        """
        if grantee is not None:
            yield "grant", self.grants(grantee)
            if PUBLIC in self._grants:
                yield "PUBLIC", self.grants(PUBLIC)
        for role in sorted(self.closure(roles)):
            yield f"role {role[0]}", self.grants(role)

    def members(self, logins: set[Grantee]) -> Iterator[str]:
        """Yield a message for each other account that was granted one of the accounts as a role."""
        for member, roles in sorted(self.held_by.items()):
            for role in sorted(roles & logins):
                if member not in logins:
                    yield (
                        f"{member[0]} was granted {role[0]} as a role: it may do all that {role[0]} may, until that is"
                        " revoked, which then takes it from it"
                    )

    def matches(self, pattern: str, schema: str) -> bool:
        """Return whether a grant on databases applies to a database.

        Args:
            pattern: as the catalog has it; `%` and `_` are wildcards, unless partial revokes are enabled.
            schema: the database.
        """
        if self.literal:
            return pattern == schema
        return matches(pattern, schema)

    def most_specific(self, schema: str, sources: Sources) -> Iterator[tuple[str, str]]:
        """Yield the privileges of the most specific pattern that matches, among those of all the sources.

        Args:
            schema: the database.
            sources: the grants that count.

        Yields:
            How a privilege is held, and the verb.
        """
        found = [
            (pattern, label, verbs)
            for label, grants in sources
            for pattern, verbs in grants.patterns.items()
            if self.matches(pattern, schema)
        ]
        first = min((self.pattern_key(pattern) for pattern, _, _ in found), default=None)
        for pattern, label, verbs in found:
            if self.pattern_key(pattern) == first:
                yield from ((label, verb) for verb in verbs)

    def _read(self, grantees: set[Grantee]) -> None:
        names = {f"'{user}'@'{host}'": (user, host) for user, host in grantees}
        for query in _LEVELS:
            rows = self._ask(f"{query} WHERE grantee IN %(grantees)s", {"grantees": tuple(names)})
            for grantee, kind, schema, name, word, column in rows:
                grants, verb = self.grants(names[grantee]), str(word).lower()
                if verb == "usage":
                    continue
                if kind == "server":
                    grants.global_privileges.add(verb)
                elif kind == "database":
                    grants.patterns.setdefault(schema, set()).add(verb)
                else:
                    grants.tables.setdefault((schema, name), {}).setdefault(verb, set()).add(column)
        for user, host, schema, name, kind in self._ask(
            "SELECT User, Host, Db, LOWER(Routine_name), LOWER(Routine_type) FROM mysql.procs_priv"
            " WHERE FIND_IN_SET('Execute', Proc_priv)"
        ):
            if (user, host) in grantees:
                self.grants((user, host)).routines.add((kind, schema, name))

    def _read_objects(self) -> None:
        given = {"schemas": self.schemas}
        self.relations: dict[str, list[str]] = {}
        self.sequences: set[tuple[str, str]] = set()
        self.columns: dict[tuple[str, str], tuple[str, ...]] = {}
        self.routines: dict[str, list[tuple[str, str]]] = {}
        self.owned_sequences: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for schema, name, kind in self._ask(
            "SELECT table_schema, table_name, table_type FROM information_schema.tables"
            " WHERE table_schema IN %(schemas)s",
            given,
        ):
            self.relations.setdefault(schema, []).append(name)
            if kind == "SEQUENCE":
                self.sequences.add((schema, name))
        for schema, name, column, default in self._ask(
            "SELECT table_schema, table_name, column_name, column_default FROM information_schema.columns"
            " WHERE table_schema IN %(schemas)s ORDER BY table_schema, table_name, ordinal_position",
            given,
        ):
            self.columns[schema, name] = (*self.columns.get((schema, name), ()), column)
            for sequence in drawn_sequences(default or ""):
                self.owned_sequences.setdefault(sequence, set()).add((schema, name))
        for schema, kind, name in self._ask(
            "SELECT routine_schema, LOWER(routine_type), LOWER(routine_name) FROM information_schema.routines"
            " WHERE routine_schema IN %(schemas)s AND routine_type IN ('FUNCTION', 'PROCEDURE')",
            given,
        ):
            self.routines.setdefault(schema, []).append((kind, name))


class MySQLGrantCatalog(GrantCatalog):
    """Grants on MySQL: roles are accounts; default roles are active after the login, others after SET ROLE."""

    def read_roles(self) -> None:
        """Read the granted, default and mandatory roles."""
        for role, role_host, user, host in self._ask(
            "SELECT FROM_USER, FROM_HOST, TO_USER, TO_HOST FROM mysql.role_edges"
        ):
            self.held_by.setdefault((user, host), set()).add((role, role_host))
        for user, host, role, role_host in self._ask(
            "SELECT USER, HOST, DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles"
        ):
            self.defaults.setdefault((user, host), set()).add((role, role_host))
        mandatory, every, literal = self._ask(
            "SELECT @@GLOBAL.mandatory_roles, @@GLOBAL.activate_all_roles_on_login, @@GLOBAL.partial_revokes"
        ).one()
        self._every, self.literal = bool(every), bool(literal)
        self.universal_roles = frozenset(mandatory_roles(mandatory or ""))

    def read_more(self) -> None:
        """Read the partial revokes."""
        rows = self._ask(
            "SELECT User, Host, JSON_EXTRACT(User_attributes, '$.Restrictions') FROM mysql.user"
            " WHERE JSON_EXTRACT(User_attributes, '$.Restrictions') IS NOT NULL"
        )
        for user, host, text in rows:
            for one in json.loads(text):
                verbs = frozenset(verb.lower() for verb in one["Privileges"])
                self.grants((user, host)).restricted[one["Database"]] = verbs

    def states(self, grantee: Grantee) -> Iterator[tuple[str, frozenset[Grantee]]]:
        """Yield the sets of roles that an account can have active, beginning with that after the login."""
        granted = frozenset(self.held_by.get(grantee, set())) | self.universal_roles
        on = granted if self._every else frozenset(self.defaults.get(grantee, set())) & granted
        yield "", on
        if on:
            yield "SET ROLE NONE", frozenset()
        for role in sorted(granted):
            if frozenset({role}) != on:
                yield f"SET ROLE {role[0]}", frozenset({role})
        if len(granted) > 1 and granted != on:
            yield "SET ROLE ALL", granted

    def of_database(self, schema: str, sources: Sources, *, active: bool) -> Iterator[tuple[str, str]]:
        """Yield the privileges by grants on databases.

        While a role is active, the patterns of account and roles form one list. In it the name of the database comes
        first, and then the patterns in the order of their bytes; only the first counts.
        """
        if not active:
            yield from self.most_specific(schema, sources)
            return
        merged: dict[str, list[tuple[str, str]]] = {}
        for label, grants in sources:
            for pattern, verbs in grants.patterns.items():
                if self.matches(pattern, schema):
                    merged.setdefault(pattern, []).extend((label, verb) for verb in verbs)
        plain = [pattern for pattern in merged if pattern == schema and not set(pattern) & set("%_")]
        for pattern in plain or sorted(merged, key=str.encode)[:1]:
            yield from merged[pattern]

    def pattern_key(self, pattern: str) -> tuple[object, ...]:
        """Return a key that prefers patterns without a wildcard, then those whose first wildcard comes last."""
        wild = re.search(r"(?<!\\)[%_]", pattern)
        return (wild is not None and not self.literal, -wild.start() if wild else 0)


class MariaDBGrantCatalog(GrantCatalog):
    """Grants on MariaDB: a role has no host, one role at a time is active, and every account has PUBLIC."""

    _NAMES: ClassVar[dict[str, str]] = {
        "create tmp table": "create temporary tables",
        "show db": "show databases",
        "repl slave": "replication slave",
        "repl client": "replication client",
    }

    def read_roles(self) -> None:
        """Read the granted and default roles, and those of PUBLIC."""
        for user, host, role in self._ask("SELECT User, Host, Role FROM mysql.roles_mapping"):
            self.held_by.setdefault((user, host), set()).add((role, ""))
        for user, host, role in self._ask(
            "SELECT User, Host, default_role FROM mysql.user WHERE default_role <> ''"
        ):
            self.defaults.setdefault((user, host), set()).add((role, ""))
        self.universal_roles = frozenset(self.held_by.get(PUBLIC, set()))

    def read_more(self) -> None:
        """Read the global privileges of roles, which information_schema does not show."""
        result = self._ask("SELECT * FROM mysql.user WHERE is_role = 'Y' OR User = 'PUBLIC'")
        for row in result.mappings():
            for column, value in row.items():
                if column.endswith("_priv") and value == "Y":
                    word = column.removesuffix("_priv").replace("_", " ").lower()
                    self.grants((row["User"], "")).global_privileges.add(self._NAMES.get(word, word))

    def states(self, grantee: Grantee) -> Iterator[tuple[str, frozenset[Grantee]]]:
        """Yield the roles that an account can activate, beginning with its default role."""
        granted = frozenset(self.held_by.get(grantee, set()))
        on = frozenset(self.defaults.get(grantee, set()))
        yield "", on
        for role in sorted(granted - on):
            yield f"SET ROLE {role[0]}", frozenset({role})

    def sources(self, grantee: Grantee | None, roles: Iterable[Grantee]) -> Iterator[tuple[str, Grants]]:
        """Yield the grants that count, with those of the roles that PUBLIC holds."""
        public = self.universal_roles if grantee is not None else frozenset()
        yield from super().sources(grantee, {*roles, *public})

    def of_database(self, schema: str, sources: Sources, *, active: bool) -> Iterator[tuple[str, str]]:
        """Yield the privileges by the one pattern that counts for each of the account, its roles and PUBLIC."""
        roles = []
        for label, grants in sources:
            if label in ("grant", "PUBLIC"):
                yield from self.most_specific(schema, [(label, grants)])
            else:
                roles.append((label, grants))
        yield from self.most_specific(schema, roles)

    def pattern_key(self, pattern: str) -> tuple[object, ...]:
        """Return a key that prefers patterns without a wildcard, then those with most characters other than `%`."""
        plain = re.sub(r"\\(.)", r"\1", pattern)
        wild = re.search(r"(?<!\\)[%_]", pattern)
        return (wild is not None, -len(plain.replace("%", "")), pattern)


_EXECUTE = "execute"


class EffectiveRightsReader:
    """Collects the effective rights of logins in `found`; subclasses differ in roles and patterns.

    Args:
        connection: the admin's.
        accounts: knows the host of each login.
        deployment: its accounts, and the views in front of their tables.
        logins: accounts that exist.
        wanted: the privileges that an apply leaves.
    """

    catalog: ClassVar[type[GrantCatalog]]
    """The class that reads the grants."""

    def __init__(
        self,
        connection: sa.Connection,
        accounts: "FamilyAccounts",
        deployment: "Deployment",
        logins: Collection[str],
        wanted: Collection[Privilege],
    ) -> None:
        default = accounts.database(connection)
        self.found = found = Effective(default=default)
        schemas = sorted({default, *(p.schema for p in wanted if p.schema)})
        grantees = {login: (login, accounts.host(login)) for login in logins}
        self._catalog = catalog = self.catalog(connection, grantees.values(), schemas)
        found.columns.update(catalog.columns)
        found.owned_sequences.update(catalog.owned_sequences)
        self._views: dict[tuple[str, str, str], View] = {
            (account.login, view.schema or default, view.name): view
            for account in deployment.accounts.values()
            for view in views(account, deployment.tables)
        }
        behind = {(schema, name) for _, schema, name in self._views}
        for right, reach in declared_rights(deployment, wanted, logins, default, behind).items():
            kind = "sequence" if (right.schema, right.name) in catalog.sequences else right.kind
            found.add(found.after, right._replace(kind=kind), reach)
        for login, grantee in grantees.items():
            for label, roles in catalog.states(grantee):
                for right, reach in self._state(login, grantee, roles):
                    held = replace(reach, through=(label,)) if label else reach
                    self._add(found.now, right, held)
            for right, reach in self._state(login, None, catalog.universal_roles):
                self._add(found.after, right, reach)
        found.others = list(catalog.members(set(grantees.values())))

    def _add(self, rights: Rights, right: Right, reach: Reach) -> None:
        """Add a right; a right on one of our views counts as one on the table behind it."""
        view = self._views.get((right.login, right.schema, right.name))
        if view is not None and right.kind == "table":
            table = (view.schema or self.found.default, view.table)
            whole = set(self.found.columns.get(table, ())) <= set(view.columns)
            columns = reach.columns if reach.columns is not None or whole else frozenset(view.columns)
            rows = to_text(view.scope)
            test = rows if view.scope is not None else ""
            reach = Reach(None if right.verb == "delete" else columns, rows, test, reach.through)
            right = right._replace(schema=table[0], name=table[1])
        self.found.add(rights, right, reach)

    # -- one set of active roles

    def _state(
        self, login: str, grantee: Grantee | None, roles: Collection[Grantee]
    ) -> Iterator[tuple[Right, Reach]]:
        """Yield what a login may do while some roles, and the roles that these hold, are active.

        Args:
            login: the login that the rights are reported for.
            grantee: its account; None leaves its own privileges out.
            roles: the active roles.
        """
        catalog = self._catalog
        sources = list(catalog.sources(grantee, roles))
        for schema in catalog.schemas:
            by_schema = self._on_schema(schema, sources, active=bool(roles))
            for name in catalog.relations.get(schema, ()):
                kind = "sequence" if (schema, name) in catalog.sequences else "table"
                for verb, reach in self._on_relation((schema, name), sources, by_schema):
                    yield Right(login, kind, schema, name, verb), reach
            for kind, name in catalog.routines.get(schema, ()):
                labels = (*by_schema.get(_EXECUTE, ()), *self._routine((kind, schema, name), sources))
                if labels:
                    yield (
                        Right(login, kind, schema, name, _EXECUTE),
                        Reach(through=tuple(dict.fromkeys(labels))),
                    )
            for verb in BY_DATABASE & by_schema.keys():
                yield Right(login, "database", schema, "", verb), Reach(through=by_schema[verb])
        for label, grants in sources:
            for verb in grants.global_privileges - BY_TABLE - BY_DATABASE - {_EXECUTE}:
                yield Right(login, "server", "", "", verb), Reach(through=(label,))

    def _on_schema(
        self, schema: str, sources: Iterable[tuple[str, Grants]], *, active: bool
    ) -> dict[str, tuple[str, ...]]:
        """Return verb -> how it is held: globally, or on the database."""
        found: dict[str, tuple[str, ...]] = {}
        sources = list(sources)
        for label, grants in sources:
            for verb in grants.global_privileges - grants.restricted.get(schema, frozenset()):
                found[verb] = (*found.get(verb, ()), label)
        for label, verb in self._catalog.of_database(schema, sources, active=active):
            found[verb] = (*found.get(verb, ()), label)
        return {verb: tuple(dict.fromkeys(labels)) for verb, labels in found.items()}

    def _on_relation(
        self,
        relation: RelationKey,
        sources: Iterable[tuple[str, Grants]],
        by_schema: dict[str, tuple[str, ...]],
    ) -> Iterator[tuple[str, Reach]]:
        """Yield each verb that is held on a table, view or sequence."""
        found: dict[str, Reach] = {
            verb: Reach(through=labels) for verb, labels in by_schema.items() if verb in BY_TABLE
        }
        for label, grants in sources:
            for verb, columns in grants.tables.get(relation, {}).items():
                reach = Reach(None if "" in columns else frozenset(columns), through=(label,))
                known = found.get(verb)
                found[verb] = reach if known is None else known.union(reach)
        yield from found.items()

    @staticmethod
    def _routine(routine: tuple[str, str, str], sources: Iterable[tuple[str, Grants]]) -> Iterator[str]:
        for label, grants in sources:
            if routine in grants.routines:
                yield label


class MySQLEffectiveRights(EffectiveRightsReader):
    """Effective rights on MySQL."""

    catalog: ClassVar[type[GrantCatalog]] = MySQLGrantCatalog


class MariaDBEffectiveRights(EffectiveRightsReader):
    """Effective rights on MariaDB."""

    catalog: ClassVar[type[GrantCatalog]] = MariaDBGrantCatalog
