"""Row security policies: the wanted one, the one on the server, and the record that tells whether it was altered.

A wanted policy is identified by a digest of its statement, a policy on the server by a digest of the form in which the
server prints it. Both digests are stored in a comment, so that an alteration by hand is detected and an unchanged
policy is left alone. One policy of each table carries the digests of all: a comment on each policy would take one lock
each until the transaction ends, and the server's lock table is small.
"""

import hashlib
import json
from dataclasses import dataclass, replace

import sqlalchemy as sa

from ringfence.schema.engines.base import Change, Statement
from ringfence.schema.engines.postgresql.identifiers import quoted
from ringfence.schema.engines.postgresql.policy_conditions import literal

PREFIX = "ringfence_"
_LONGEST = 63  # bytes of an identifier (NAMEDATALEN - 1)
_DIGEST = 16
_MARK = "ringfence "
_ROLES = """ARRAY(SELECT coalesce(r.rolname::text, '') FROM unnest(p.polroles) given
                  LEFT JOIN pg_catalog.pg_roles r ON r.oid = given ORDER BY 1)"""
# A digest of the policy as the server prints it; it changes only when the policy is altered.
_FORM = f"""md5(concat_ws(' | ', p.polcmd, p.polpermissive, {_ROLES}::text,
    coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), '-'),
    coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '-')))"""
_POLICIES = f"""
    SELECT n.nspname, c.relname, p.polname, p.polcmd, p.polpermissive, {_ROLES}, {_FORM},
           pg_catalog.obj_description(p.oid, 'pg_policy'),
           pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2, 3
"""  # noqa: S608 - constant SQL
COMMANDS = {"select": "r", "insert": "a", "update": "w", "delete": "d"}
USING, CHECK = frozenset({"r", "w", "d", "*"}), frozenset({"a", "w", "*"})

Place = tuple[str, str]
"""The schema and name of a table in the database."""


@dataclass(frozen=True, slots=True)
class WantedPolicy:
    """A wanted policy."""

    place: Place
    name: str
    command: str
    whom: str
    """The `TO` clause and the conditions."""
    login: str = ""
    by: str = ""
    """The lines of the manifest that ask for it."""

    @property
    def digest(self) -> str:
        """A digest of the policy's command, role and conditions."""
        return hashlib.sha256(f"{self.command} {self.whom}".encode()).hexdigest()[:_DIGEST]

    def create(self) -> Statement:
        """Return the CREATE POLICY."""
        place = f"{quoted(self.name)} ON {written(self.place)}"
        verb = _verb(self.command).upper()
        return statement(f"CREATE POLICY {place} AS PERMISSIVE FOR {verb} {self.whom}", self.made("-"))

    def alter(self) -> Statement:
        """Return the ALTER POLICY that turns a policy of the same name and command into this one."""
        altered = f"ALTER POLICY {quoted(self.name)} ON {written(self.place)} {self.whom}"
        return statement(altered, self.made("another"))

    def made(self, held: str) -> Change:
        """Describe the creation or alteration of this policy for a plan.

        Args:
            held: what is on the server now; `-` for no policy.
        """
        on = f"policy {self.name} on {'.'.join(self.place)}"
        finding = "missing" if held == "-" else "excess"
        whom, verb = self.whom.partition(" ")[2], _verb(self.command)
        return Change(on, held, whom, self.login, self.by, self.place, verb, finding)


