"""Finds values that a contract revision removes and no backfill has copied, such as those of services still running."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from ringfence.schema.backfills.declared import Backfill, is_placeholder, names, read
from ringfence.schema.backfills.statements import BackfillSql, clause, first_keys, primary_key, reads
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, first_line
from ringfence.schema.revisions.contract import Contract, Obstacle
from ringfence.schema.state import releases
from ringfence.schema.text import counted


@dataclass
class Coverage:
    """What was found."""

    uncovered: list[Obstacle] = field(default_factory=list)
    """Backfills that have to run first, and why."""
    differing: list[str] = field(default_factory=list)
    """Rows whose value was copied and has been changed since, one sentence each."""


def find_uncovered(
    deployment: Deployment, backend: Backend, connection: sa.Connection, contracts: Mapping[str, Contract]
) -> Coverage:
    """Find the rows that backfills have not covered, before the first of some contract revisions runs.

    Args:
        deployment: the deployment, with its backfills.
        backend: its database.
        connection: a connection to it.
        contracts: revision -> what it removes.

    Raises:
        BadDeployment: a backfill that a contract revision names does not exist or cannot be read.
    """
    found = Coverage()
    backfills = {name: read(deployment, name) for name in names(deployment)}
    for revision, contract in contracts.items():
        for name in contract.backfills:
            backfills.setdefault(name, read(deployment, name))
        for name, backfill in backfills.items():
            named = name in contract.backfills
            columns = contract.retires.get(backfill.table, ())
            # When a whole table is dropped, copies inside it are dropped too and do not count.
            concerned = backfill.into is not None if columns is None else _read(backfill, columns)
            source = (
                clause(deployment, backend.introspection, connection, backfill.table)
                if named or concerned
                else None
            )
            if source is None:
                continue
            going = columns or [column.name for column in source.columns]
            drops = f"{revision} drops {_shown(backfill, columns)}, and"
            if any(is_placeholder(value) for value in backfill.set.values()):
                found.uncovered.append(
                    Obstacle(
                        revision, f"{drops} the backfill {name} does not define yet what a column becomes"
                    )
                )
                continue
            target = source
            if backfill.into is not None:
                written = clause(deployment, backend.introspection, connection, backfill.into)
                target = sa.table(backfill.into) if written is None else written
            key = primary_key(deployment, connection, backfill.table)
            _ask(found, connection, BackfillSql(backfill, source, target), going, key, revision, drops, name)
    return found


def _ask(
    found: Coverage,
    connection: sa.Connection,
    move: BackfillSql,
    columns: Iterable[str],
    key: list[str],
    revision: str,
    drops: str,
    name: str,
) -> None:
    def uncovered(message: str) -> None:
        found.uncovered.append(Obstacle(revision, f"{drops} {message}"))

    columns = list(columns)
    condition = move.uncovered(columns)
    if condition is None:
        if not _ran(connection, name):
            uncovered(f"the backfill {name} has not run to its end: `ringfence backfill {name}`")
    else:
        try:
            count, first = first_keys(connection, move.source, key, condition)
        except sa.exc.DBAPIError as error:
            connection.rollback()
            uncovered(
                f"which rows the backfill {name} has not covered cannot be determined: {first_line(error)}; set"
                " `covered=` in it"
            )
            return
        if count:
            uncovered(
                f"{counted(count, 'row')} {'holds' if count == 1 else 'hold'} a value there that the backfill"
                f" {name} has not carried over{_first(key, first)}: `ringfence backfill {name}`"
            )
    differing = move.differing(columns)
    if differing is not None:
        try:
            count, first = first_keys(connection, move.source, key, differing)
        except sa.exc.DBAPIError:  # a type without an equality operator, such as PostgreSQL's json
            connection.rollback()
            return
        if count:
            found.differing.append(
                f"{drops} {counted(count, 'row')} {'holds' if count == 1 else 'hold'} another value there than where"
                f" the backfill {name} carried it{_first(key, first)}: one of the two was written since"
            )


def _ran(connection: sa.Connection, name: str) -> bool:
    """Return whether a backfill has run to its end; for those whose rows do not show whether they are done."""
    if not sa.inspect(connection).has_table(releases.backfill.name):
        return False
    state = sa.select(releases.backfill.c.state).where(releases.backfill.c.name == name)
    return bool(connection.execute(state).scalar() == "done")


def _first(key: Iterable[str], first: Iterable[str]) -> str:
    shown = ", ".join(first)
    return f" (the first by {', '.join(key)}: {shown})" if shown else ""


def _read(backfill: Backfill, going: Iterable[str]) -> bool:
    """Return whether a backfill reads one of these columns."""
    seen = {name for value in backfill.set.values() for name in reads(value)} | set(backfill.reads)
    return not seen.isdisjoint(going)


def _shown(backfill: Backfill, going: Iterable[str] | None) -> str:
    if not going:
        return backfill.table
    return ", ".join(f"{backfill.table}.{column}" for column in going)
