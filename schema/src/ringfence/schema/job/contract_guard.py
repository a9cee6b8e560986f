"""Refuses a contract revision while a mirror of the repository, or a connected service, uses what it removes."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from alembic.operations import ops
from alembic.script import Script

from ringfence.runtime.mirror import Mirror, Table
from ringfence.schema.backfills.uncovered_rows import find_uncovered
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend
from ringfence.schema.engines.base import Server
from ringfence.schema.engines.connected_services import Connected, connected
from ringfence.schema.errors import JobFailed
from ringfence.schema.lint.check import states
from ringfence.schema.lint.pending import Pending
from ringfence.schema.mirror import SUFFIX
from ringfence.schema.models.types import DIALECTS
from ringfence.schema.revisions.contract import Contract, Obstacle, contract_of
from ringfence.schema.revisions.recording import Recording
from ringfence.schema.sql.table_keys import key_of
from ringfence.schema.state import releases
from ringfence.schema.text import counted

# table -> column -> what a service does with it: any of r (reads), w (writes), n (may write NULL, or omit it);
# the column "" stands for the whole table: i (inserts).
Uses = Mapping[str, Mapping[str, str]]


class Refused(JobFailed):
    """A contract revision was refused because something still uses what it removes; nothing was changed."""

    def __init__(self, obstacles: Sequence[Obstacle], uncovered: Sequence[Obstacle] = ()) -> None:
        messages = list(dict.fromkeys(str(one) for one in (*obstacles, *uncovered)))
        self.details = {"obstacles": messages}
        problems = "\n  ".join(messages)
        ways = []
        if obstacles:
            ways.append("Deploy those services with their new mirrors and stop the old ones")
        if uncovered:
            ways.append(f"{'run' if ways else 'Run'} those backfills")
        super().__init__(
            f"the contract is refused, and nothing was changed:\n  {problems}\n{', '.join(ways)}, then run this again;"
            " --expand goes up to the contract and no further; --force REASON runs it nevertheless, and records each"
            " of these with the reason"
        )


@dataclass(frozen=True)
class PendingContract:
    """What one pending revision removes or makes stricter."""

    revision: str
    contract: Contract


def before_contract(backend: Server, pending: Pending) -> str:
    """Return the last revision before the first pending contract revision; `head` if none is pending.

    Args:
        backend: the database, whose engine decides what a revision drops.
        pending: the revisions that are to run.
    """
    going = _pending_contracts(pending, backend)
    first = next((index for index, one in enumerate(going) if one.contract), None)
    if first is None:
        return "head"
    return going[first - 1].revision if first else next(iter(pending.heads), "base")


@dataclass
class GuardResult:
    """What the check of the pending contract revisions found and did not refuse."""

    overridden: list[Obstacle] = field(default_factory=list)
    """Obstacles that stop a job without `force`; empty without it, because they raise `Refused`."""
    warnings: list[str] = field(default_factory=list)
    """Values that were changed after a backfill had copied them; they do not stop a job."""


def check(deployment: Deployment, backend: Backend, pending: Pending, *, force: bool = False) -> GuardResult:
    """Check before the first pending revision runs that nothing uses what the contract revisions remove.

    Args:
        deployment: the deployment.
        backend: the database; it is only read.
        pending: the revisions that are to run.
        force: whether the operator gave a reason for running a contract revision although something uses what it
            removes.

    Returns:
        The obstacles that `force` overrides, and warnings.

    Raises:
        Refused: something still uses what a contract revision removes, or rows hold values there that no backfill has
            copied; the message lists all of it.
    """
    if pending.first or not pending.revisions:
        return GuardResult()  # an empty database has nothing that a service could use
    going = _pending_contracts(pending, backend)
    if not any(one.contract for one in going):
        return GuardResult()
    with backend.engine().connect() as connection:
        obstacles = list(_obstacles(deployment, backend, connection, _without_recreated(deployment, going)))
        contracts = {one.revision: one.contract for one in going}
        covering = find_uncovered(deployment, backend, connection, contracts)
        connection.rollback()
    if (obstacles or covering.uncovered) and not force:
        raise Refused(obstacles, covering.uncovered)
    return GuardResult([*obstacles, *covering.uncovered], covering.differing)


def _pending_contracts(pending: Pending, backend: Server) -> list[PendingContract]:
    scripts, dialect = pending.scripts, DIALECTS[backend.identity.engine]
    return [
        PendingContract(name, _removed(scripts.get_revision(name), scripts.recording(name, dialect)))
        for name in pending.revisions
    ]


def _without_recreated(deployment: Deployment, going: Iterable[PendingContract]) -> list[PendingContract]:
    """Leave out what a later pending revision creates again."""
    final = next(reversed(states(deployment).values()), {})
    found = []
    for one in going:
        retires = {
            key: None if columns is None else tuple(c for c in columns if c not in final.get(key, {}))
            for key, columns in one.contract.retires.items()
            if columns is not None or key not in final
        }
        found.append(PendingContract(one.revision, replace(one.contract, retires=retires)))
    return found


def _removed(script: Script, recording: Recording) -> Contract:
    """Return what a revision declares as retired, and what it drops without declaring it."""
    declared = contract_of(script)
    retires = dict(declared.retires)
    made = set()
    for done in recording.done:
        op = done.operation
        if isinstance(op, ops.CreateTableOp):
            made.add(key_of(op.schema, op.table_name))
        elif isinstance(op, ops.DropTableOp):
            key = key_of(op.schema, op.table_name)
            if key not in made:
                retires[key] = None
        elif isinstance(op, ops.DropColumnOp):
            key = key_of(op.schema, op.table_name)
            columns = retires.get(key, ())
            if key not in made and columns is not None and op.column_name not in columns:
                retires[key] = (*columns, op.column_name)
    return replace(declared, retires=retires)


def _obstacles(
    deployment: Deployment, backend: Backend, connection: sa.Connection, going: Iterable[PendingContract]
) -> Iterator[Obstacle]:
    going = list(going)
    pending = [one.revision for one in going]
    going = [one for one in going if one.contract]
    mirrors = {mirror.service: mirror for mirror in _mirrors(deployment)}
    for mirror in mirrors.values():
        place = deployment.display_path(deployment.mirrors / f"{mirror.service}{SUFFIX}")
        for one in going:
            # A service does not start before its mirror's revision has run, so a NOT NULL set earlier cannot fail its
            # inserts.
            waits = mirror.revision in pending and pending.index(mirror.revision) > pending.index(
                one.revision
            )
            contract = replace(one.contract, tightens={}) if waits else one.contract
            for what in _used(contract, uses(mirror)):
                yield Obstacle(one.revision, f"{one.revision} {what}, by {mirror.service} as {place} says")
    known = _recorded(connection)
    # An account that is no longer declared cannot log in any more, but may still be connected.
    services: dict[str, str] = {}
    if sa.inspect(connection).has_table(releases.account.name):
        rows = connection.execute(sa.select(releases.account.c.login, releases.account.c.service))
        services = {row.login: row.service for row in rows}
    services |= {account.login: account.service for account in deployment.accounts.values()}
    services |= {mirror.login: mirror.service for mirror in mirrors.values()}
    for found in connected(backend, connection, services):
        service = services[found.login]
        given = [
            seen
            for (who, revision), several in known.items()
            if who == service and found.revision in (None, revision)
            for seen in several
        ]
        mine = mirrors.get(service)
        if found.revision is not None and not given and (mine is None or mine.revision != found.revision):
            unknown = (
                f"{service} is connected ({_count(found)}) with a mirror that no job has recorded: what it uses is not"
                " known"
            )
            yield from (Obstacle(one.revision, unknown) for one in going)
        for one in going:
            for what in dict.fromkeys(what for seen in given for what in _used(one.contract, seen)):
                yield Obstacle(
                    one.revision, f"{one.revision} {what}, by {service}, which is connected ({_count(found)})"
                )


def _count(found: Connected) -> str:
    number = counted(found.count, "connection")
    with_ = (
        f"of release {found.revision}"
        if found.revision
        else f"of account {found.login}; its release cannot be seen"
    )
    return f"{number} {with_}"


def _used(contract: Contract, seen: Uses) -> Iterator[str]:
    for key, columns in contract.retires.items():
        if key not in seen:
            continue
        if columns is None:
            yield f"retires {key}, which is used"
        for column in columns or ():
            if column in seen[key]:
                yield f"retires {key}.{column}, which is used"
    for key, columns in contract.tightens.items():
        for column in columns:
            how = seen.get(key, {}).get(column)
            if key in seen and how is None and "i" in seen[key].get("", ""):
                yield f"makes {key}.{column} NOT NULL, which is left out of inserts"
            elif how is not None and "n" in how:
                yield f"makes {key}.{column} NOT NULL, which may be written as NULL"


def uses(mirror: Mirror) -> Uses:
    """Return what a service uses according to its mirror."""
    return {key_of(table.schema, table.name): _of(table) for table in mirror.tables.values()}


def _of(table: Table) -> dict[str, str]:
    found = {"": "i" if "insert" in table.verbs else ""}
    for column in table.columns.values():
        writes = column.insertable or column.updatable
        found[column.name] = (
            ("r" if column.selectable else "")
            + ("w" if writes else "")
            + ("n" if writes and column.nullable else "")
        )
    return found


def _mirrors(deployment: Deployment) -> Iterator[Mirror]:
    for path in sorted(deployment.mirrors.glob(f"*{SUFFIX}")):
        yield Mirror.load(path)


# The job records the mirrors of each release, because services keep running with them after the next release.


def record_uses(deployment: Deployment, backend: Server) -> None:
    """Record what the services use according to the mirrors in the repository; existing records are not repeated.

    Args:
        deployment: the deployment, with its mirrors.
        backend: its database.
    """
    with backend.engine().connect() as connection:
        releases.ensure(connection)
        for insertion in recording_statements(deployment, connection):
            connection.execute(insertion)
        connection.commit()


def recording_statements(deployment: Deployment, connection: sa.Connection) -> Iterator[sa.Insert]:
    """Yield the statements that record the uses of mirrors not recorded yet.

    Args:
        deployment: the deployment, with its mirrors.
        connection: the admin's; before the first job the table of records does not exist.
    """
    have = set()
    if sa.inspect(connection).has_table(_table.name):
        rows = connection.execute(sa.select(_table.c.service, _table.c.revision, _table.c.digest))
        have = {tuple(row) for row in rows}
    for mirror in _mirrors(deployment):
        text = json.dumps(uses(mirror), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if (mirror.service, mirror.revision or "", digest) not in have:
            values = {"service": mirror.service, "revision": mirror.revision or "", "digest": digest}
            yield sa.insert(_table).values(uses=text, **values)


def _recorded(connection: sa.Connection) -> dict[tuple[str, str], list[Uses]]:
    found: dict[tuple[str, str], list[Uses]] = {}
    if sa.inspect(connection).has_table(_table.name):
        for row in connection.execute(sa.select(_table)).mappings():
            found.setdefault((row["service"], row["revision"]), []).append(json.loads(row["uses"]))
    return found


_table = releases.mirror
