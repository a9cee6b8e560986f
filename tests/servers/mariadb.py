"""A private MariaDB server."""

import contextlib
import secrets
from typing import TYPE_CHECKING

from servers import mysql_family
from servers.process import HOST, Process, find_binary, free_ports
from servers.tls import Certificate

if TYPE_CHECKING:
    from servers.base import Server

ADMIN = "root"
# The machine's crash is of no concern to data that lives for one test; the server's own is, so commits still reach
# the operating system, which alone is not asked to write them to the disk. The character set is what Debian's own
# configuration says.
FAST = (
    "--debug-no-sync",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=0",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=32M",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",
)


def start(
    tls: Certificate | None = None, *, replicated: bool = False, password: str | None = None
) -> "Server":
    """Start a private server with checked passwords, which may have replicas if it is `replicated`.

    Raises Unavailable when there are no binaries.
    """
    from servers.base import Server

    mariadbd = find_binary("mariadbd")
    password = password or secrets.token_hex(12)
    process = Process()
    try:
        install(process)
        (port,) = free_ports(1)
        init = process.write("init.sql", accounts(password))
        offered = []
        if tls:
            certificate, key = tls.install(process)
            offered = [f"--ssl-cert={certificate}", f"--ssl-key={key}"]
        if replicated:
            offered += ["--log-bin", f"--server-id={port}"]
        process.start(mariadbd, *options(process, port), f"--init-file={init}", *FAST, *offered)
        server = Server("mariadb", ((HOST, port),), ADMIN, password, processes=(process,))
        process.wait_until(lambda: mysql_family.connect(server, "", ADMIN, password, 0).close())
        process.write("init.sql", "SELECT 1;\n")  # it held the password, and is read at every start
    except BaseException:
        process.close()
        raise
    return server


def replica(primary: "Server") -> "Server":
    """Start a replica of a private server, with the same admin. Raises Unavailable when there are no binaries."""
    server = start(replicated=True, password=primary.admin_password)
    try:
        as_admin = "", primary.admin_user, primary.admin_password, 0
        with contextlib.closing(mysql_family.connect(primary, *as_admin)) as source:
            cursor = source.cursor()
            cursor.execute("SELECT @@GLOBAL.gtid_binlog_pos")
            (place,) = cursor.fetchone()
        with contextlib.closing(mysql_family.connect(server, *as_admin)) as target:
            cursor = target.cursor()
            cursor.execute("RESET MASTER")  # what made its own accounts is no part of the primary's history
            cursor.execute("SET GLOBAL gtid_slave_pos = %s", (place,))
            cursor.execute(
                "CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %s, MASTER_USER = %s, MASTER_PASSWORD = %s,"
                " MASTER_USE_GTID = slave_pos",
                (*primary.hosts[0], primary.admin_user, primary.admin_password),
            )
            cursor.execute("START SLAVE")
    except BaseException:
        server.close()
        raise
    return server


def install(process: Process) -> None:
    """Make the system tables, with a root that has no password yet."""
    process.run(
        find_binary("mariadb-install-db"),
        "--no-defaults",
        f"--datadir={process.folder / 'data'}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    )


def options(process: Process, port: int) -> list[str]:
    """The command line that puts all of a server's files into its folder; the first word must be first."""
    folder = process.folder
    return [
        "--no-defaults",
        f"--datadir={folder / 'data'}",
        f"--socket={folder / 'sock'}",
        f"--pid-file={folder / 'pid'}",
        f"--bind-address={HOST}",
        f"--port={port}",
    ]


def accounts(password: str) -> str:
    """The statements that leave one administrator, with a password, and nobody else.

    mariadb-install-db also makes anonymous accounts ''@'localhost', and they shadow 'service'@'%' on every local
    connection: the login is refused although password and grants are right. They are dropped here, in the open,
    because a test of that trap must make its own.
    """
    return "\n".join(
        (
            "CREATE OR REPLACE USER 'root'@'%' IDENTIFIED BY '" + password + "';",
            "GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;",
            "DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> '%');",
            "FLUSH PRIVILEGES;",
            "",
        )
    )
