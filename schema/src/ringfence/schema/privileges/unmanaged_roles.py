"""Find declared logins that an apply must not change: not managed, too privileged, or exposed to other roles."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, Login
from ringfence.schema.manifest.model import Account
from ringfence.schema.state import releases

_OF_LOGINS = frozenset(
    {"attribute", "grant elsewhere", "membership", "proxy", "public", "server right", "setting"}
)
"""Kinds of exposures that no revision can remove: they concern logins, roles and the server, not the schema."""


def blocking_logins(
    connection: sa.Connection, backend: Backend, deployment: Deployment, *, adopt: bool = False
) -> list[str]:
    """Find the reasons to refuse an apply that a job can know before its first revision.

    Exposures that a revision may remove (of a view, or of the owner of a table) are left to the apply that follows.

    Args:
        connection: the admin's.
        backend: the server.
        deployment: its accounts.
        adopt: whether existing accounts that are not managed yet may be taken over.

    Returns:
        Each reason with how to resolve it: a declared login that is not managed or too privileged, with its line of
        the manifest; an exposure that the admin cannot remove.
    """
    accounts, managed = backend.accounts, set[str]()
    if accounts is None:
        return []
    declared = list(deployment.accounts.values())
    if sa.inspect(connection).has_table(releases.account.name):
        accounts = accounts.hosts.at_declared(connection, declared)
        managed = set(releases.accounts(connection))
    existing = accounts.roles.existing(connection, {account.login for account in declared})
    found = list(refusals(declared, existing, managed, adopt=adopt))
    changed = [login for login in existing if login in managed or adopt]
    exposed = accounts.hosts.at_declared(connection, declared).inspection.exposures(
        connection, deployment, changed
    )
    return found + [
        str(one)
        for one in exposed
        if one.kind in _OF_LOGINS and one.refuses and one.repair is None and not one.reported_elsewhere
    ]


def refusals(
    declared: Iterable[Account], existing: Mapping[str, Login], managed: Collection[str], *, adopt: bool
) -> Iterator[str]:
    """Yield why an apply refuses to change a declared login.

    Args:
        declared: the accounts of the manifest.
        existing: login -> the account on the server.
        managed: the managed logins, which were created or adopted for this database.
        adopt: whether existing accounts that are not managed yet may be taken over.

    Yields:
        A reason, with the line of the manifest and how to resolve it.
    """
    for account in declared:
        present = existing.get(account.login)
        if present is None:
            continue
        is_managed = account.login in managed
        if strong := present.unfit or (None if is_managed else present.excess_attribute):
            yield f"{account.origin}: the login {account.login!r} {strong}; choose another"
        elif not is_managed and not adopt:
            yield (
                f"{account.origin}: the login {account.login!r} exists on the server and was not made for this"
                " database; choose another, drop it, or take it over with --adopt"
            )
