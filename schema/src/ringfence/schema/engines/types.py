"""The values that backends take and return: statements, logins, findings, row security; no behaviour."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

RelationKey = tuple[str, str]
"""The schema and name of a table, view or sequence in the database."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which engine a server is, as the deployment file names it, and the version that the server reports."""

    engine: str
    version: str


@dataclass(slots=True)
class Findings:
    """What a check of the server found before anything was changed."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Change:
    """What a statement changes, for a plan: the state on the server, the declared state, and the manifest's lines.

    Args:
        on: The kind of object and its name: `policy ringfence_select_hub on public.orders`.
        held: The state now; `-` for none.
        wanted: The declared state; `-` for none.
        login: The account that it concerns; empty when it concerns every account.
        by: The lines of the manifest that ask for it.
        table: The real schema and name of the table whose rows it decides on; None where it is about no table.
        verb: The verb that it decides on; empty for all.
        finding: What a proof reports while the state differs: `excess` or `missing`.
    """

    on: str
    current: str
    declared: str
    login: str = ""
    by: str = ""
    table: tuple[str, str] | None = None
    verb: str = ""
    finding: str = "excess"

    @property
    def kind(self) -> str:
        """The first word of `on`."""
        return self.on.split(" ", 1)[0]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement to send, and how it may be shown.

    Args:
        sql: The statement as it is sent.
        parameters: Its parameters.
        shown: What may be printed, without a secret; empty where that is `sql`.
        secret: Whether the statement holds a secret. An error of such a statement is raised without its cause.
        manual_sql: What a person may run in its place, where that differs from what is shown.
        inverse: The statement that reverses it, where that is known.
        about: What it changes; None when that is what the statement beside it changes.
    """

    sql: str
    parameters: tuple[object, ...] = ()
    shown: str = ""
    secret: bool = False
    manual_sql: str = ""
    inverse: str = ""
    about: Change | None = None

    def __str__(self) -> str:
        return self.shown or self.sql

    __repr__ = __str__

    @classmethod
    def plain(cls, sql: str, about: Change | None = None) -> Self:
        """Return a statement without parameters; its percent signs are doubled, because the drivers format every text.

        Args:
            sql: The statement as the server reads it.
            about: What it changes.
        """
        return cls(sql.replace("%", "%%"), shown=sql, about=about)


@dataclass(frozen=True, slots=True)
class Login:
    """An account as it is on the server."""

    login: str
    enabled: bool
    unfit: str | None = None
    """Why this account cannot be a service's, for instance because it is a superuser; None when it can."""
    excess_attribute: str | None = None
    """Why the account cannot be adopted: an attribute that lets it do more, such as creating roles.

    An account that the deployment manages already loses the attribute instead.
    """


@dataclass(frozen=True, slots=True)
class OpenConnections:
    """How many connections a login has open from one address.

    `host` is empty where the admin may not see it; `node` names the server of a cluster on which they are open.
    """

    login: str
    host: str
    count: int
    node: str = ""

    def __str__(self) -> str:
        where = self.host or "an address that the admin may not see"
        return f"{self.count} from {where}{f' on {self.node}' if self.node else ''}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a login was refused, and whether that means, as far as is known, that its password is another one."""

    why: str
    password: bool


@dataclass(slots=True)
class PasswordComparison:
    """The result of comparing passwords with those that accounts have."""

    other: set[str] = field(default_factory=set)
    """The logins that have another password."""
    unknown: list[str] = field(default_factory=list)
    """A line for each login where it could not be determined, with the reason; its password is not changed."""


@dataclass(slots=True)
class RowSecurity:
    """What row security needs on the server beside grants; `before` and `after` are empty when it is complete."""

    before: list[Statement] = field(default_factory=list)
    """What creates it: sent before the grants, which may name its objects."""
    after: list[Statement] = field(default_factory=list)
    """What drops parts that are no longer declared: sent after the revokes."""
    obstacles: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    views: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """(schema, view) -> (schema, table), for tables that a pending contract revision drops or takes columns from.

    Accounts use these views in place of the tables.
    """


@dataclass(frozen=True, slots=True)
class PendingDrops:
    """Columns and tables that pending contract revisions drop.

    The models no longer have them, and old services still use them. In the keys, a schema of None is the default one.
    """

    columns: Mapping[tuple[str | None, str], Mapping[str, str]] = field(default_factory=dict)
    """(schema, table) -> column -> the revision that drops it."""
    tables: Mapping[tuple[str | None, str], str] = field(default_factory=dict)
    """(schema, table) -> the revision that drops the table."""

    def __bool__(self) -> bool:
        return bool(self.columns or self.tables)


NO_PENDING_DROPS = PendingDrops()


Altered = Mapping[tuple[str | None, str], Collection[str]]
"""(schema, table) -> the columns that are altered; an empty collection means the whole table."""
