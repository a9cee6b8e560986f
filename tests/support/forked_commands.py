"""`ringfence` and `alembic` in processes of their own, forked from one that has imported what they need.

A process that begins from nothing spends a second of a busy machine on imports, and the tests run hundreds. What runs
is the same: its own folder, environment, output and exit status. Run as a module, this is the process that forks.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import random
import select
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from servers.base import clean_environment

MAINS = {"ringfence": "ringfence.schema.cli:main", "alembic": "alembic.config:main"}
# What the verbs and the Alembic environment load when they are called.
_EARLY = (
    "psycopg2", "pymysql", "sqlalchemy.dialects.postgresql.psycopg2", "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.sqlite.pysqlite", "alembic.autogenerate", "ringfence.schema.verification.verify",
    "ringfence.schema.job.job", "ringfence.schema.job.environment", "ringfence.schema.engines.postgresql.server",
    "ringfence.schema.engines.galera.server", "ringfence.schema.engines.mysql.server", "ringfence.schema.engines.sqlite.server",
    "ringfence.schema.job.plan", "ringfence.schema.mirror", "ringfence.schema.authoring.revise",
)  # fmt: skip
_LONGEST = 1 << 20


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command of MAINS to its end, as subprocess.run with text captured would."""
    request = {"command": list(command), "folder": str(folder), "environment": dict(environment)}
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        socket.socket(socket.AF_UNIX) as asking,
    ):
        asking.connect(_forker())
        socket.send_fds(asking, [b"\0"], [out.fileno(), err.fileno()])
        asking.sendall(json.dumps(request).encode())
        asking.shutdown(socket.SHUT_WR)
        status = int(asking.recv(100))
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(list(command), status, *said)


@functools.cache
def _forker() -> str:
    """Start the process that forks; returns its socket. It ends with this one."""
    folder = tempfile.TemporaryDirectory(prefix="forked-")
    path = f"{folder.name}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "support.forked_commands", path],
        env=clean_environment() | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"

    @atexit.register
    def end() -> None:
        process.stdin.close()  # type: ignore[union-attr]
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
        folder.cleanup()

    return path


def _serve(path: str) -> None:
    """Fork for each request, until the input ends."""
    for module in (*(place.partition(":")[0] for place in MAINS.values()), *_EARLY):
        importlib.import_module(module)
    gc.freeze()  # what is here stays, and its pages are shared
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(100)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [], 1)
        while _reap():
            pass
        if sys.stdin in readable:
            os._exit(0)
        if listener in readable:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            connection.close()


def _reap() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _answer(connection: socket.socket) -> None:
    """Run one request in a child, and tell its exit status: this process does nothing else."""
    _, files, _, _ = socket.recv_fds(connection, 1, 2)
    asked = b""
    while part := connection.recv(_LONGEST):
        asked += part
    child = os.fork()
    if child == 0:
        connection.close()
        _become(json.loads(asked), files)
    _, status = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Be the command, to the end."""
    null = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((null, *files)):
        os.dup2(file, number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    random.seed()
    program, *arguments = request["command"]
    sys.argv = [str(Path(sys.executable).with_name(program)), *arguments]
    sys.path.remove(str(Path(__file__).parents[1]))  # of PYTHONPATH
    sys.path[0] = str(Path(sys.executable).parent)
    module, _, main = MAINS[program].partition(":")
    status: object = 1
    try:
        status = getattr(importlib.import_module(module), main)()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
    if isinstance(status, str):
        print(status, file=sys.stderr)
    # As the end of the interpreter does, which `_exit` leaves out.
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))  # to take all apart takes long


if __name__ == "__main__":
    _serve(sys.argv[1])
