"""`python -m servers run ENGINE [--json FILE]`: a private server for as long as the command runs."""

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from servers import registry
from servers.capabilities import ENGINES
from servers.process import Unavailable


def main() -> int:
    """Start the server, say where it is, and wait for a signal. Exit 4: this machine has no such server."""
    parser = argparse.ArgumentParser(prog="python -m servers", description=__doc__)
    parser.add_argument("verb", choices=["run"])
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the document there (0600), not to stdout"
    )
    arguments = parser.parse_args()
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
