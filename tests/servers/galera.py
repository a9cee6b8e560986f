"""A private MariaDB Galera cluster of three nodes, with rsync state transfer."""

import contextlib
import functools
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from servers import mysql_family
from servers.mariadb import ADMIN, FAST, accounts, install, options
from servers.process import HOST, Process, Unavailable, find_binary, free_ports

if TYPE_CHECKING:
    from servers.base import Server

NODES = 3
_PROVIDERS = ("/usr/lib/galera", "/usr/lib64/galera-4", "/usr/lib64/galera", "/usr/lib", "/usr/lib/galera-4")


def _provider() -> str:
    for folder in _PROVIDERS:
        library = Path(folder) / "libgalera_smm.so"
        if library.exists():
            return str(library)
    raise Unavailable("there is no libgalera_smm.so on this machine (package galera-4)")


def start() -> "Server":
    """Start the three nodes and wait until each says that it is synced. Raises Unavailable without binaries.

    A cluster that does not come together in time gets a second chance, on other ports: the machine may be busy, and a
    free port is not free for ever.
    """
    try:
        return _start()
    except Unavailable:
        return _start()


def _start() -> "Server":
    from servers.base import Server

    mariadbd, provider = find_binary("mariadbd"), _provider()
    find_binary("rsync")
    password = secrets.token_hex(12)
    processes: list[Process] = []
    try:
        processes = [Process() for _ in range(NODES)]
        ports = free_ports(4 * NODES)
        nodes = [ports[4 * number : 4 * number + 4] for number in range(NODES)]
        members = ",".join(f"{HOST}:{group}" for _, group, _, _ in nodes)
        server = Server(
            "galera", tuple((HOST, node[0]) for node in nodes), ADMIN, password, processes=tuple(processes)
        )
        for number, (process, node) in enumerate(zip(processes, nodes, strict=True)):
            join = [
                mariadbd,
                *options(process, node[0]),
                *_member(process, number, node, provider),
                f"--wsrep-cluster-address=gcomm://{members}",
                *FAST,
            ]
            if number == 0:
                install(process)
                init = process.write("init.sql", accounts(password))
                process.start(*join, "--wsrep-new-cluster", f"--init-file={init}", again=join)
                process.wait_until(lambda: expect_synced(server, 0, 1))
                init.unlink()
            else:
                # An empty data folder: the state transfer brings everything, the accounts too.
                process.make_folder("data")
                process.start(*join)
        for number, process in enumerate(processes):
            process.wait_until(functools.partial(expect_synced, server, number, NODES), seconds=90)
    except BaseException:
        for process in processes:
            process.close()
        raise
    return server


def _member(process: Process, number: int, ports: list[int], provider: str) -> list[str]:
    _, group, incremental, transfer = ports
    provider_options = (
        f"base_port={group}",
        f"gmcast.listen_addr=tcp://{HOST}:{group}",
        f"ist.recv_addr={HOST}:{incremental}",
        f"base_dir={process.folder / 'data'}",
        "gcache.size=32M",
        "gcache.recover=no",
        # A busy machine is no reason to throw a node out; one that is killed is noticed by its closed connection.
        "evs.suspect_timeout=PT10S",
        "evs.inactive_timeout=PT30S",
        "evs.install_timeout=PT30S",
    )
    return [
        "--wsrep-on=ON",
        f"--wsrep-provider={provider}",
        f"--wsrep-provider-options={';'.join(provider_options)}",
        "--wsrep-cluster-name=ringfence",
        f"--wsrep-node-name=node{number}",
        f"--wsrep-node-address={HOST}:{group}",
        "--wsrep-sst-method=rsync",
        f"--wsrep-sst-receive-address={HOST}:{transfer}",
        "--wsrep-slave-threads=2",
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
    ]


def status(server: "Server", node: int) -> dict[str, str]:
    """What a node says of itself: its wsrep status variables."""
    connection = mysql_family.connect(server, "", server.admin_user, server.admin_password, node)
    with contextlib.closing(connection):
        cursor = connection.cursor()
        cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep%'")
        return dict(cursor.fetchall())


def expect_synced(server: "Server", node: int, size: int) -> None:
    """Raise RuntimeError unless the node is a synced member of a cluster of this size."""
    said = status(server, node)
    state = said["wsrep_ready"], said["wsrep_local_state"], said["wsrep_cluster_size"]
    if state != ("ON", "4", str(size)):
        raise RuntimeError(f"node {node} is ready, in state, among: {state}")
