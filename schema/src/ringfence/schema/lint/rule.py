"""What a rule is, and what it is shown: one operation with all that stands around it, or a revision as a whole."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import sqlalchemy as sa
from alembic.operations import MigrateOperation

from ringfence.runtime.mirror import Mirror
from ringfence.schema.lint.finding import Severity
from ringfence.schema.manifest.model import Account
from ringfence.schema.models.types import ENGINES, MYSQL_FAMILY, POSTGRESQL, SQLITE
from ringfence.schema.revisions.contract import Contract
from ringfence.schema.revisions.recording import Done, Recording
from ringfence.schema.revisions.table_state import Schema, key_of

ERROR, WARNING = Severity.ERROR, Severity.WARNING
Severities = Mapping[str, Severity]


def on(*pairs: tuple[Iterable[str], Severity]) -> Severities:
    """Severity by engine; an engine that is not named is not looked at."""
    return MappingProxyType({engine: severity for engines, severity in pairs for engine in engines})


EVERYWHERE = on((ENGINES, ERROR))
SERVERS = on((POSTGRESQL | MYSQL_FAMILY, ERROR))
POSTGRESQL_ALONE = on((POSTGRESQL, ERROR))
POSTGRESQL_AND_FAMILY = on((POSTGRESQL, ERROR), (MYSQL_FAMILY, WARNING))
SQLITE_ALONE = on((SQLITE, ERROR))


@dataclass(frozen=True)
class Around:
    """What is the same for all revisions of one lint: who uses the tables, and what is left at the head."""

    mirrors: tuple[Mirror, ...]
    accounts: Mapping[str, Account]
    head: Schema
    later: frozenset[str] = frozenset()
    """The revisions after the one that is looked at: a service whose mirror stands at one of them waits for it."""


@dataclass(frozen=True)
class Step:
    """One operation of a revision's upgrade, on one engine."""

    done: Done
    engine: str
    dialect: sa.Dialect
    before: Schema
    """What the operations before it made."""
    created: frozenset[str]
    """The tables that this revision made itself: nobody uses them yet, and they hold no rows."""
    around: Around
    contract: Contract = field(default_factory=Contract)
    """What the revision says that it takes away."""

    @property
    def operation(self) -> MigrateOperation:
        """The operation itself."""
        return self.done.operation

    def is_new(self, schema: str | None, table: str) -> bool:
        """Whether this revision made the table."""
        return key_of(schema, table) in self.created


@dataclass(frozen=True)
class Whole:
    """A revision on one engine: both of its functions."""

    engine: str
    upgrade: Recording
    downgrade: Recording
    created: frozenset[str]
    """Every table that the upgrade makes."""


@dataclass(frozen=True)
class Hit:
    """Something found in a whole revision."""

    line: int | None
    """None: that of the function."""
    message: str
    function: str = "upgrade"


@dataclass(frozen=True)
class Rule:
    """One rule: what it is called, how bad what it finds is on each engine, and how it looks."""

    id: str
    summary: str
    way_out: str
    """What to do instead, in a line."""
    severity: Severities
    step: Callable[[Step], Iterable[str]] | None = None
    """Looks at one operation; gives a message for each thing it finds."""
    whole: Callable[[Whole], Iterable[Hit]] | None = None
    """Looks at a revision as a whole."""
    passing: bool = False
    """Whether what it finds depends on files that go on changing, so that a comment may come to allow nothing."""
