"""What is wanted: the accounts of a deployment and their grants, each with the line that asked for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Origin:
    """The line of the manifest that something comes from."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Condition:
    """What one column of a row must be: `equals` a constant, `in` a tuple of them, `null`, or `bound` to a name."""

    column: str
    kind: str
    value: Any = None

    def as_json(self) -> dict[str, Any]:
        """As the mirror writes it."""
        if self.kind == "null":
            return {"null": True}
        return {self.kind: list(self.value) if self.kind == "in" else self.value}


Conjunction = tuple[Condition, ...]
"""Conditions that all hold, in the order of the table's columns."""
Scope = tuple[Conjunction, ...] | None
"""Alternatives, of which one must hold; None is every row."""


@dataclass(frozen=True, slots=True)
class BoundName:
    """A name that sessions bind to a value; `scopes:` of the manifest declares it, or its first use does."""

    name: str
    type: str
    """The portable type's word."""
    setting: str
    """The PostgreSQL setting that holds the value, for clients in other languages."""
    unset: str = "none"
    """`none`: a session without it sees no row; `error`: its statements fail."""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """One verb on one table for one account.

    `columns` is None for the whole table, and always for delete; else the columns in the order of the models. `scope`
    is what really binds: that of a write is its own and the select scope.
    """

    verb: str
    schema: str | None
    table: str
    columns: tuple[str, ...] | None
    origin: Origin
    further: tuple[Origin, ...] = ()
    """Other lines that ask for the same verb on the same table."""
    scope: Scope = None
    """The rows it reaches in effect."""
    declared: Scope = None
    """The rows as the manifest says them for this verb alone."""
    binds: tuple[str, ...] = ()
    """The names that a view's own WHERE reads."""

    @property
    def by(self) -> str:
        """Every line that asks for it."""
        return ", ".join([str(self.origin), *(str(origin.line) for origin in self.further)])

    @property
    def key(self) -> str:
        """The table's key in `Deployment.tables`: `table` or `schema.table`."""
        return f"{self.schema}.{self.table}" if self.schema else self.table


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """Where passwords are that no variable of their own names: a folder of files, or one variable of JSON."""

    folder: str | None = None
    """From the deployment's folder."""
    key: str = "{login}"
    """The file of an account; {login} and {service}, or {LOGIN} and {SERVICE} as the variables write them."""
    variable: str | None = None
    """A variable that holds a JSON object, login or service -> password; with _FILE, a file that holds it."""

    def file(self, account: "Account") -> str:
        """The name of an account's file."""
        words = {"login": account.login, "service": account.service}
        words |= {word.upper(): _shout(text) for word, text in words.items()}
        return self.key.format_map(words)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the manifest says beside its accounts."""

    removed: tuple[str, ...] = ()
    """Logins that are gone for good: locked, and dropped by `access apply --prune`."""
    public: frozenset[str] = frozenset()
    """What everybody may go on having: words of PUBLIC."""
    passwords: PasswordSource = PasswordSource()
    scopes: Mapping[str, BoundName] = field(default_factory=dict)
    """The names that sessions bind, by name."""
    protected: frozenset[str] = frozenset()
    """Logins that no account may have: those of people and other programs, whose grants are known of."""


ANYWHERE = "%"
PUBLIC = ("create", "connect", "temp", "execute")


@dataclass(frozen=True, slots=True)
class Function:
    """A function that an account may execute, by its signature as the manifest writes it."""

    signature: str
    origin: Origin

    @property
    def name(self) -> str:
        """Without its arguments, for engines that know no two functions of a name."""
        return self.signature.partition("(")[0].strip()


@dataclass(frozen=True, slots=True)
class Account:
    """One service's database login, with all that it may do: at most one grant for a verb on a table."""

    service: str
    login: str
    grants: tuple[Grant, ...]
    origin: Origin
    limits: tuple[tuple[str, str], ...] = ()
    """What the server keeps of the login itself, by the manifest's words: connection_limit, valid_until, settings."""
    workloads: tuple[str, ...] = ()
    """What runs under this account; no two accounts share one."""
    functions: tuple[Function, ...] = ()
    host: str = ANYWHERE
    """Where it may log in from, on the MySQL family: an address, or a pattern with % and _."""

    @property
    def variable(self) -> str:
        """The environment variable that holds the account's password for the job: `<SERVICE>_DB_PASS`."""
        return f"{_shout(self.service)}_DB_PASS"

    @property
    def bound(self) -> frozenset[str]:
        """The names that this account's sessions bind: those of its rows, and those that its views read."""
        return self.bound_by_rows.union(name for grant in self.grants for name in grant.binds)

    @property
    def bound_by_rows(self) -> frozenset[str]:
        """The names that the conditions of this account's rows use."""
        return frozenset(
            condition.value
            for grant in self.grants
            for part in grant.scope or ()
            for condition in part
            if condition.kind == "bound"
        )


def _shout(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name).upper()
