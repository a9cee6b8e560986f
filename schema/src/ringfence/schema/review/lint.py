"""The manifest's lint: finds valid entries that cannot have the intended effect, each with how to resolve it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.documents import Document
from ringfence.schema.engines import lost_indexes
from ringfence.schema.engines.postgresql.leakproof_indexes import UnusableIndex
from ringfence.schema.errors import SchemaError
from ringfence.schema.manifest.model import Account, Conjunction, Grant, Origin
from ringfence.schema.manifest.parsing import Manifest, parse_manifest
from ringfence.schema.manifest.scopes import includes, to_text
from ringfence.schema.models.defaults import SERVICE, default, on_update
from ringfence.schema.models.password_columns import is_unmarked_password
from ringfence.schema.models.sequences import insert_sequence
from ringfence.schema.models.types import portable
from ringfence.schema.review.manifest_diff import manifest_name
from ringfence.schema.sql.table_keys import referred_table

WARNING, NOTE = "warning", "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of the lint.

    `level` is "note" or "warning"; only a warning makes the check fail. `resolution` says how to resolve it.
    """

    id: str
    level: str
    file: str
    line: int
    message: str
    resolution: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level} {self.id}: {self.message}; {self.resolution}"


def finding(name: str, level: str, origin: Origin, message: str, resolution: str) -> Finding:
    """Make a finding at a line of the manifest.

    Args:
        name: the finding's identifier, such as "blind-write".
        level: WARNING or NOTE.
        origin: the line.
        message: what is wrong.
        resolution: how to resolve it.
    """
    return Finding(name, level, origin.file, origin.line, message, resolution)


class LintFailed(SchemaError):
    """The lint of the manifest found warnings.

    Args:
        message: says how many.
        findings: every finding as JSON; they become part of `details`.
    """

    def __init__(self, message: str, findings: list[dict[str, object]]) -> None:
        self.details = {"findings": findings}
        super().__init__(message)


def lint(deployment: Deployment) -> list[Finding]:
    """Check the manifest of a loaded deployment; violated guards were already reported as mistakes on loading.

    Args:
        deployment: its manifest, models and engines.

    Returns:
        The findings, each once, in the order of the manifest's lines.
    """
    file = manifest_name(deployment)
    document = Document(file, (deployment.root / file).read_text(encoding="utf-8"))
    found = list(_unused(file, parse_manifest(document)))
    for account in deployment.accounts.values():
        grants = {(grant.key, grant.verb): grant for grant in account.grants}
        for grant in account.grants:
            table = deployment.tables[grant.key]
            found += _blind_writes(account, grant, grants)
            found += _incomplete_inserts(account, grant, table)
            found += _unseen_targets(account, grant, table, grants)
            found += row_findings(account, grant, table, grants)
            found += service_defaults(deployment, account, grant, table)
            found += plain_passwords(account, grant, table)
    found += unused_scopes(deployment)
    found += unusable_indexes(deployment)
    found += notes(deployment)
    return sorted(set(found), key=lambda one: (one.line, one.id, one.message))


def _unused(file: str, manifest: Manifest) -> Iterator[Finding]:
    joined = {name.text for entry in manifest.accounts for name in entry.groups}
    for name, (where, _) in manifest.groups.items():
        if name not in joined:
            yield Finding(
                "unused-group",
                WARNING,
                file,
                where.line,
                f"no account is in the group {name!r}",
                "name it under an account's `groups:`, or take it out",
            )
    named = [name for rules in manifest.all_rules() for name in rules.except_] + [
        guard.key for guard in manifest.guards
    ]
    used = {name.text.removeprefix("$") for name in named if name.text.startswith("$")}
    for name, members in manifest.sets.items():
        if name not in used and members:
            yield Finding(
                "unused-set",
                WARNING,
                file,
                members[0].line,
                f"nothing uses the set {name!r}",
                f"write `except: [${name}]` or a guard `${name}:` where it is meant, or take it out",
            )


def _blind_writes(
    account: Account, grant: Grant, grants: Mapping[tuple[str, str], Grant]
) -> Iterator[Finding]:
    """An UPDATE or DELETE without SELECT: its WHERE cannot read a column, so it affects every row or fails."""
    if grant.verb in ("update", "delete") and (grant.key, "select") not in grants:
        yield finding(
            "blind-write",
            WARNING,
            grant.origin,
            f"{account.service!r} has {grant.verb} on {grant.key!r} and no select: it can choose no row",
            "give it select on the key at least",
        )


