"""PgBouncer in transaction mode, in front of a PostgreSQL server."""

import secrets
import signal
from dataclasses import replace

from servers import postgres
from servers.base import Server
from servers.process import HOST, Process, find_binary, free_ports

# It forgives no unknown startup option: the runtime must not send one.
_CONFIGURATION = """\
[databases]
* = host={host} port={server_port} auth_user={admin}
[pgbouncer]
listen_addr = {listen}
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
auth_type = scram-sha-256
auth_file = {users}
auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1
admin_users = {console}
max_client_conn = 300
default_pool_size = 20
server_round_robin = 1
server_idle_timeout = 60
"""
CONSOLE = "ringfence_console"


def start(server: Server) -> Server:
    """Start a pooler in front of `server`. Raises Unavailable when there is no binary.

    Returns a Server whose connections go through the pooler, and whose databases are made behind it.
    """
    binary = find_binary("pgbouncer")
    process = Process(stop_signal=signal.SIGINT)
    try:
        (port,) = free_ports(1)
        users = process.write(
            "users",
            f'"{server.admin_user}" "{server.admin_password}"\n"{CONSOLE}" "{secrets.token_hex(12)}"\n',
        )
        host, server_port = server.hosts[0]
        configuration = process.write(
            "pgbouncer.ini",
            _CONFIGURATION.format(
                host=host,
                server_port=server_port,
                admin=server.admin_user,
                listen=HOST,
                port=port,
                users=users,
                console=CONSOLE,
            ),
        )
        process.start(binary, str(configuration))
        pooler = replace(server, hosts=((HOST, port),), processes=(process,), behind=server)
        process.wait_until(
            lambda: postgres.connect(
                pooler, pooler.maintenance, pooler.admin_user, pooler.admin_password, 0
            ).close()
        )
    except BaseException:
        process.close()
        raise
    return pooler
