"""The part of the manifest's lint that checks `rows:` and `scopes:`."""

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.manifest.model import Account, Conjunction, Grant
from ringfence.schema.manifest.scopes import includes, to_text
from ringfence.schema.review.finding import WARNING, Finding, finding


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
        f" and sees those with {to_text(seen.scope)}: it reaches no more than it sees",
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
                f"no index of {grant.key!r} begins with {' or '.join(names)}, by which {account.service!r} is kept to"
                " its rows: every statement reads the whole table",
                f"index {names[0]} in the models",
            )
