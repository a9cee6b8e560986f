"""Effective rights of accounts, and the texts in which every engine reports them."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.scopes import to_text

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

EVERY, NONE = "every row", "no row"
_LITERAL = re.compile(r"('(?:[^']|'')*')")
_CAST = re.compile(
    r'::\s*(?:"[^"]+"\.)*(?:"[^"]+"|[a-z_][a-z0-9_]*(?: varying| with(?:out)? time zone| precision)?)(?:\[\])?'
)


class Right(NamedTuple):
    """One verb of one login on one object.

    `kind` is table, sequence, function, schema, database or server.
    """

    login: str
    kind: str
    schema: str
    name: str
    verb: str


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a right extends: the columns, the rows, and by what the account has it."""

    columns: frozenset[str] | None = None
    """None for all columns."""
    rows: str = EVERY
    """The rows, as they are shown."""
    condition: str = ""
    """The condition on the rows, as it is compared; empty for every row."""
    through: tuple[str, ...] = ()
    """How it is held: `grant`, `role x`, `PUBLIC`, `SET ROLE x`, `owner`."""

    def union(self, other: "Reach") -> "Reach":
        """Return what the two reach together."""
        columns = (
            None
            if None in (self.columns, other.columns)
            else (self.columns or frozenset()) | (other.columns or frozenset())
        )
        through = tuple(dict.fromkeys((*self.through, *other.through)))
        if not self.condition or self.condition == other.condition:
            return replace(self, columns=columns, through=through)
        if not other.condition:
            return replace(other, columns=columns, through=through)
        return Reach(
            columns, f"{self.rows} or {other.rows}", f"{self.condition} or {other.condition}", through
        )

    def exceeds(self, other: "Reach") -> bool:
        """Return whether this one reaches anything that the other does not."""
        if self.columns is None:
            wider = other.columns is not None
        else:
            wider = other.columns is not None and not self.columns <= other.columns
        return wider or (bool(other.condition) and self.condition != other.condition)


Rights = dict[Right, Reach]


@dataclass
class Effective:
    """What some logins may do now, and what they may do after an apply."""

    now: Rights = field(default_factory=dict)
    after: Rights = field(default_factory=dict)
    columns: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """(schema, table) -> its columns, in their order."""
    owned_sequences: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=dict)
    """(schema, sequence) -> the tables whose columns own it."""
    default: str = ""
    """The name of the default schema."""
    notes: list[str] = field(default_factory=list)
    """Policies and grants that have no effect now, and what happens to them."""
    others: list[str] = field(default_factory=list)
    """What roles outside the manifest lose by an apply, or can reach."""

    def add(self, rights: Rights, right: Right, reach: Reach) -> None:
        """Extend the reach of a right in one of the two dictionaries."""
        known = rights.get(right)
        if known is None:
            rights[right] = reach
        elif reach.exceeds(known):
            rights[right] = known.union(reach)


def declared_rights(
    deployment: "Deployment",
    wanted: Iterable[Privilege],
    logins: Collection[str],
    default: str,
    behind: Collection[tuple[str, str]] = (),
) -> Rights:
    """Return the rights that logins have after an apply, including those that are kept until a contract revision.

    Args:
        deployment: The accounts that are declared.
        wanted: The privileges that an apply leaves.
        logins: The logins to report, of the declared accounts.
        default: The name of the default schema.
        behind: (schema, view) of the views used in place of tables, which are left out: the manifest names the tables.
    """
    columns: dict[Right, set[str]] = {}
    for p in wanted:
        if p.login in logins and (p.schema, p.name) not in behind:
            columns.setdefault(Right(p.login, p.kind, p.schema, p.name, p.verb), set()).add(p.column)
    found = {
        right: Reach(None if "" in named else frozenset(named), through=("grant",))
        for right, named in columns.items()
    }
    for login, grants in ((a.login, a.grants) for a in deployment.accounts.values() if a.login in logins):
        for grant in grants:
            right = Right(login, "table", grant.schema or default, grant.table, grant.verb)
            listed = None if grant.columns is None else frozenset(grant.columns)
            reach = found.get(right, Reach(listed, through=("grant",)))
            if grant.scope is not None:
                reach = replace(reach, rows=to_text(grant.scope), condition=to_text(grant.scope))
            found[right] = reach
    return found


# PostgreSQL prints such a constant without its cast.
_PLAIN = re.compile(
    r"'(-?[0-9]+(?:\.[0-9]+)?|true|false)'::(?:smallint|integer|bigint|numeric|boolean)\b(?!\[)",
    re.IGNORECASE,
)


def normal(condition: str) -> str:
    """Return a condition without casts, parentheses, quotes and spaces, so that two spellings of it are equal.

    Parentheses stay where a condition has both AND and OR, because they change its meaning there: two such conditions
    that are spelled differently count as different.

    Args:
        condition: SQL, as the manifest or the server spells it.
    """
    if re.search(r"\bor\b", condition, re.IGNORECASE) and re.search(r"\band\b", condition, re.IGNORECASE):
        return condition
    return "".join(_normal(_LITERAL.split(_PLAIN.sub(r"\1", condition)))).removeprefix("true")


def _normal(parts: Iterable[str]) -> Iterator[str]:
    for position, part in enumerate(parts):
        if position % 2:
            yield part
            continue
        plain = re.sub(r"\bIN \(", "= ANY (ARRAY[", part, flags=re.IGNORECASE)
        yield re.sub(r'[\s()\[\]"]', "", _CAST.sub("", plain)).lower()


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return a list of names for a message, with the number of those that are left out.

    Args:
        names: The names.
        most: How many names are shown.
    """
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def dotted(schema: str, name: str, default: str) -> str:
    """Return the name of an object for a message, without the default schema.

    Args:
        schema: The schema of the object, or the name of a schema or database itself.
        name: The object's name; empty for a schema or database.
        default: The name of the default schema.
    """
    return name if schema in ("", default) else f"{schema}.{name}" if name else schema
