"""The difference between declared and held privileges: an apply grants and revokes nothing else."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ringfence.schema.manifest.model import Account

# Ringfence's tables that every service reads at start.
READABLE = ("ringfence_release", "ringfence_retired")
GRANT_OPTION = "grant option for"
"""Prefix of a verb: the grant option for it, on engines that store it for each verb."""


@dataclass(frozen=True, slots=True, order=True)
class Privilege:
    """One verb for one login on one object; `column` is empty for the whole object.

    `kind` is table, sequence, function, schema, database, server, or role for a membership. `schema` and `name` are the
    real ones, as in the catalogs; those that a kind does not need are empty.
    """

    login: str
    kind: str
    schema: str
    name: str
    verb: str
    column: str = ""

    @property
    def target(self) -> tuple[str, str, str, str]:
        """What one GRANT statement can cover: the login and the object."""
        return self.login, self.kind, self.schema, self.name

    def __str__(self) -> str:
        column = f" ({self.column})" if self.column else ""
        thing = ".".join(filter(None, (self.schema, self.name)))
        return f"{self.login}: {self.verb}{column} on {self.kind}{' ' + thing if thing else ''}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What to grant and what to revoke, each sorted.

    `again` holds column privileges that the revokes take along, and that must be granted again.
    """

    grant: tuple[Privilege, ...]
    revoke: tuple[Privilege, ...]
    regrant: tuple[Privilege, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """What one GRANT or REVOKE statement covers: logins, objects of one kind as (schema, name), and verbs.

    Each verb has its columns, or None for the whole object.
    """

    logins: tuple[str, ...]
    kind: str
    objects: tuple[tuple[str, str], ...]
    verbs: tuple[tuple[str, tuple[str, ...] | None], ...]

    @property
    def login(self) -> str:
        """The first login."""
        return self.logins[0]

    @property
    def schema(self) -> str:
        """The schema of the first object, which is the only one on engines that take one object for a statement."""
        return self.objects[0][0]

    @property
    def name(self) -> str:
        """The name of the first object."""
        return self.objects[0][1]

    @property
    def passes_on(self) -> bool:
        """Whether these are grant options; a statement about grant options cannot name other privileges."""
        return any(verb.startswith(GRANT_OPTION) for verb, _ in self.verbs)


def table_privileges(accounts: Iterable[Account], default_schema: str) -> set[Privilege]:
    """Return the privileges on tables that the manifest gives, and SELECT on the tables in `READABLE`.

    Args:
        accounts: The accounts that are declared.
        default_schema: The real name of the default schema.
    """
    found = set()
    for account in accounts:
        for name in READABLE:
            found.add(Privilege(account.login, "table", default_schema, name, "select"))
        for grant in account.grants:
            schema = grant.schema or default_schema
            for column in grant.columns if grant.columns is not None else ("",):
                found.add(Privilege(account.login, "table", schema, grant.table, grant.verb, column))
    return found


def difference(wanted: Iterable[Privilege], held: Iterable[Privilege]) -> Difference:
    """Compare the privileges that the manifest gives with those that the catalogs show.

    On every engine that has accounts, revoking a verb on a table revokes it on the table's columns too. So column
    privileges that are declared are granted again, and the others need no REVOKE of their own.
    """
    want, have = set(wanted), set(held)
    revoke = have - want
    emptied = {(p.target, p.verb) for p in revoke if p.kind == "table" and not p.column}
    again = {p for p in want if p.column and (p.target, p.verb) in emptied}
    revoke -= {p for p in revoke if p.column and (p.target, p.verb) in emptied}
    return Difference(tuple(sorted(want - have - again)), tuple(sorted(revoke)), tuple(sorted(again)))


def bundles(privileges: Iterable[Privilege]) -> Iterator[Batch]:
    """Group privileges by what one statement for one login and one object can express.

    Yields:
        The groups in a stable order; grant options precede the privileges themselves.
    """
    targets: dict[tuple[bool, tuple[str, str, str, str]], dict[str, list[str]]] = {}
    for privilege in sorted(privileges, key=lambda p: (not p.verb.startswith(GRANT_OPTION), p)):
        verbs = targets.setdefault((privilege.verb.startswith(GRANT_OPTION), privilege.target), {})
        verbs.setdefault(privilege.verb, []).append(privilege.column)
    for (_, (login, kind, schema, name)), verbs in targets.items():
        said: list[tuple[str, tuple[str, ...] | None]] = []
        for verb, columns in verbs.items():
            if "" in columns:
                said.append((verb, None))
            if named := tuple(column for column in columns if column):
                said.append((verb, named))
        yield Batch((login,), kind, ((schema, name),), tuple(said))


def batches(privileges: Iterable[Privilege], *, many_objects: bool) -> Iterator[Batch]:
    """Group privileges by what one statement for several logins can express.

    Columns belong to one table, and a membership has its own grantor: neither is grouped over objects.

    Args:
        privileges: What to grant, or to revoke.
        many_objects: Whether the engine takes several objects in one statement.
    """
    of_logins: dict[Batch, list[str]] = {}
    for b in bundles(privileges):
        alone = (b.login,) if b.kind == "role" else ()
        of_logins.setdefault(Batch(alone, b.kind, ((b.schema, b.name),), b.verbs), []).append(b.login)
    gathered: dict[Batch, list[tuple[str, str]]] = {}
    for batch, logins in of_logins.items():
        one = not many_objects or batch.kind == "role" or any(columns for _, columns in batch.verbs)
        same = Batch(tuple(logins), batch.kind, batch.objects if one else (), batch.verbs)
        gathered.setdefault(same, []).extend(batch.objects)
    for batch, found in gathered.items():
        yield replace(batch, objects=tuple(found))
