"""What backends give and take: statements, logins, findings, and what surrounds a table; no behaviour."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server it is: `engine` as the deployment file names it, and what the server says of its version."""

    engine: str
    version: str


@dataclass(slots=True)
class Findings:
    """What a look at the server found before anything was changed."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Change:
    """What a statement is about, for a plan: what stands on the server, what should, and who asks for it.

    Args:
        on: the kind of thing and its name: `policy ringfence_select_hub on public.orders`.
        held: what is now; `-` for nothing.
        wanted: what should be; `-` for nothing.
        login: the account that it concerns; empty when it is everybody's.
        by: the lines of the manifest.
        table: the real schema and name of the table whose rows it decides on, where it is about one.
        verb: the verb that it decides on; empty for all.
        finding: what a proof calls it while it stands: `excess` or `missing`.
    """

    on: str
    held: str
    wanted: str
    login: str = ""
    by: str = ""
    table: tuple[str, str] | None = None
    verb: str = ""
    finding: str = "excess"

    @property
    def kind(self) -> str:
        """The word that `on` begins with."""
        return self.on.split(" ", 1)[0]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as sent; `shown` is what may be printed, without a secret. No cause is kept for a secret one.

    `pasted` is what a person may run in its place, where that is not what is shown; `undone` takes it back, where that
    is known; `about` is what it changes, unless that is what the statement beside it changes.
    """

    sql: str
    parameters: tuple[object, ...] = ()
    shown: str = ""
    secret: bool = False
    pasted: str = ""
    undone: str = ""
    about: Change | None = None

    def __str__(self) -> str:
        return self.shown or self.sql

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Login:
    """An account as the server has it."""

    login: str
    enabled: bool
    too_strong: str | None = None
    """Why this account cannot be a service's: it is a superuser, say. None when it can."""
    beyond: str | None = None
    """Why it cannot be taken over: what it may do by itself, which is taken away from an account that is ours."""


@dataclass(frozen=True, slots=True)
class Opened:
    """How many connections a login has open from one address.

    `host` is empty where the admin may not see it; `node` names the server of a cluster that they are open on.
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
    """Why a login was refused; `password` when by all that is known its password is another one."""

    why: str
    password: bool


@dataclass(slots=True)
class Compared:
    """What came of comparing passwords with those that accounts have."""

    other: set[str] = field(default_factory=set)
    """The logins that have another one."""
    unknown: list[str] = field(default_factory=list)
    """Those of which it could not be learnt, each with what refuses its login; none of them is given another."""


@dataclass(slots=True)
class Fence:
    """What the row scopes need on the server beside grants; both lists are empty when it is there already."""

    before: list[Statement] = field(default_factory=list)
    """What makes it: runs before the grants, which may speak of it."""
    after: list[Statement] = field(default_factory=list)
    """What takes away what is no longer wanted: runs after the revokes."""
    obstacles: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    views: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """(schema, view) -> (schema, table): what accounts go through to a table that is about to go, or lose columns."""


@dataclass(frozen=True, slots=True)
class Going:
    """What contracts to come retire, no model has, and old services still use; a schema of None is the default one."""

    columns: Mapping[tuple[str | None, str], Mapping[str, str]] = field(default_factory=dict)
    """(schema, table) -> column -> the revision that takes it."""
    tables: Mapping[tuple[str | None, str], str] = field(default_factory=dict)
    """(schema, table) -> the revision that takes the whole of it."""

    def __bool__(self) -> bool:
        return bool(self.columns or self.tables)


NOTHING_GOES = Going()


Altered = Mapping[tuple[str | None, str], Collection[str]]
"""Tables by schema and name, with None for the default schema, and the columns of each; none for the whole table."""
