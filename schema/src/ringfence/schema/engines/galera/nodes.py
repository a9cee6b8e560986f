"""Comparison of the nodes of a Galera cluster: no node knows whether the others could apply what it applied."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.runtime.settings import Host
from ringfence.schema.engines.base import Accounts, Findings, OpenConnections
from ringfence.schema.engines.galera.schema_shape import Events, schema_items
from ringfence.schema.engines.mariadb.server import MariaDBAccounts, MariaDBConnections, MariaDBRowSecurity
from ringfence.schema.engines.mysql.checks import FamilyChecks
from ringfence.schema.grants.difference import Privilege

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.family import MySQLFamily

_SHOWN = 5  # differences that are listed for each node
_FEWEST = 3  # nodes: with fewer, losing one loses the majority
_SYNCED = "4"


class GaleraAccounts(MariaDBAccounts):
    """Accounts of a cluster: each statement is replicated to every node."""

    def _connections(self) -> "GaleraConnections":
        return GaleraConnections(self)


class GaleraConnections(MariaDBConnections):
    """The open connections of accounts on all nodes."""

    def open(self, connection: sa.Connection, logins: Iterable[str]) -> list[OpenConnections]:
        """Return the open connections of the logins on all nodes, of which each knows only its own.

        A node that does not answer is left out: connections to it do not work either.
        """
        logins, seen = tuple(logins), set[str | None]()
        found: list[OpenConnections] = []
        for host in _hosts(self._accounts.backend, connection):
            with (
                suppress(sa.exc.OperationalError),
                closing(self._accounts.backend.at(host).engine().connect()) as node,
            ):
                name = _status(node, "wsrep_gcomm_uuid")
                here = [] if name in seen else super().open(node, logins)
                found += [replace(one, node=f"{host.host}:{host.port}") for one in here]
                seen.add(name)
        return found

    def how_to_end(self, connection: sa.Connection, login: str) -> str:
        """Return how to end the connections of a login on each node."""
        return f"on each node: {super().how_to_end(connection, login)}"


class GaleraNodes:
    """The nodes of a cluster, whose schemas and accounts are compared.

    Args:
        backend: its settings name the hosts.
    """

    def __init__(self, backend: "MySQLFamily") -> None:
        self._backend = backend

    def compare_schemas(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """Compare the schema of the other nodes with that of the connection's node.

        No node knows whether the others could apply what it applied.
        """
        events = Events()

        def state(node: sa.Connection) -> set[str]:
            events.add(node, schemas)
            return schema_items(node, schemas)

        wrong, unproven = compare(self._backend, connection, state)
        return wrong + ([] if unproven else events.wrong()), unproven

    def compare_accounts(
        self, connection: sa.Connection, accounts: Accounts, logins: Iterable[str], schemas: Iterable[str]
    ) -> tuple[list[str], list[str]]:
        """Compare the accounts and row security of the other nodes with those of the connection's node.

        Sessions wait for earlier writes (`wsrep_sync_wait`), so that a node that lags is not reported as different.
        """
        logins, schemas = tuple(logins), tuple(schemas)
        return compare(
            self._backend, connection, lambda node: set(map(str, _state(node, accounts, logins, schemas)))
        )


class GaleraChecks(FamilyChecks):
    """The checks of one database of a cluster."""

    def environment(self, connection: sa.Connection) -> Findings:
        """Return what may hinder a migration: the state of the node's sessions, and that of the cluster."""
        found, cluster = super().environment(connection), cluster_findings(connection)
        return Findings(found.errors + cluster.errors, found.warnings + cluster.warnings)


