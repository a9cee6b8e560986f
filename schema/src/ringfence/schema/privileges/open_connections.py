"""Find open connections that keep a right after it is revoked, because the server reads it only at login."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from ringfence.schema.engines import Accounts, Exposure, OpenConnections
from ringfence.schema.engines.base import Connections
from ringfence.schema.engines.effective_rights import listed
from ringfence.schema.grants.difference import Difference, bundles
from ringfence.schema.text import counted

KeptRights = dict[str, list[str]]
"""login -> the rights that its open connections keep."""


@dataclass(frozen=True, slots=True)
class RemainingConnections:
    """The open connections of one login, which an apply does not end.

    Args:
        login: the account.
        opened: how many connections there are, and from where.
        keeps: the revoked rights that they keep.
        leaves: whether the login is no longer declared.
        resolution: how to end them.
    """

    login: str
    opened: tuple[OpenConnections, ...]
    keeps: tuple[str, ...]
    leaves: bool
    resolution: str

    def as_dict(self) -> dict[str, object]:
        """Return the connections as a dictionary for a JSON document."""
        return {
            "login": self.login,
            "connections": [
                {key: value for key, value in asdict(one).items() if key != "login"} for one in self.opened
            ],
            "keeps": list(self.keeps),
            "leaves": self.leaves,
            "resolution": self.resolution,
        }

    def __str__(self) -> str:
        number = counted(sum(one.count for one in self.opened), "connection")
        keeps = f"keep until they end {listed(self.keeps)}"
        if self.leaves:
            does = "continue after it is locked or dropped" + (f", and {keeps}" if self.keeps else "")
            state = f"{self.login} is no longer declared, and has {number} open"
        else:
            does, state = f"{keeps}, which is revoked", f"{self.login} has {number} open"
        return f"{state} ({listed(map(str, self.opened))}): they {does}. {self.resolution}"


def find_open_connections(
    connections: Connections,
    connection: sa.Connection,
    keeps: Mapping[str, Collection[str]],
    removed: Iterable[str],
) -> Iterator[RemainingConnections]:
    """Find the open connections of logins that are no longer declared, or lose a right that connections keep.

    Args:
        connections: those of the accounts.
        connection: the admin's.
        keeps: login -> the revoked rights that its open connections keep.
        removed: the logins that are no longer declared.

    Yields:
        The connections of one login, in the order of the logins.
    """
    removed = set(removed)
    logins = sorted({*keeps, *removed})
    found: dict[str, list[OpenConnections]] = {}
    for one in connections.open(connection, logins) if logins else ():
        found.setdefault(one.login, []).append(one)
    for login in logins:
        if login in found:
            ends = connections.how_to_end(connection, login)
            resolution = f"Once it is applied, restart the service, or end them: {ends}"
            kept = tuple(dict.fromkeys(keeps.get(login, ())))
            yield RemainingConnections(login, tuple(found[login]), kept, login in removed, resolution)


def rights_kept(
    accounts: Accounts,
    connection: sa.Connection,
    change: Difference,
    exposures: Iterable[Exposure],
    moved: set[str],
) -> KeptRights:
    """Find the rights that an apply removes and that open connections keep until they end.

    Args:
        accounts: the server's accounts.
        connection: the admin's.
        change: the privileges that are revoked.
        exposures: the exposures, of which those with a repair are removed.
        moved: logins whose account at another host is dropped.

    Returns:
        The rights, by login.
    """
    lost = set(change.revoke)
    for current, logins in accounts.hosts.at_current(connection) if moved else ():
        lost |= current.privileges.held(connection, sorted(moved & set(logins)), ())
    found: KeptRights = {}
    for bundle in bundles(p for p in lost if accounts.privileges.survives_revoke(p)):
        verbs = ", ".join(verb.upper() for verb, _ in bundle.verbs)
        found.setdefault(bundle.login, []).append(
            _description(bundle.kind, bundle.schema, bundle.name, verbs)
        )
    for one in exposures:
        for login, what in one.lasting_connections if one.repair is not None else ():
            found.setdefault(login, []).append(what)
    return found


def _description(kind: str, schema: str, name: str, verbs: str) -> str:
    if kind == "role":
        return f"the role {name}"
    return f"{verbs} on the server" if kind == "server" else f"{verbs} on the database {schema or name}"
