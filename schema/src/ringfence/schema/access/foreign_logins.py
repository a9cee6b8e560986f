"""Logins of the manifest that are somebody else's, or may do too much: no apply touches them."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import sqlalchemy as sa

from ringfence.schema.access.manifest import Account
from ringfence.schema.backends import Backend, Login
from ringfence.schema.deployment import Deployment
from ringfence.schema.migrate import releases


def foreign_logins(
    connection: sa.Connection, backend: Backend, deployment: Deployment, *, adopt: bool = False
) -> list[str]:
    """The declared logins that no apply would touch: what a job can know before its first revision.

    Args:
        connection: the admin's.
        backend: the server.
        deployment: what is wanted.
        adopt: whether accounts that exist and are not yet ours may be taken over.

    Returns:
        Why each of them is left alone, with its line of the manifest and the way out.
    """
    accounts, ours = backend.accounts, set[str]()
    if accounts is None:
        return []
    declared = list(deployment.accounts.values())
    if sa.inspect(connection).has_table(releases.account.name):
        accounts, ours = accounts.at(connection, declared), set(releases.accounts(connection))
    existing = accounts.existing(connection, {account.login for account in declared})
    return list(refusals(declared, existing, ours, adopt=adopt))


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