def _state(
    connection: sa.Connection, accounts: Accounts, logins: tuple[str, ...], schemas: tuple[str, ...]
) -> set[Privilege | str]:
    """Return the privileges of the accounts, whether these are locked, and the objects of row security."""
    existing = accounts.roles.existing(connection, logins).values()
    enabled = {f"the account {a.login}{'' if a.enabled else ', locked'}" for a in existing}
    digests = MariaDBRowSecurity.stored_digests(connection, {*schemas, MariaDBAccounts.database(connection)})
    objects = {f"the {kind} {schema}.{name} ({made[:8]})" for (kind, schema, name), made in digests.items()}
    return {*accounts.privileges.held(connection, logins, schemas), *enabled, *objects}


def compare(
    backend: "MySQLFamily", connection: sa.Connection, state: Callable[[sa.Connection], set[str]]
) -> tuple[list[str], list[str]]:
    """Compare the other nodes with the node of the connection.

    Args:
        backend: its settings name the hosts.
        connection: to the node that the others are compared with.
        state: reads from a node what is compared, one text for each item.

    Returns:
        The differences of each node, with how to resolve them; and the nodes that could not be compared.
    """
    here = state(connection)
    compared = {_status(connection, "wsrep_gcomm_uuid")}
    wrong, unproven = [], []
    for host in _hosts(backend, connection):
        try:
            with closing(backend.at(host).engine().connect()) as other:
                name = _status(other, "wsrep_gcomm_uuid")
                other_state = here if name in compared else state(other)
                compared.add(name)
        except sa.exc.DBAPIError as error:
            unproven.append(f"the node {host.host}:{host.port} could not be compared: {error.orig}")
            continue
        differences = [f"has not {what}" for what in sorted(here - other_state)]
        differences += [f"has, alone, {what}" for what in sorted(other_state - here)]
        if differences:
            more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
            wrong.append(
                f"the node {host.host}:{host.port} {', '.join(differences[:_SHOWN])}{more}: let it rejoin"
                " the cluster by a state transfer"
            )
    size = int(_status(connection, "wsrep_cluster_size") or 0)
    if len(compared) < size and not unproven:
        unproven.append(
            f"{len(compared)} of {size} nodes were compared: name the others in DB_HOST, host:port with commas"
        )
    return wrong, unproven


def cluster_findings(connection: sa.Connection) -> Findings:
    """Return what in the state of the cluster prevents DDL, and what puts it at risk."""
    found = Findings()
    if (status := _status(connection, "wsrep_cluster_status")) != "Primary":
        found.errors.append(
            f"this node is in a part of the cluster that has no majority ({status}): DB_HOST must name the others"
        )
    method = connection.exec_driver_sql("SELECT @@SESSION.wsrep_OSU_method").scalar()
    if method != "TOI":
        found.errors.append(
            f"wsrep_OSU_method is {method}, so DDL would stay on one node: SET GLOBAL wsrep_OSU_method = 'TOI'"
        )
    size = int(_status(connection, "wsrep_cluster_size") or 0)
    if size < _FEWEST:
        found.warnings.append(
            f"the cluster has {size} node{'' if size == 1 else 's'}: losing one more stops all writing"
        )
    if (state := _status(connection, "wsrep_local_state")) != _SYNCED:
        found.errors.append(f"this node is not synced (state {state}): wait until it is, or go to another")
    return found


def _hosts(backend: "MySQLFamily", connection: sa.Connection) -> Iterator[Host]:
    """Yield the hosts of the settings, then the other addresses at which the cluster's nodes accept clients."""
    hosts = dict.fromkeys(backend.settings.hosts)
    for address in (_status(connection, "wsrep_incoming_addresses") or "").split(","):
        name, colon, port = address.strip().rpartition(":")
        if colon and name and port.isdigit() and int(port):
            hosts.setdefault(Host(name.strip("[]"), int(port)))
    yield from hosts


def _status(connection: sa.Connection, name: str) -> str | None:
    value = connection.exec_driver_sql(
        "SELECT variable_value FROM information_schema.global_status WHERE variable_name = %s",
        (name.upper(),),
    ).scalar()
    return None if value is None else str(value)
