"""The hosts of accounts on the MySQL family: where the managed accounts are, and how one moves to another host.

A login can have an account at each of several hosts. The table `ringfence_host` records at which of them the account is
managed; a login without a row there is at `%`. The server looks up privileges on tables by login and address, not by
account. While the old account exists, its privileges therefore also serve the new one where the address matches both,
so that a service lacks nothing between two statements.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from ringfence.schema.engines.base import Statement
from ringfence.schema.engines.mysql.quoting import account, literal
from ringfence.schema.manifest.model import ANYWHERE
from ringfence.schema.state import releases

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts


def recorded_hosts(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    """Return login -> the hosts at which its accounts are recorded as managed."""
    if not has_table(connection, releases.host.name):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for login, host in connection.execute(
        sa.select(releases.host.c.login, releases.host.c.host).order_by(releases.host.c.host)
    ):
        found[login] = (*found.get(login, ()), host)
    return found


def managed_hosts(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    """Return login -> the hosts of its managed accounts."""
    if not has_table(connection, releases.account.name):
        return {}
    known = recorded_hosts(connection)
    return {login: known.get(login, (ANYWHERE,)) for login in releases.accounts(connection)}


def record_hosts(
    connection: sa.Connection, hosts: Mapping[str, str], managed: Iterable[str]
) -> list[Statement]:
    """Return the statements that record the hosts of accounts.

    They run before an account is created, so that a job finds an account again that an interrupted job created.

    Args:
        connection: the admin's.
        hosts: login -> its host in the manifest.
        managed: the logins that are managed already.
    """
    managed, known = set(managed), recorded_hosts(connection)
    found: list[Statement] = []
    rows: list[tuple[str, str]] = []
    for login, host in hosts.items():
        stored = known.get(login, ())
        if login in managed:
            stored = stored or (ANYWHERE,)
            rows += [(login, one) for one in (*stored, host)] if host not in stored else []
            continue
        found += [forget_hosts(login)] if stored else []
        rows += [(login, host)] if host != ANYWHERE else []
    if rows and not has_table(connection, releases.host.name):
        sql = str(CreateTable(releases.host, if_not_exists=True).compile(dialect=connection.dialect))
        found.append(Statement.plain(" ".join(sql.split())))
    if rows:
        values = ", ".join(f"({literal(login)}, {literal(host)})" for login, host in rows)
        found.append(Statement.plain(f"REPLACE INTO {releases.host.name} (login, host) VALUES {values}"))  # noqa: S608 - quoted
    return found


def forget_hosts(login: str, host: str | None = None) -> Statement:
    """Return the statement that deletes the record of a login.

    Args:
        login: a user name.
        host: deletes the record of this host alone; None deletes all of the login.
    """
    where = f"login = {literal(login)}" + (f" AND host = {literal(host)}" if host is not None else "")
    return Statement.plain(f"DELETE FROM {releases.host.name} WHERE {where}")  # noqa: S608 - quoted


def drop_at_old_hosts(
    accounts: "FamilyAccounts", connection: sa.Connection, logins: Iterable[str]
) -> tuple[list[tuple[str, Statement]], list[str]]:
    """Return the statements that drop managed accounts at hosts that are no longer declared.

    They are not locked instead, as other accounts are: the server may match them before the new ones, and then no login
    works.

    Args:
        accounts: with the declared host of each login.
        connection: the admin's.
        logins: user names.

    Returns:
        Logins with their statements, and a message for each account that must not be dropped.
    """
    found: list[tuple[str, Statement]] = []
    obstacles, hosts = [], managed_hosts(connection)
    for login, host in [(one, host) for one in logins for host in hosts.get(one, ())]:
        if host == accounts.host(login):
            continue
        old = accounts.at({login: host})
        exists = login in old.roles.existing(connection, [login])
        if exists and (reasons := old.roles.drop_obstacles(connection, [login])):
            obstacles.append(
                f"{account(login, host)} cannot become {accounts.account(login)}: it {'; it '.join(reasons[login])}."
                " Revoke or drop that first, or choose another login"
            )
            continue
        if exists:
            found.append((login, old.roles.drop(login)))
        found.append((login, forget_hosts(login, host)))
    return found, obstacles


def shadowed(accounts: "FamilyAccounts", connection: sa.Connection, logins: tuple[str, ...]) -> list[str]:
    """Return a message for each account, of these logins or anonymous, that may shadow a managed account.

    The server prefers the narrower host, and then the login fails. And the privileges on tables of an account serve its
    login from every address that matches its host.

    Args:
        accounts: with the declared host of each login.
        connection: the admin's.
        logins: user names.
    """
    rows = connection.exec_driver_sql(
        "SELECT User, Host FROM mysql.user WHERE Host <> ''"
        " AND (User IN %(logins)s OR (User = '' AND Host <> '%%'))",
        {"logins": logins or ("\0",)},
    ).all()
    hosts = managed_hosts(connection)
    return [
        f"the {'anonymous ' if not user else ''}account {account(user, host)} shadows"
        f" {accounts.account(user) if user else 'every service account'} on connections from {host}:"
        f" DROP USER {account(user, host)}"
        for user, host in rows
        if host not in hosts.get(user, (accounts.host(user),) if user else ())
    ]


def has_table(connection: sa.Connection, table: str) -> bool:
    """Return whether the default database has a table."""
    return bool(
        connection.exec_driver_sql(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
            (table,),
        ).scalar_one()
    )
