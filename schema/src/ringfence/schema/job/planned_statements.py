"""Predicts every statement that a job will send, in its order, before the job sends the first."""

from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.sql import ClauseElement

from ringfence.schema.alembic_compat import version_table
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, first_line
from ringfence.schema.errors import SchemaError
from ringfence.schema.job.contract_guard import recording_statements
from ringfence.schema.job.description import RevisionDescription
from ringfence.schema.job.rehearsal import StatementGroup, comparable_sql, rehearsal
from ringfence.schema.job.revision_access import RevisionAccess
from ringfence.schema.lint.check import states
from ringfence.schema.lint.pending import Pending
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.privileges.plan import MISSING, Plan
from ringfence.schema.sql.table_keys import split_key
from ringfence.schema.sql.text import single_percents
from ringfence.schema.state import apply_journal, releases

Access = Callable[[sa.Connection, bool], Plan | None]
"""Plans the accounts' access on a connection; True plans for the end of revisions that the connection does not see."""


@dataclass
class Prediction:
    """The statements that a job will send, and what cannot be predicted."""

    parts: list[StatementGroup] = field(default_factory=list)
    access: Plan | None = None
    unknown: list[str] = field(default_factory=list)
    """What is known only after a revision has run, and why."""
    rehearsed: bool = False
    """Whether the revisions were run and rolled back."""


def predict(
    deployment: Deployment,
    backend: Backend,
    connection: sa.Connection,
    pending: Pending,
    descriptions: list[RevisionDescription],
    access: Access,
) -> Prediction:
    """Predict the statements of a job and the access plan at its end.

    Where DDL can be rolled back, the revisions of an empty database are run and rolled back, and the access is
    planned on their result. Otherwise, and when tables are in use that this would lock, the statements come from the
    revisions' recorded operations, and the access is planned from the models.

    Args:
        deployment: the deployment.
        backend: its database.
        connection: the admin's; it only reads.
        pending: the revisions that are to run; none if only Ringfence's own tables are missing.
        descriptions: the descriptions of these revisions.
        access: plans the accounts' access.

    Returns:
        The statements, the access plan, and what cannot be predicted.
    """
    prediction = Prediction()
    if backend.features.transactional_ddl and pending.first:
        try:
            return _rehearsed(deployment, backend, pending, descriptions, access)
        except (SchemaError, sa.exc.SQLAlchemyError) as error:
            why = first_line(error) if isinstance(error, sa.exc.DBAPIError) else str(error)
            prediction.unknown.append(
                "the revisions do not run on this database in one transaction, so what the accounts get of what they"
                f" make is planned from the models: {why}"
            )
    return _read(prediction, deployment, backend, connection, pending, descriptions, access)


def _rehearsed(
    deployment: Deployment,
    backend: Backend,
    pending: Pending,
    descriptions: list[RevisionDescription],
    access: Access,
) -> Prediction:
    with rehearsal(deployment, backend, pending, descriptions) as rehearsed:
        found = Prediction(rehearsed.parts, access(rehearsed.connection, False), rehearsed=True)
        if found.access is not None:
            found.parts.append(StatementGroup("access", sql=found.access.sql()))
        found.parts.append(StatementGroup("records", sql=_mirrors(deployment, rehearsed.connection)))
    return found


def _read(
    prediction: Prediction,
    deployment: Deployment,
    backend: Backend,
    connection: sa.Connection,
    pending: Pending,
    descriptions: list[RevisionDescription],
    access: Access,
) -> Prediction:
    """Predict from the recorded operations and the models."""
    records = _Records(connection, pending, deployment)
    parts = prediction.parts
    parts.append(StatementGroup("records", sql=records.tables()))
    revision_access = RevisionAccess(
        deployment, backend, pending.scripts, pending.revisions, lambda text: None
    )
    ours = releases.account.name in records.existing
    for description in descriptions:
        narrow, detach = revision_access.preparation(connection, description.revision) if ours else ([], [])
        sql = [one.manual_sql or f"{one};" for one in (*narrow, *detach)]
        parts.append(
            StatementGroup(
                "revision", description.revision, [*sql, *description.sql, *records.of(description.revision)]
            )
        )
        if description.reads_database:
            prediction.unknown.append(
                f"revision {description.revision} asks the database, and is shown as if that answered with no row"
            )
        prediction.unknown += [
            f"revision {description.revision}: {line.removeprefix('-- ')}"
            for line in description.sql
            if line.startswith("--")
        ]
    prediction.access = plan = _plan_access(prediction, deployment, backend, connection, pending, access)
    if plan is not None:
        if ours and pending.revisions and (now := access(connection, False)) is not None:
            plan.kept = now.kept  # kept until the contract revision among these has run
        known = {comparable_sql(statement) for statement in parts[0].sql}
        plan.steps = [step for step in plan.steps if comparable_sql(str(step.statement)) not in known]
        prediction.unknown += [text for text in plan.obstacles if text.endswith(MISSING)]
        if backend.accounts is not None and not backend.features.transactional_ddl:
            parts.append(StatementGroup("records", sql=records.table(apply_journal.table)))
        parts.append(StatementGroup("access", sql=plan.sql()))
    parts.append(StatementGroup("records", sql=_mirrors(deployment, connection)))
    return prediction