def _incomplete_inserts(account: Account, grant: Grant, table: sa.Table) -> Iterator[Finding]:
    """An INSERT without the privilege on a column that is NOT NULL and has no server default."""
    if grant.verb != "insert" or grant.columns is None:
        return
    lacking = [
        column.name
        for column in table.columns
        if column.name not in grant.columns and not column.nullable and not _fills_itself(table, column)
    ]
    if lacking:
        yield finding(
            "incomplete-insert",
            WARNING,
            grant.origin,
            f"{account.service!r} may insert into {grant.key!r} but not into {', '.join(lacking)}, which must have a"
            " value and has no default on the server: every insert fails",
            "name it under `insert:`, or under `also:` where it is sensitive, or give it a server default",
        )


def _fills_itself(table: sa.Table, column: sa.Column[object]) -> bool:
    given = column.server_default is not None or column.identity is not None or column.computed is not None
    return given or (column is table.autoincrement_column and insert_sequence(column) is None)


def _unseen_targets(
    account: Account, grant: Grant, table: sa.Table, grants: Mapping[tuple[str, str], Grant]
) -> Iterator[Finding]:
    """A write of a foreign key whose target the account cannot read: it only learns from errors which keys exist."""
    if grant.verb not in ("insert", "update"):
        return
    for constraint in table.foreign_key_constraints:
        names = [column.name for column in constraint.columns]
        target = referred_table(constraint.elements[0])
        written = grant.columns is None or set(names) <= set(grant.columns)
        if written and target != grant.key and (target, "select") not in grants:
            yield finding(
                "unseen-target",
                NOTE,
                grant.origin,
                f"{account.service!r} has {grant.verb} on {', '.join(names)} of {grant.key!r}, which points to"
                f" {target!r}, and may not read that table: it learns from an error alone whether a key exists",
                "give it select on the key there, unless it gets the keys in another way",
            )


def row_findings(
    account: Account, grant: Grant, table: sa.Table, grants: Mapping[tuple[str, str], Grant]
) -> Iterator[Finding]:
    """Check the scope of one grant.

    Args:
        account: has the grant.
        grant: without a scope, nothing is found.
        table: that the grant is on.
        grants: all grants of the account, by table key and verb.
    """
    if grant.scope is not None:
        yield from _wide_writes(account, grant, grants)
        yield from _outside_inserts(account, grant, table)
        yield from _scopes_without_index(account, grant, table)


def unused_scopes(deployment: Deployment) -> Iterator[Finding]:
    """Report the scopes that are declared under `scopes:` and used by no `rows:` and no view."""
    used = {name for account in deployment.accounts.values() for name in account.bound}
    for name, scope in deployment.policy.scopes.items():
        if name not in used and scope.origin is not None:
            yield finding(
                "unused-scope",
                WARNING,
                scope.origin,
                f"no rows are bound to {name!r}, and no view reads it",
                f'write `column: ":{name}"` under `rows:` of a table, or `binds: [{name}]` at a view, or take it out',
            )


def _wide_writes(
    account: Account, grant: Grant, grants: Mapping[tuple[str, str], Grant]
) -> Iterator[Finding]:
    """A write whose declared rows go beyond those of SELECT: it never reaches the additional rows."""
    seen = grants.get((grant.key, "select"))
    if grant.declared_scope is None or seen is None or includes(seen.scope, grant.declared_scope):
        return
    yield finding(
        "wide-write",
        WARNING,
        grant.origin,
        f"{account.service!r} has {grant.verb} on the rows of {grant.key!r} with {to_text(grant.declared_scope)},"
        f" and sees those with {to_text(seen.scope)}: it affects only rows that it sees",
        "give select the same rows, or name the narrower ones for both",
    )


def _outside_inserts(account: Account, grant: Grant, table: sa.Table) -> Iterator[Finding]:
    """An INSERT that may not fill the columns of its scope, so that no new row can be inside the scope."""
    if grant.verb != "insert" or grant.columns is None or grant.scope is None:
        return
    if all(_unfilled(part, grant, table) for part in grant.scope):
        lacking = ", ".join(
            dict.fromkeys(name for part in grant.scope for name in _unfilled(part, grant, table))
        )
        yield finding(
            "outside-insert",
            WARNING,
            grant.origin,
            f"{account.service!r} may insert into {grant.key!r} rows with {to_text(grant.scope)}, and may not give"
            f" {lacking}: every insert is refused",
            "name it under `insert:`, or give it that default on the server",
        )


def _unfilled(part: Conjunction, grant: Grant, table: sa.Table) -> list[str]:
    return [
        condition.column
        for condition in part
        if condition.kind != "null"
        and condition.column not in (grant.columns or ())
        and table.columns[condition.column].server_default is None
    ]


