"""The command `ringfence-ready`: wait until the database is what a mirror needs, or check once."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from ringfence.runtime.database import Database
from ringfence.runtime.errors import RingfenceError
from ringfence.runtime.readiness import TRANSIENT_STATES, check, wait
from ringfence.runtime.settings.secret import without_urls

READY, NOT_READY, MISCONFIGURED, NOT_IN_TIME = 0, 1, 3, 4
"""The exit codes of `ringfence-ready`, with the meanings that they have for `ringfence`."""


class _Parser(argparse.ArgumentParser):
    """Exits with `MISCONFIGURED` for a wrong command line, like the other commands."""

    given: Sequence[str] = ()
    """The arguments of the command line, whose URLs are masked in messages."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, with URLs masked, and exit."""
        self.print_usage(sys.stderr)
        self.exit(MISCONFIGURED, f"{self.prog}: {without_urls(message, self.given)}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command `ringfence-ready`.

    Args:
        arguments: the command line; that of the process when None.

    Returns:
        The exit code: 0 ready; 1 not ready, and waiting will not help; 3 the command line, the environment or the
        mirror is wrong; 4 not ready yet.
    """
    parser = _Parser("ringfence-ready", description="Wait until the database is what a mirror needs.")
    parser.add_argument("mirror", help="the service's mirror file")
    parser.add_argument("--once", action="store_true", help="look once, and do not wait")
    parser.add_argument("--timeout", type=float, help="seconds to wait; DB_READY_TIMEOUT when not given")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.given = sys.argv[1:] if arguments is None else arguments
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        with Database.from_env(given.mirror) as db:
            report = check(db) if given.once else wait(db, given.timeout)
    except RingfenceError as error:
        document = {"ready": False, "state": "misconfigured", "error": str(error)}
        if given.json:
            print(json.dumps(document))
        else:
            print(f"not ready: {error}", file=sys.stderr)
        return MISCONFIGURED
    print(json.dumps(report.as_dict()) if given.json else str(report))
    if report.ready:
        return READY
    return NOT_IN_TIME if report.state in TRANSIENT_STATES else NOT_READY


if __name__ == "__main__":
    sys.exit(main())
