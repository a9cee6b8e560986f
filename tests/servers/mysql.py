"""A private MySQL server, from the machine's own mysqld or the one that `mysql_packages` unpacked."""

import os
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from servers import mysql_family, mysql_packages
from servers.mariadb import ADMIN, options
from servers.mysql_packages import Mysqld
from servers.process import HOST, Process, Unavailable, find_binary, free_ports

if TYPE_CHECKING:
    from servers.base import Server

# The binary log stays on, as it is by default: with it MySQL asks more rights of who makes a trigger or a function.
_FAST = ("--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--innodb-doublewrite=0", "--mysqlx=OFF")


def find() -> Mysqld:
    """MySQL's mysqld: the one that is named, installed, or unpacked by `mysql_packages`, in this order.

    Raises Unavailable when there is none; a program of that name that is MariaDB's is passed over.
    """
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
            return Mysqld((mysqld,))
    if unpacked := mysql_packages.find():
        return unpacked
    raise Unavailable(
        "there is no MySQL server on this machine: `python -m servers install mysql` (which ./scripts/test.sh runs)"
        " downloads one, RINGFENCE_TEST_MYSQL_URL=mysql://root:password@host:port/ gives one,"
        " RINGFENCE_TEST_MYSQL_BIN names the folder of a mysqld"
    )


def start() -> "Server":
    """Start a private server with checked passwords. Raises Unavailable when there are no binaries."""
    from servers.base import Server

    mysqld = find()
    password = secrets.token_hex(12)
    process = Process()
    try:
        data = Path(process.folder) / "data"
        process.run(
            *mysqld.command, "--no-defaults", *mysqld.options, "--initialize-insecure", f"--datadir={data}"
        )
        (port,) = free_ports(1)
        init = process.write(
            "init.sql",
            f"CREATE USER 'root'@'%' IDENTIFIED BY '{password}';\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;\n"
            "DROP USER 'root'@'localhost';\n",
        )
        process.start(
            *mysqld.command, *options(process, port), *mysqld.options, f"--init-file={init}", *_FAST
        )
        server = Server("mysql", ((HOST, port),), ADMIN, password, processes=(process,))
        process.wait_until(lambda: mysql_family.connect(server, "", ADMIN, password, 0).close())
        process.write("init.sql", "SELECT 1;\n")  # it held the password, and is read at every start
    except BaseException:
        process.close()
        raise
    return server
