"""What is wanted: the accounts of a deployment and their grants, each with the line that asked for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """The line of the manifest that something comes from."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


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
    further: tuple[Origin, ...] = ()
    """Other lines that ask for the same verb on the same table."""

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


PUBLIC = ("create", "connect", "temp", "execute")


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

    @property
    def variable(self) -> str:
        """The environment variable that holds the account's password for the job: `<SERVICE>_DB_PASS`."""
        return f"{_shout(self.service)}_DB_PASS"


def _shout(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name).upper()
