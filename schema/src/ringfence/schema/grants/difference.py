"""What is wanted less what is held: the only privileges an apply grants, and the only ones it takes away."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ringfence.schema.manifest.model import Account

# Tables of our own that every service reads at start.
READABLE = ("ringfence_release", "ringfence_retired")
GRANT_OPTION = "grant option for"
"""Before a verb: the right to pass it on, where that is held verb by verb."""


@dataclass(frozen=True, slots=True, order=True)
class Privilege:
    """One verb for one login on one thing; `column` is empty for the whole thing.

    `kind` is table, sequence, schema, database, server, or role for a membership. `schema` and `name` are the real
    ones, as the catalogs have them; what a kind does not need is empty.
    """

    login: str
    kind: str
    schema: str
    name: str
    verb: str
    column: str = ""

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What one GRANT statement can be about: the login and the thing."""
        return self.login, self.kind, self.schema, self.name

    def __str__(self) -> str:
        column = f" ({self.column})" if self.column else ""
        thing = ".".join(filter(None, (self.schema, self.name)))
        return f"{self.login}: {self.verb}{column} on {self.kind}{' ' + thing if thing else ''}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What to grant, what to revoke, and what those revokes take along and must be granted again; each sorted."""

    grant: tuple[Privilege, ...]
    revoke: tuple[Privilege, ...]
    again: tuple[Privilege, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one GRANT or REVOKE says: verbs on one thing for one login, `None` for the whole thing, else columns."""

    login: str
    kind: str
    schema: str
    name: str
    verbs: tuple[tuple[str, tuple[str, ...] | None], ...]

    @property
    def passes_on(self) -> bool:
        """Whether this is of rights to pass on, of which no other statement can speak."""
        return any(verb.startswith(GRANT_OPTION) for verb, _ in self.verbs)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one statement says: of several logins, and of several things of a kind, each as (schema, name)."""

    logins: tuple[str, ...]
    kind: str
    things: tuple[tuple[str, str], ...]
    verbs: tuple[tuple[str, tuple[str, ...] | None], ...]

    @property
    def schema(self) -> str:
        """That of the first thing, which is the only one where an engine takes one for a statement."""
        return self.things[0][0]

    @property
    def name(self) -> str:
        """That of the first thing."""
        return self.things[0][1]

    @property
    def passes_on(self) -> bool:
        """Whether this is of rights to pass on, of which no other statement can speak."""
        return any(verb.startswith(GRANT_OPTION) for verb, _ in self.verbs)


def table_privileges(accounts: Iterable[Account], default_schema: str) -> set[Privilege]:
    """The privileges on tables that the manifest gives, and SELECT on the two tables each service reads at start."""
    wanted = set()
    for account in accounts:
        for name in READABLE:
            wanted.add(Privilege(account.login, "table", default_schema, name, "select"))
        for grant in account.grants:
            schema = grant.schema or default_schema
            for column in grant.columns if grant.columns is not None else ("",):
                wanted.add(Privilege(account.login, "table", schema, grant.table, grant.verb, column))
    return wanted


def difference(wanted: Iterable[Privilege], held: Iterable[Privilege]) -> Difference:
    """Compare what the manifest gives with what the catalogs say.

    Revoking a verb on a table takes it from the table's columns too, on every engine that has accounts: so what of
    those is wanted is granted again, and what is not needs no revoke of its own.
    """
    want, have = set(wanted), set(held)
    revoke = have - want
    emptied = {(p.place, p.verb) for p in revoke if p.kind == "table" and not p.column}
    again = {p for p in want if p.column and (p.place, p.verb) in emptied}
    revoke -= {p for p in revoke if p.column and (p.place, p.verb) in emptied}
    return Difference(tuple(sorted(want - have - again)), tuple(sorted(revoke)), tuple(sorted(again)))


def bundles(privileges: Iterable[Privilege]) -> Iterator[Bundle]:
    """Gather what one statement can say, in a steady order; rights to pass on go before the rights themselves."""
    things: dict[tuple[bool, tuple[str, str, str, str]], dict[str, list[str]]] = {}
    for privilege in sorted(privileges, key=lambda p: (not p.verb.startswith(GRANT_OPTION), p)):
        verbs = things.setdefault((privilege.verb.startswith(GRANT_OPTION), privilege.place), {})
        verbs.setdefault(privilege.verb, []).append(privilege.column)
    for (_, place), verbs in things.items():
        said: list[tuple[str, tuple[str, ...] | None]] = []
        for verb, columns in verbs.items():
            if "" in columns:
                said.append((verb, None))
            if named := tuple(column for column in columns if column):
                said.append((verb, named))
        yield Bundle(*place, tuple(said))


def batches(privileges: Iterable[Privilege], *, things: bool) -> Iterator[Batch]:
    """Gather bundles that say the same, so that one statement says it of several logins.

    Columns are those of one table, and a membership has a grantor of its own: neither is gathered over things.

    Args:
        privileges: what to grant, or to revoke.
        things: whether the engine takes several things in one statement.
    """
    of_logins: dict[Batch, list[str]] = {}
    for b in bundles(privileges):
        alone = (b.login,) if b.kind == "role" else ()
        of_logins.setdefault(Batch(alone, b.kind, ((b.schema, b.name),), b.verbs), []).append(b.login)
    of_things: dict[Batch, list[tuple[str, str]]] = {}
    for batch, logins in of_logins.items():
        one = not things or batch.kind == "role" or any(columns for _, columns in batch.verbs)
        same = Batch(tuple(logins), batch.kind, batch.things if one else (), batch.verbs)
        of_things.setdefault(same, []).extend(batch.things)
    for batch, found in of_things.items():
        yield replace(batch, things=tuple(found))
