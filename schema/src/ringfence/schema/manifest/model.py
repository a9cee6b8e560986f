"""The resolved manifest: the accounts of a deployment and their grants, each with its line in the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ringfence.schema.sql.table_keys import key_of


@dataclass(frozen=True, slots=True)
class Origin:
    """The file and line of the manifest that an object comes from."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one column of a row.

    `kind` is "equals" (`value` is a constant), "in" (a tuple of constants), "null" (None) or "bound" (the name of the
    scope whose value each session binds).
    """

    column: str
    kind: str
    value: Any = None

    def as_json(self) -> dict[str, Any]:
        """Write the condition as the mirror holds it: `{kind: value}`."""
        if self.kind == "null":
            return {"null": True}
        return {self.kind: list(self.value) if self.kind == "in" else self.value}


Conjunction = tuple[Condition, ...]
"""Conditions that must all hold, in the order of the table's columns."""
Scope = tuple[Conjunction, ...] | None
"""Alternatives, of which at least one must hold; None means every row."""


@dataclass(frozen=True, slots=True)
class BoundScope:
    """A scope whose value each session binds; declared under `scopes:` of the manifest, or by its first use."""

    name: str
    type: str
    """The name of the portable type of its value."""
    setting: str
    """The PostgreSQL setting that holds the value, so that clients in other languages can set it."""
    unset: str = "none"
    """`none`: a session that binds no value sees no row; `error`: its statements fail."""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """One verb on one table for one account.

    `columns` is None for the whole table, and always for delete; else the columns in the order of the models.
    """

    verb: str
    schema: str | None
    table: str
    columns: tuple[str, ...] | None
    origin: Origin
    other_origins: tuple[Origin, ...] = ()
    """The other lines that ask for the same verb on the same table."""
    scope: Scope = None
    """The rows that it reaches in effect; for a write, its own rows that are in the SELECT scope too."""
    declared_scope: Scope = None
    """The rows that the manifest gives for this verb alone."""
    binds: tuple[str, ...] = ()
    """The bound scopes that a view's WHERE reads."""

    @property
    def by(self) -> str:
        """The file and every line of the manifest that asks for this grant."""
        return ", ".join([str(self.origin), *(str(origin.line) for origin in self.other_origins)])

    @property
    def key(self) -> str:
        """The table's key in `Deployment.tables`: `table` or `schema.table`."""
        return key_of(self.schema, self.table)


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """Where passwords are read from that have no variable of their own: a folder of files, or a JSON variable."""

    folder: str | None = None
    """The folder of password files, relative to the deployment's folder; None for none."""
    key: str = "{login}"
    """The template of a file's name: {login} and {service}, or {LOGIN} and {SERVICE} in the form of variables."""
    variable: str | None = None
    """A variable with a JSON object, login or service -> password; with the suffix _FILE, the path of its file."""

    def file(self, account: "Account") -> str:
        """The file name of an account's password in `folder`."""
        words = {"login": account.login, "service": account.service}
        words |= {word.upper(): _environment_name(text) for word, text in words.items()}
        return self.key.format_map(words)


@dataclass(frozen=True, slots=True)
class Policy:
    """The parts of the manifest other than its accounts."""

    removed: tuple[str, ...] = ()
    """Removed logins: `access apply` locks them, and with `--prune` drops them."""
    public: frozenset[str] = frozenset()
    """The privileges that PostgreSQL's PUBLIC keeps: words of `PUBLIC`."""
    passwords: PasswordSource = PasswordSource()
    scopes: Mapping[str, BoundScope] = field(default_factory=dict)
    """The bound scopes, by name."""
    protected: frozenset[str] = frozenset()
    """Logins of people and other programs, which no account may use and whose grants are known."""


ANYWHERE = "%"
PUBLIC = ("create", "connect", "temp", "execute")


@dataclass(frozen=True, slots=True)
class Function:
    """A database function that an account may execute, by its signature as the manifest writes it."""

    signature: str
    origin: Origin

    @property
    def name(self) -> str:
        """The name without the argument types, for engines without overloaded functions."""
        return self.signature.partition("(")[0].strip()


@dataclass(frozen=True, slots=True)
class Account:
    """One service's database account, with at most one grant for each verb on each table."""

    service: str
    login: str
    grants: tuple[Grant, ...]
    origin: Origin
    limits: tuple[tuple[str, str], ...] = ()
    """Properties of the login: connection_limit, valid_until and names of session settings, each with its value."""
    workloads: tuple[str, ...] = ()
    """The workloads that run under this account; each workload has one account."""
    functions: tuple[Function, ...] = ()
    host: str = ANYWHERE
    """The host part of the account on MySQL and MariaDB: an address, or a pattern with % and _."""

    @property
    def variable(self) -> str:
        """The environment variable that holds the account's password for the job: `<SERVICE>_DB_PASS`."""
        return f"{_environment_name(self.service)}_DB_PASS"

    def grants_by_table(self) -> dict[str, dict[str, Grant]]:
        """The grants by the key of their table and then by verb, in their order."""
        found: dict[str, dict[str, Grant]] = {}
        for grant in self.grants:
            found.setdefault(grant.key, {})[grant.verb] = grant
        return found

    @property
    def bound(self) -> frozenset[str]:
        """The scopes that this account's sessions bind: those of its rows, and those that its views read."""
        return self.bound_by_rows.union(name for grant in self.grants for name in grant.binds)

    @property
    def bound_by_rows(self) -> frozenset[str]:
        """The bound scopes that the `rows:` of this account use."""
        return frozenset(
            condition.value
            for grant in self.grants
            for part in grant.scope or ()
            for condition in part
            if condition.kind == "bound"
        )


def _environment_name(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name).upper()