def _scopes_without_index(account: Account, grant: Grant, table: sa.Table) -> Iterator[Finding]:
    """A scope is a condition of every statement; where no index begins with its columns, each reads the whole table."""
    led = {
        str(next(iter(columns)).name)
        for columns in (
            table.primary_key.columns,
            *(index.columns for index in table.indexes),
            *(item.columns for item in table.constraints if isinstance(item, sa.UniqueConstraint)),
        )
        if len(columns)
    } | {str(column.name) for column in table.columns if column.unique or column.index}
    for part in grant.scope or ():
        names = [condition.column for condition in part]
        if grant.verb != "insert" and not led & set(names):
            yield finding(
                "scope-without-index",
                WARNING,
                grant.origin,
                f"no index of {grant.key!r} begins with {' or '.join(names)}, by which {account.service!r} is limited"
                " to its rows: every statement reads the whole table",
                f"index {names[0]} in the models",
            )


def service_defaults(
    deployment: Deployment, account: Account, grant: Grant, table: sa.Table
) -> Iterator[Finding]:
    """Report columns whose default is Python code of the models that services do not run.

    Args:
        deployment: its engines.
        account: has the grant.
        grant: of insert or update; any other has no finding.
        table: that the grant is on.

    Yields:
        At most one note, which names all such columns.
    """
    read = {"insert": default, "update": on_update}.get(grant.verb)
    if read is None:
        return
    lacking = []
    for column in table.columns:
        if grant.columns is None or column.name in grant.columns:
            arises = read(column, portable(column.type, deployment.engines), deployment.engines)
            if arises is not None and arises.kind == SERVICE:
                lacking.append(f"{column.name} ({arises.value})")
    if lacking:
        yield finding(
            "service-default",
            NOTE,
            grant.origin,
            f"{account.service!r} has {grant.verb} on {grant.key!r}, and gives itself {', '.join(lacking)}",
            "name it in each such statement, or declare a `server_default`, or a default of Python that is known by its"
            " meaning: a constant, uuid4, now",
        )


def plain_passwords(account: Account, grant: Grant, table: sa.Table) -> Iterator[Finding]:
    """Report columns of which PyDAL forms would store a password in plain text.

    Args:
        account: has the grant.
        grant: of insert or update; any other has no finding.
        table: that the grant is on.

    Yields:
        A note for each text column that is named like a password and has no `info={"password": …}`.
    """
    if grant.verb not in ("insert", "update"):
        return
    for column in table.columns:
        granted = grant.columns is None or column.name in grant.columns
        if granted and is_unmarked_password(column):
            yield finding(
                "plain-password",
                NOTE,
                grant.origin,
                f"{account.service!r} has {grant.verb} on {grant.key}.{column.name}, which is not marked as a password:"
                " what a form or py4web's Auth is given is stored as it is",
                'mark it info={"password": True}, or {"password": False} where the program stores a hash itself',
            )


def notes(deployment: Deployment) -> Iterator[Finding]:
    """The notes of loading the deployment, as findings."""
    for note in deployment.notes:
        yield Finding(
            "models-note",
            NOTE,
            note.file,
            note.line or 1,
            note.message,
            "where that is intended, nothing needs to be done",
        )


def unusable_indexes(deployment: Deployment) -> Iterator[Finding]:
    """Report each index of the models that the scoped accounts of its table cannot use.

    Args:
        deployment: its engines, models and accounts.

    Yields:
        One note for each index, which names all its accounts, at the line of the first of them.
    """
    found: dict[tuple[str, UnusableIndex], dict[str, Grant]] = {}
    for account in deployment.accounts.values():
        for grant in account.grants:
            if grant.scope is None or grant.verb == "insert":
                continue
            columns = tuple(dict.fromkeys(one.column for part in grant.scope for one in part))
            for lost in lost_indexes(deployment.engines, deployment.tables[grant.key], columns):
                found.setdefault((grant.key, lost), {}).setdefault(account.service, grant)
    for (key, lost), grants in found.items():
        grant = next(iter(grants.values()))
        begin = ", ".join(dict.fromkeys(one.column for part in grant.scope or () for one in part))
        keeps = f"; or {lost.resolution}" if lost.resolution else ""
        yield finding(
            "unusable-index",
            NOTE,
            grant.origin,
            f"PostgreSQL searches {lost.index} of {key!r} by {lost.what} for no condition of"
            f" {', '.join(map(repr, grants))}, kept to rows by a policy: {lost.why}",
            f"begin it with {begin}, so that the account's own rows alone are read{keeps}",
        )