@dataclass(frozen=True, slots=True)
class ExistingPolicy:
    """A policy on the server.

    Args:
        place: the table's schema and name.
        name: the policy's name.
        command: `pg_policy.polcmd`: r, a, w, d, or * for all.
        permissive: whether it is PERMISSIVE rather than RESTRICTIVE.
        roles: the roles that it names; an empty name stands for PUBLIC.
        form: a digest of the policy as the server prints it.
        comment: the comment on the policy.
        using: the USING condition as the server prints it.
        check: the WITH CHECK condition as the server prints it.
    """

    place: Place
    name: str
    command: str
    permissive: bool
    roles: frozenset[str]
    form: str
    comment: str | None
    using: str | None
    check: str | None

    @property
    def made_by_us(self) -> bool:
        """Whether its name has Ringfence's prefix."""
        return self.name.startswith(PREFIX)

    def remembered(self) -> dict[str, str]:
        """Read the digests in its comment.

        Returns:
            Policy name -> digest of its statement followed by the digest of its form; empty if the comment holds none.
        """
        try:
            said = json.loads((self.comment or "").removeprefix(_MARK))
        except ValueError:
            return {}
        return {name: str(told) for name, told in said.items()} if isinstance(said, dict) else {}

    def close(self) -> Statement:
        """Return the ALTER POLICY that replaces the conditions by `false`; `inverse` of the statement restores them.

        The policy then shows no row and depends on no column.
        """
        alter = f"ALTER POLICY {quoted(self.name)} ON {written(self.place)}"
        using, check = self.command in USING, self.command in CHECK
        shut = f"{' USING (false)' if using else ''}{' WITH CHECK (false)' if check else ''}"
        opened = f" USING ({self.using})" if using and self.using else ""
        opened += f" WITH CHECK ({self.check})" if check and self.check else ""
        return replace(statement(f"{alter}{shut}"), inverse=f"{alter}{opened}".replace("%", "%%"))

    def drop(self) -> Statement:
        """Return the DROP POLICY."""
        login = next(iter(self.roles)) if len(self.roles) == 1 else ""
        change = Change(
            f"policy {self.name} on {'.'.join(self.place)}",
            self.using or self.check or "",
            "-",
            login,
            table=self.place,
            verb=_verb(self.command),
            finding="excess" if self.permissive else "missing",
        )
        return statement(f"DROP POLICY {quoted(self.name)} ON {written(self.place)}", change)


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
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(login.encode()).hexdigest()[:8]
    return name.encode()[: _LONGEST - 9].decode(errors="ignore") + "_" + digest


def policies_of(connection: sa.Connection) -> list[ExistingPolicy]:
    """Read every policy of the database.

    Args:
        connection: a connection of the admin account.
    """
    return [
        ExistingPolicy((schema, table), name, command, permissive, frozenset(roles), *rest)
        for schema, table, name, command, permissive, roles, *rest in connection.exec_driver_sql(_POLICIES)
    ]


def store_digests(place: Place, policies: list[tuple[WantedPolicy, str | None]]) -> Statement:
    """Return the statement that stores the digests of a table's policies in a comment on the first of them.

    Args:
        place: the table's schema and name.
        policies: each policy with the digest of its form; None for one that was just created or altered, whose form the
            statement reads from the server.
    """
    listed = ", ".join(
        f"({literal(policy.name)}, '{policy.digest}', {literal(form) if form else 'NULL'})"
        for policy, form in policies
    )
    table, form = written(place), " ".join(_FORM.split())
    body = (
        f"DECLARE told text; BEGIN SELECT jsonb_object_agg(p.polname, given.digest || coalesce(given.form, {form}))"  # noqa: S608 - quoted
        f" INTO told FROM pg_catalog.pg_policy p JOIN (VALUES {listed}) AS given (name, digest, form)"
        f" ON given.name = p.polname WHERE p.polrelid = {literal(table)}::pg_catalog.regclass;"
        f" EXECUTE format('COMMENT ON POLICY %I ON %s IS %L', {literal(policies[0][0].name)}, {literal(table)},"
        f" {literal(_MARK)} || told); END"
    )
    mark = "$ringfence$"
    while mark in body:
        mark = f"{mark[:-1]}_$"
    return statement(f"DO {mark} {body} {mark}")


def written(place: Place) -> str:
    """Return the quoted name of a table.

    Args:
        place: the table's schema and name.
    """
    return ".".join(map(quoted, place))


def statement(sql: str, about: Change | None = None) -> Statement:
    """Build a statement without parameters.

    Args:
        sql: the statement, with single percent signs.
        about: what it changes, for a plan.
    """
    return Statement(sql.replace("%", "%%"), shown=sql, about=about)
