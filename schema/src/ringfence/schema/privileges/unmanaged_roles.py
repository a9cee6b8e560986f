"""Logins of the manifest that are somebody else's, may do too much, or are reached by others: no apply touches them."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, Login
from ringfence.schema.manifest.model import Account
from ringfence.schema.state import releases

_OF_LOGINS = frozenset(
    {"attribute", "grant elsewhere", "membership", "proxy", "public", "server right", "setting"}
)
"""The kinds of exposures that no revision mends: they are of logins, roles and the server, not of the schema."""


def foreign_logins(
    connection: sa.Connection, backend: Backend, deployment: Deployment, *, adopt: bool = False
) -> list[str]:
    """Why no apply would touch the accounts: what a job can know before its first revision.

    What a revision may mend, as a view or the owner of a table, is left to the apply that follows.

    Args:
        connection: the admin's.
        backend: the server.
        deployment: what is wanted.
        adopt: whether accounts that exist and are not yet ours may be taken over.

    Returns:
        Each reason with the way out: a declared login that is somebody else's or too strong, with its line of the
        manifest; an exposure that the admin may not close.
    """
    accounts, ours = backend.accounts, set[str]()
    if accounts is None:
        return []
    declared = list(deployment.accounts.values())
    if sa.inspect(connection).has_table(releases.account.name):
        accounts, ours = accounts.at(connection, declared), set(releases.accounts(connection))
    existing = accounts.existing(connection, {account.login for account in declared})
    found = list(refusals(declared, existing, ours, adopt=adopt))
    managed = [login for login in existing if login in ours or adopt]
    exposed = accounts.at(connection, declared).exposures(connection, deployment, managed)
    return found + [
        str(one)
        for one in exposed
        if one.kind in _OF_LOGINS and one.refuses and one.repair is None and not one.covered
    ]


def refusals(
    declared: Iterable[Account], existing: Mapping[str, Login], ours: Collection[str], *, adopt: bool
) -> Iterator[str]:
    """What an apply says of them.

    Args:
        declared: the accounts of the manifest.
        existing: login -> the account that is on the server.
        ours: the logins that were made for this database.
        adopt: whether accounts that exist and are not yet ours may be taken over.

    Returns:
        Why a login is left alone, with its line of the manifest and the way out.
    """
    for account in declared:
        there = existing.get(account.login)
        if there is None:
            continue
        ours_too = account.login in ours
        if strong := there.too_strong or (None if ours_too else there.beyond):
            yield f"{account.origin}: the login {account.login!r} {strong}; choose another"
        elif not ours_too and not adopt:
            yield (
                f"{account.origin}: the login {account.login!r} exists on the server and was not made for this"
                " database; choose another, drop it, or take it over with --adopt"
            )
