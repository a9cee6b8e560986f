"""`python -m servers run ENGINE [--json FILE]`: a private server for as long as the command runs.

`python -m servers install mysql` downloads and unpacks a MySQL server where the machine has none.
"""

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from servers import mysql, mysql_packages, registry
from servers.capabilities import ENGINES
from servers.process import Unavailable


def main() -> int:
    """Start the server, say where it is, and wait for a signal. Exit 4: this machine has no such server."""
    parser = argparse.ArgumentParser(prog="python -m servers", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run")
    run.add_argument("engine", choices=ENGINES)
    run.add_argument(
        "--json", type=Path, metavar="FILE", help="write the document there (0600), not to stdout"
    )
    verbs.add_parser("install").add_argument("engine", choices=["mysql"])
    arguments = parser.parse_args()
    return _install() if arguments.verb == "install" else _run(arguments)


def _install() -> int:
    try:
        mysql.find()
    except Unavailable:
        try:
            mysql_packages.unpack(lambda line: print(line, file=sys.stderr, flush=True))
        except Unavailable as error:
            print(f"no MySQL server: {error}", file=sys.stderr)
            return 4
    return 0


def _run(arguments: argparse.Namespace) -> int:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    try:
        server = registry.start(arguments.engine)
    except Unavailable as error:
        print(f"{arguments.engine} cannot be had: {error}", file=sys.stderr)
        return 4
    database = server.database()
    try:
        document = {
            "engine": server.engine,
            "hosts": server.hosts,
            "admin_user": server.admin_user,
            "admin_password": server.admin_password,
            "database": database.name,
        }
        if arguments.json:
            _write(arguments.json, json.dumps(document) + "\n")
        else:
            print(json.dumps(document), flush=True)
        ended.wait()
    finally:
        if not server.processes:
            database.drop()
        server.close()
    return 0


def _write(path: Path, text: str) -> None:
    """Write at once, so that who waits for the file never reads half of it."""
    draft = path.with_name(path.name + ".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
