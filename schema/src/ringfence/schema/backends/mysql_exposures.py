"""What lets somebody reach more than the manifest gives on the MySQL family, or an account less, beside grants."""

from collections.abc import Iterator

import sqlalchemy as sa

from ringfence.schema.backends import mysql_hosts
from ringfence.schema.backends.exposures import Exposure


def anonymous(connection: sa.Connection) -> Iterator[Exposure]:
    """The account that anybody's name logs in as."""
    for (host,) in connection.exec_driver_sql("SELECT Host FROM mysql.user WHERE User = '' AND Host = '%%'"):
        account = f"''@{mysql_hosts.text(host)}"
        yield Exposure(
            "anonymous account",
            None,
            f"any name without an account logs in as {account}",
            way_out=f"DROP USER {account}",
            finding=None,
        )


def open_to_all(connection: sa.Connection) -> list[str]:
    """A row of mysql.db without a user gives its rights to every account; the installation makes some."""
    return [
        f"every account of the server may use this database: mysql.db gives {pattern!r} to User = ''. Take another"  # noqa: S608 - a message
        f" name, or, as an administrator of the server: DELETE FROM mysql.db WHERE User = '' AND Db ="
        f" {mysql_hosts.text(pattern)}; FLUSH PRIVILEGES"
        for (pattern,) in connection.exec_driver_sql(
            "SELECT DISTINCT Db FROM mysql.db WHERE User = '' AND DATABASE() LIKE Db"
        )
    ]
