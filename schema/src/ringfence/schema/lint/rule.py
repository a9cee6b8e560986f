"""Lint rules and their input: one operation with its context, or a revision as a whole."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import sqlalchemy as sa
from alembic.operations import MigrateOperation

from ringfence.runtime.mirror import Mirror
from ringfence.schema.features import MYSQL_FAMILY, POSTGRESQL, SQLITE
from ringfence.schema.lint.finding import Severity
from ringfence.schema.manifest.model import Account
from ringfence.schema.models.types import ENGINES
from ringfence.schema.revisions.contract import Contract
from ringfence.schema.revisions.recording import RecordedOperation, Recording
from ringfence.schema.revisions.table_state import Schema
from ringfence.schema.sql.table_keys import key_of

ERROR, WARNING = Severity.ERROR, Severity.WARNING
Severities = Mapping[str, Severity]


def on(*pairs: tuple[Iterable[str], Severity]) -> Severities:
    """Map engines to severities; a rule is not run for engines that are missing.

    Args:
        pairs: engines, with the severity of findings on them.
    """
    return MappingProxyType({engine: severity for engines, severity in pairs for engine in engines})


EVERYWHERE = on((ENGINES, ERROR))
SERVERS = on((POSTGRESQL | MYSQL_FAMILY, ERROR))
POSTGRESQL_ALONE = on((POSTGRESQL, ERROR))
POSTGRESQL_AND_FAMILY = on((POSTGRESQL, ERROR), (MYSQL_FAMILY, WARNING))
SQLITE_ALONE = on((SQLITE, ERROR))


@dataclass(frozen=True)
class LintContext:
    """Context of all revisions in one lint run: the services that use the tables, and the schema at the head."""

    mirrors: tuple[Mirror, ...]
    accounts: Mapping[str, Account]
    head: Schema
    """The schema after all revisions."""
    later: frozenset[str] = frozenset()
    """The revisions after the checked one: a service whose mirror requires one of them does not run before it."""


@dataclass(frozen=True)
class OperationCheck:
    """One operation of a revision's upgrade, on one engine."""

    done: RecordedOperation
    engine: str
    dialect: sa.Dialect
    before: Schema
    """The schema that the operations before it produce."""
    created: frozenset[str]
    """The tables that this revision created: no service uses them yet, and they hold no rows."""
    context: LintContext
    contract: Contract = field(default_factory=Contract)
    """What the revision declares to drop (`retires`) and to make stricter (`tightens`)."""

    @property
    def operation(self) -> MigrateOperation:
        """The operation of Alembic."""
        return self.done.operation

    def is_new(self, schema: str | None, table: str) -> bool:
        """Whether this revision created the table.

        Args:
            schema: None is the default one.
            table: name of the table.
        """
        return key_of(schema, table) in self.created


@dataclass(frozen=True)
class RevisionCheck:
    """A revision on one engine: the recordings of its upgrade and its downgrade."""

    engine: str
    upgrade: Recording
    downgrade: Recording
    created: frozenset[str]
    """Every table that the upgrade creates."""


@dataclass(frozen=True)
class RevisionProblem:
    """A problem that a rule found in a whole revision."""

    line: int | None
    """None for the line of the function's definition."""
    message: str
    function: str = "upgrade"
    """`upgrade` or `downgrade`."""


@dataclass(frozen=True)
class Rule:
    """One lint rule: its id and texts, the severity of its findings on each engine, and its check."""

    id: str
    summary: str
    resolution: str
    """What to do instead, in one line."""
    severity: Severities
    check_operation: Callable[[OperationCheck], Iterable[str]] | None = None
    """Checks one operation; returns a message for each problem."""
    check_revision: Callable[[RevisionCheck], Iterable[RevisionProblem]] | None = None
    """Checks a revision as a whole."""
    depends_on_mirrors: bool = False
    """Whether findings depend on mirrors or manifest, which change, so that an unused allow comment is no error."""
