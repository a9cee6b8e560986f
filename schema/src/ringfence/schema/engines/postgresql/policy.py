"""One policy, as it should be and as it is, and what is remembered of it.

What a policy should be is told by its statement, what it is by the server's own form of it. Digests of both stand in a
comment, so that a change by hand is seen, and a policy that is as it was made is left alone. One policy of each table
bears them all: a comment on each would take a lock for each until the transaction ends, and the server has few.
"""

import hashlib
import json
from dataclasses import dataclass, replace

import sqlalchemy as sa

from ringfence.schema.engines.base import Change, Statement
from ringfence.schema.engines.postgresql.identifiers import quoted
from ringfence.schema.engines.postgresql.policy_conditions import literal

PREFIX = "ringfence_"
_LONGEST = 63  # bytes of a name
_DIGEST = 16
_MARK = "ringfence "
_ROLES = """ARRAY(SELECT coalesce(r.rolname::text, '') FROM unnest(p.polroles) given
                  LEFT JOIN pg_catalog.pg_roles r ON r.oid = given ORDER BY 1)"""
# The server's own form of a policy; nothing in it changes while nobody alters the policy.
_FORM = f"""md5(concat_ws(' | ', p.polcmd, p.polpermissive, {_ROLES}::text,
    coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), '-'),
    coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '-')))"""
_POLICIES = f"""
    SELECT n.nspname, c.relname, p.polname, p.polcmd, p.polpermissive, {_ROLES}, {_FORM},
           pg_catalog.obj_description(p.oid, 'pg_policy'),
           pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2, 3
"""  # noqa: S608 - our own words
COMMANDS = {"select": "r", "insert": "a", "update": "w", "delete": "d"}
USING, CHECK = frozenset({"r", "w", "d", "*"}), frozenset({"a", "w", "*"})

Place = tuple[str, str]
"""A table's real schema and name."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One that should be."""

    place: Place
    name: str
    command: str
    whom: str
    """`TO …`, and the conditions."""
    login: str = ""
    by: str = ""
    """The lines of the manifest."""

    @property
    def digest(self) -> str:
        """Another one for another policy."""
        return hashlib.sha256(f"{self.command} {self.whom}".encode()).hexdigest()[:_DIGEST]

    def create(self) -> Statement:
        """Make it."""
        place = f"{quoted(self.name)} ON {written(self.place)}"
        verb = _verb(self.command).upper()
        return statement(f"CREATE POLICY {place} AS PERMISSIVE FOR {verb} {self.whom}", self.made("-"))

    def alter(self) -> Statement:
        """Make one of its kind into it."""
        altered = f"ALTER POLICY {quoted(self.name)} ON {written(self.place)} {self.whom}"
        return statement(altered, self.made("another"))

    def made(self, held: str) -> Change:
        """What making it changes; `held` is what stands now."""
        on = f"policy {self.name} on {'.'.join(self.place)}"
        finding = "missing" if held == "-" else "excess"
        whom, verb = self.whom.partition(" ")[2], _verb(self.command)
        return Change(on, held, whom, self.login, self.by, self.place, verb, finding)


@dataclass(frozen=True, slots=True)
class Found:
    """One that is; `roles` holds an empty name for everybody, and `form` the digest of the server's form."""

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
        """Whether it stands under a name of ours."""
        return self.name.startswith(PREFIX)

    def remembered(self) -> dict[str, str]:
        """What its comment says of the table's policies: name -> digest and form."""
        try:
            said = json.loads((self.comment or "").removeprefix(_MARK))
        except ValueError:
            return {}
        return {name: str(told) for name, told in said.items()} if isinstance(said, dict) else {}

    def close(self) -> Statement:
        """Let nobody see a row through it, and let it hang on no column; with what opens it again as it was."""
        alter = f"ALTER POLICY {quoted(self.name)} ON {written(self.place)}"
        using, check = self.command in USING, self.command in CHECK
        shut = f"{' USING (false)' if using else ''}{' WITH CHECK (false)' if check else ''}"
        opened = f" USING ({self.using})" if using and self.using else ""
        opened += f" WITH CHECK ({self.check})" if check and self.check else ""
        return replace(statement(f"{alter}{shut}"), undone=f"{alter}{opened}".replace("%", "%%"))

    def drop(self) -> Statement:
        """Take it away."""
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
    """What a policy is for; nothing where it is for all verbs."""
    return next((verb for verb, word in COMMANDS.items() if word == command), "")


def policy_name(login: str, verb: str) -> str:
    """The name of an account's policy for a verb, the same at each run; within 63 bytes."""
    name = f"{PREFIX}{verb}_{login}"
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(login.encode()).hexdigest()[:8]
    return name.encode()[: _LONGEST - 9].decode(errors="ignore") + "_" + digest


def policies_of(connection: sa.Connection) -> list[Found]:
    """Every policy of the database."""
    return [
        Found((schema, table), name, command, permissive, frozenset(roles), *rest)
        for schema, table, name, command, permissive, roles, *rest in connection.exec_driver_sql(_POLICIES)
    ]


def remember(place: Place, policies: list[tuple[Policy, str | None]]) -> Statement:
    """Write the digests into a comment, with the form of those just made as the server has them by now."""
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
    """A table as it is written."""
    return ".".join(map(quoted, place))


def statement(sql: str, about: Change | None = None) -> Statement:
    """A statement without parameters, and what it is about."""
    return Statement(sql.replace("%", "%%"), shown=sql, about=about)
