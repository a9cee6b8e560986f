"""A private MySQL server, where MySQL's own binaries are: Debian packages none, so it mostly comes by URL."""

import os
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from servers import mysql_family
from servers.mariadb import ADMIN, options
from servers.process import HOST, Process, Unavailable, find_binary, free_ports

if TYPE_CHECKING:
    from servers.base import Server

_FAST = ("--innodb-flush-log-at-trx-commit=2", "--skip-log-bin", "--innodb-doublewrite=0", "--mysqlx=OFF")


def _binary() -> str:
    """The path of a mysqld that is MySQL's, for MariaDB installs a link of that name."""
    folder = os.environ.get("RINGFENCE_TEST_MYSQL_BIN", "")
    try:
        mysqld = find_binary("mysqld", *([folder] if folder else []))
    except Unavailable:
        mysqld = ""
    if mysqld:
        version = subprocess.run(
            [mysqld, "--no-defaults", "--version"], capture_output=True, text=True, check=False
        )
        if version.returncode == 0 and "MariaDB" not in version.stdout:
            return mysqld
    raise Unavailable(
        "there is no MySQL server on this machine: give one by RINGFENCE_TEST_MYSQL_URL=mysql://root:password@host:port/,"
        " or the folder of its mysqld by RINGFENCE_TEST_MYSQL_BIN"
    )


def start() -> "Server":
    """Start a private server with checked passwords. Raises Unavailable when there are no binaries."""
    from servers.base import Server

    mysqld = _binary()
    password = secrets.token_hex(12)
    process = Process()
    try:
        data = Path(process.folder) / "data"
        process.run(mysqld, "--no-defaults", "--initialize-insecure", f"--datadir={data}")
        (port,) = free_ports(1)
        init = process.write(
            "init.sql",
            f"CREATE USER 'root'@'%' IDENTIFIED BY '{password}';\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;\n"
            "DROP USER 'root'@'localhost';\n",
        )
        process.start(mysqld, *options(process, port), f"--init-file={init}", *_FAST)
        server = Server("mysql", ((HOST, port),), ADMIN, password, processes=(process,))
        process.wait_until(lambda: mysql_family.connect(server, "", ADMIN, password, 0).close())
        process.write("init.sql", "SELECT 1;\n")  # it held the password, and is read at every start
    except BaseException:
        process.close()
        raise
    return server
