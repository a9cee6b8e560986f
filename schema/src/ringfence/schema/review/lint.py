"""The manifest's lint: finds valid entries that cannot have the intended effect, each with how to resolve it."""

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.documents import Document
from ringfence.schema.errors import SchemaError
from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.manifest.parsing import Manifest, parse_manifest
from ringfence.schema.models.defaults import insert_sequence
from ringfence.schema.review.finding import NOTE, WARNING, Finding, finding
from ringfence.schema.review.indexes import unusable_indexes
from ringfence.schema.review.review import manifest_name
from ringfence.schema.review.rows import row_findings, unused_scopes
from ringfence.schema.review.values import notes, plain_passwords, service_defaults


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
        target = constraint.elements[0].target_fullname.rpartition(".")[0]
        written = grant.columns is None or set(names) <= set(grant.columns)
        if written and target != grant.key and (target, "select") not in grants:
            yield finding(
                "unseen-target",
                NOTE,
                grant.origin,
                f"{account.service!r} has {grant.verb} on {', '.join(names)} of {grant.key!r}, which points to"
                f" {target!r}, and may not read that table: it learns from an error alone whether a key exists",
                "give it select on the key there, unless it is told its keys",
            )
