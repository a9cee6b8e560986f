"""Effective rights of roles on PostgreSQL, as the server's own privilege functions report them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.effective_rights import EVERY, Effective, Reach, Right, declared_rights, normal
from ringfence.schema.engines.postgresql.effective_rights_notes import Notes, RelationKey
from ringfence.schema.engines.postgresql.effective_rights_queries import (
    ACTORS,
    COLUMN_TYPES,
    FOLDED,
    OTHER_RIGHTS,
    RELATIONS,
    set_option,
    table_rights,
)
from ringfence.schema.engines.postgresql.policy import CHECK, COMMANDS, ExistingPolicy, policies_of
from ringfence.schema.engines.postgresql.policy_conditions import rows as rows_of
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.scopes import columns as columns_of

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_WHOLE = {"select": "pg_read_all_data", "insert": "pg_write_all_data", "update": "pg_write_all_data"}
_WHOLE["delete"] = "pg_write_all_data"


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or sequence, with its owner, row security and access list."""

    kind: str
    secured: bool
    forced: bool
    owner: str
    stays: bool
    """Whether an apply leaves PUBLIC's privileges: an extension owns it, or the admin may not act as its owner."""
    columns: tuple[str, ...]
    acl: tuple[tuple[str, str, str], ...]
    """(grantee, verb, column); the grantee is empty for PUBLIC, the column for the whole relation."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A role that a login is, or can become with SET ROLE."""

    name: str
    past_rows: bool
    """Whether it bypasses row security, as a superuser or by BYPASSRLS."""
    uses: frozenset[str]
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
        given_logins = {"logins": list(logins), "set": set_option(version)}
        self._logins, self._left_open = logins, left_open
        self._deployment = deployment
        self._ours = {*logins, *(account.login for account in deployment.accounts.values())}
        default = str(ask("SELECT current_schema()").scalar_one())
        self.found = found = Effective(default=default)
        self._actors: dict[str, list[Actor]] = {}
        for login, name, past_rows, uses in ask(ACTORS, given_logins):
            self._actors.setdefault(login, []).append(Actor(name, past_rows, frozenset(uses)))
        self._relations: dict[RelationKey, Relation] = {}
        for schema, name, kind, secured, forced, owner, stays, columns, acl in ask(RELATIONS):
            parts = tuple((str(g), str(v), str(c)) for g, v, c in acl)
            self._relations[schema, name] = Relation(
                kind, secured, forced, owner, stays, tuple(columns), parts
            )
            if kind != "S":
                found.columns[schema, name] = tuple(columns)
        for schema, sequence, table_schema, table in ask(FOLDED):
            found.owned_sequences.setdefault((schema, sequence), set()).add((table_schema, table))
        self._policies: dict[RelationKey, list[ExistingPolicy]] = {}
        for policy in policies_of(connection):
            self._policies.setdefault(policy.place, []).append(policy)
        self._notes = Notes(self._ours, default)
        self._tables(ask(table_rights(version), given_logins))
        self._rest(ask(OTHER_RIGHTS, given_logins))
        found.after = declared_rights(deployment, wanted, logins, default)
        self._scopes(connection)
        self._after_rows()
        self._stays()
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
            elif grantee in actor.uses:
                ways.append(_way(grantee, login, relation.owner))
        if not ways and relation.owner in actor.uses:
            ways = [_way(relation.owner, login, relation.owner)]
        if not ways and _WHOLE.get(verb) in actor.uses:
            ways = [f"role {_WHOLE[verb]}"]
        if not ways and actor.past_rows:
            ways = ["superuser"]
        return tuple(ways)

    def _rows(
        self, actor: Actor, key: RelationKey, verb: str, policies: Iterable[ExistingPolicy]
    ) -> Reach | None:
        """Return the rows that a verb reaches; None for no row."""
        relation = self._relations[key]
        owns = relation.owner in actor.uses and not relation.forced
        if not relation.secured or actor.past_rows or owns or verb not in COMMANDS:
            return Reach()
        return _shown(verb, [p for p in policies if "" in p.roles or p.roles & actor.uses])

    def _rest(self, rows: Iterable[tuple[str, str, str, str, str, list[str], bool]]) -> None:
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
                        if not g or g in actor.uses
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

    def _scopes(self, connection: sa.Connection) -> None:
        """Write the row scopes of the manifest as conditions that can be compared with those of policies."""
        scoped = self._scoped()
        given_tables = {"schemas": [schema for schema, _ in scoped], "names": [name for _, name in scoped]}
        types = {
            (schema, name, column): (type_, bool(is_enum))
            for schema, name, column, type_, is_enum in (
                connection.exec_driver_sql(COLUMN_TYPES, given_tables) if scoped else ()
            )
        }
        for account in self._deployment.accounts.values():
            for grant in account.grants:
                key = (grant.schema or self.found.default, grant.table)
                right = Right(account.login, "table", *key, grant.verb)
                named = columns_of(grant.scope)
                if grant.scope is None or right not in self.found.after:
                    continue
                if all((*key, column) in types for column in named):
                    known = {column: types[*key, column] for column in named}
                    sql = rows_of(grant.scope, known, self._deployment.policy.scopes)
                    self.found.after[right] = replace(self.found.after[right], condition=normal(sql))

    def _after_rows(self) -> None:
        """Limit the rights after an apply where row security stays because of other roles' policies.

        An apply leaves a table's row security as it is where such a policy applies to the accounts too.
        """
        scoped = self._scoped()
        for right, reach in list(self.found.after.items()):
            key = (right.schema, right.name)
            relation = self._relations.get(key)
            if right.kind != "table" or relation is None or key in scoped or not relation.secured:
                continue
            left = [p for p in self._left(key) if "" in p.roles or p.roles & self._ours]
            if not left:
                continue  # an apply disables row security, or creates policies that show the accounts every row
            actor = Actor(right.login, False, frozenset({right.login}))
            rows = self._rows(actor, key, right.verb, left)
            if rows is None:
                del self.found.after[right]
                self._notes.blinded(right.login, key, right.verb)
            else:
                self.found.after[right] = replace(rows, columns=reach.columns, through=reach.through)

    def _left(self, key: RelationKey) -> list[ExistingPolicy]:
        """Return the policies of a table that no apply drops."""
        return [p for p in self._policies.get(key, ()) if not (p.made_by_us or p.roles <= self._ours)]

    def _stays(self) -> None:
        """Add the rights after an apply that PUBLIC has and that no apply revokes."""
        found = self.found
        for right, reach in self._open.items():
            found.add(found.after, right, reach)
        for key, relation in self._relations.items():
            public = [(verb, column) for grantee, verb, column in relation.acl if not grantee]
            if not public or not relation.stays:
                continue
            kind = "sequence" if relation.kind == "S" else "table"
            for login in self._logins:
                for verb, column in public:
                    right = Right(login, kind, *key, verb)
                    if right not in found.now:  # for example, the login has no USAGE on the schema
                        continue
                    rows = self._rows(Actor(login, False, frozenset({login})), key, verb, self._left(key))
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
