"""Detection of the server behind a MySQL connection: MySQL, MariaDB or a node of a Galera cluster."""

from collections.abc import Mapping

import sqlalchemy as sa

from ringfence.schema.engines.base import Identity
from ringfence.schema.engines.galera.server import Galera
from ringfence.schema.engines.mariadb.server import MariaDB
from ringfence.schema.engines.mysql.family import MySQLFamily
from ringfence.schema.engines.mysql.server import MySQL


def identify(connection: sa.Connection) -> Identity:
    """Return the engine and version of the server.

    The version names MariaDB. A Galera node is a MariaDB server that replicates (`wsrep_on`) in a cluster with a size.
    """
    version = str(connection.exec_driver_sql("SELECT VERSION()").scalar_one())
    if "mariadb" not in version.lower():
        return Identity("mysql", version)
    size = connection.exec_driver_sql(
        "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'WSREP_CLUSTER_SIZE'"
    ).scalar()
    replicates = connection.exec_driver_sql("SELECT @@GLOBAL.wsrep_on").scalar()
    return Identity("galera" if replicates and int(size or 0) > 0 else "mariadb", version)


KINDS: Mapping[str, type[MySQLFamily]] = {"mysql": MySQL, "mariadb": MariaDB, "galera": Galera}
"""Engine -> its backend."""
