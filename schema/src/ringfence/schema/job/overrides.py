"""The record of what a job with `--force` did not stop at, in the table `ringfence_override`.

`--force REASON` lets a job pass two checks: the guard of contract revisions (`contract_guard`), and the lint rules that
depend on the mirrors of services (`Rule.depends_on_mirrors`). It covers nothing else. Each finding that it overrides
becomes one row.
"""

import getpass
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from ringfence.schema.engines.base import Server
from ringfence.schema.state import releases

CONTRACT = "contract"
"""The `rule` of an override of the guard of contract revisions."""


@dataclass(frozen=True)
class Override:
    """One finding that would have stopped the job without `--force`."""

    revision: str
    rule: str
    """`contract` for the guard of contract revisions, otherwise the id of the lint rule."""
    finding: str
    """What was found, with the service that still uses what is removed."""
    reason: str
    """What the operator gave as the argument of `--force`."""

    def __str__(self) -> str:
        return f"{self.rule} of {self.revision}: {self.finding} (reason: {self.reason})"

    def as_dict(self) -> dict[str, object]:
        """Return the override as an object for JSON."""
        return asdict(self)


def record(backend: Server, overrides: Iterable[Override]) -> None:
    """Write the overrides into the database, and commit them before the first revision runs.

    Args:
        backend: the database; Ringfence's tables are created where they are missing.
        overrides: what the job did not stop at; nothing is written when there is none.
    """
    rows = list(overrides)
    if not rows:
        return
    with backend.engine().connect() as connection:
        releases.ensure(connection)
        last = connection.execute(sa.select(sa.func.max(releases.override.c.id))).scalar() or 0
        for number, one in enumerate(rows, last + 1):
            connection.execute(
                sa.insert(releases.override).values(
                    id=number, **asdict(one), forced_by=operator(), forced_at=sa.func.current_timestamp()
                )
            )
        connection.commit()


def operator() -> str:
    """Return who runs this process, as `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:255]