def _plan_access(
    prediction: Prediction,
    deployment: Deployment,
    backend: Backend,
    connection: sa.Connection,
    pending: Pending,
    access: Access,
) -> Plan | None:
    """Plan the access with the future tables created and rolled back, where DDL is transactional.

    They are created without foreign keys, which would lock the tables that are in use.
    """
    if not (pending.revisions and backend.features.transactional_ddl and backend.accounts is not None):
        return access(connection, bool(pending.revisions))
    inspector = sa.inspect(connection)
    missing = [
        table
        for table in deployment.tables.values()
        if not is_view(table) and not inspector.has_table(str(table.name), table.schema)
    ]
    with backend.engine().connect() as apart:
        try:
            for table in missing:
                made = table.to_metadata(sa.MetaData(naming_convention=table.metadata.naming_convention))
                made.constraints -= made.foreign_key_constraints
                made.create(apart, checkfirst=True)
            return access(apart, True)
        except sa.exc.SQLAlchemyError as error:
            why = first_line(error) if isinstance(error, sa.exc.DBAPIError) else str(error)
            prediction.unknown.append(
                f"the tables to come cannot be created beside those in use for a moment, so their sequences and"
                f" policies are not planned: {why}"
            )
        finally:
            apart.rollback()
    return access(connection, True)


class _Records:
    """The statements that write Ringfence's own tables and Alembic's version table."""

    def __init__(self, connection: sa.Connection, pending: Pending, deployment: Deployment) -> None:
        self._dialect = connection.dialect
        self.existing = set(sa.inspect(connection).get_table_names())
        self._version: sa.Table = version_table(connection)
        standing = releases.ancestors(pending.scripts, pending.heads)
        order = [*standing, *pending.revisions]
        have = releases.recorded(connection) if releases.release.name in self.existing else {}
        self._unrecorded = [revision for revision in standing if revision not in have]
        self._seq = {revision: number for number, revision in enumerate(order, 1)}
        self._states = states(deployment)
        self._last = dict(zip(order[1:], order, strict=False))

    def table(self, table: sa.Table) -> list[str]:
        """Return the CREATE TABLE of a table that does not exist."""
        if table.name in self.existing:
            return []
        return [self._text(sa.schema.CreateTable(table))]

    def tables(self) -> list[str]:
        """Return what creates the missing tables and records earlier revisions, in the order of a job."""
        found = [sql for table in releases.metadata.sorted_tables for sql in self.table(table)]
        if releases.formats.name not in self.existing:
            found.append(self._text(releases.first_format()))
        found += [self._text(releases.insertion(one, self._seq[one])) for one in self._unrecorded]
        return found + self.table(self._version)

    def of(self, revision: str) -> list[str]:
        """Return what records that a revision has run, and the columns that it retired."""
        before = self._last.get(revision)
        column = self._version.c.version_num
        if before is None:
            version: ClauseElement = sa.insert(self._version).values(
                version_num=sa.literal_column(f"'{revision}'")
            )
        else:
            version = (
                sa.update(self._version)
                .values(version_num=sa.literal_column(f"'{revision}'"))
                .where(column == sa.literal_column(f"'{before}'"))
            )
        seq = self._seq[revision]
        statements = [version, releases.insertion(revision, seq)]
        statements += releases.retirement(seq, self._objects(before), self._objects(revision))
        return [self._text(one) for one in statements]

    def _objects(self, revision: str | None) -> frozenset[tuple[str | None, str, str]]:
        state = self._states.get(revision, {}) if revision else {}
        return frozenset((*split_key(key), column) for key, columns in state.items() for column in columns)

    def _text(self, statement: ClauseElement) -> str:
        return inline_sql(statement, self._dialect)


def inline_sql(statement: ClauseElement, dialect: sa.Dialect) -> str:
    """Return a SQLAlchemy statement as SQL text with its values inlined."""
    words = {} if isinstance(statement, sa.schema.ExecutableDDLElement) else {"literal_binds": True}
    text = str(statement.compile(dialect=dialect, compile_kwargs=words))
    return f"{single_percents(text, dialect).strip()};"


def _mirrors(deployment: Deployment, connection: sa.Connection) -> list[str]:
    return [inline_sql(one, connection.dialect) for one in recording_statements(deployment, connection)]
