"""What accounts may really do, whichever way they have it: the words in which every engine says it."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.scopes import described

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

EVERY, NONE = "every row", "no row"
_LITERAL = re.compile(r"('(?:[^']|'')*')")
_CAST = re.compile(
    r'::\s*(?:"[^"]+"\.)*(?:"[^"]+"|[a-z_][a-z0-9_]*(?: varying| with(?:out)? time zone| precision)?)(?:\[\])?'
)


class Right(NamedTuple):
    """One verb of one login on one thing; `kind` is table, sequence, function, schema, database or server."""

    login: str
    kind: str
    schema: str
    name: str
    verb: str


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a right goes.

    `columns` is None for all of them; `rows` is for people, and `test` the same for comparing: empty for every row.
    """

    columns: frozenset[str] | None = None
    rows: str = EVERY
    test: str = ""
    through: tuple[str, ...] = ()
    """How it is held: `grant`, `role x`, `PUBLIC`, `SET ROLE x`, `owner`."""

    def with_(self, other: "Reach") -> "Reach":
        """What both reach together."""
        columns = (
            None
            if None in (self.columns, other.columns)
            else (self.columns or frozenset()) | (other.columns or frozenset())
        )
        through = tuple(dict.fromkeys((*self.through, *other.through)))
        if not self.test or self.test == other.test:
            return replace(self, columns=columns, through=through)
        if not other.test:
            return replace(other, columns=columns, through=through)
        return Reach(columns, f"{self.rows} or {other.rows}", f"{self.test} or {other.test}", through)

    def adds(self, other: "Reach") -> bool:
        """Whether it reaches more than another does."""
        if self.columns is None:
            wider = other.columns is not None
        else:
            wider = other.columns is not None and not self.columns <= other.columns
        return wider or (bool(other.test) and self.test != other.test)


Rights = dict[Right, Reach]


@dataclass
class Effective:
    """What some logins may do now, and will after an apply."""

    now: Rights = field(default_factory=dict)
    after: Rights = field(default_factory=dict)
    columns: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """(schema, table) -> its columns, in their order."""
    folded: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=dict)
    """(schema, sequence) -> the tables of which it is a part."""
    default: str = ""
    """The schema that need not be named."""
    notes: list[str] = field(default_factory=list)
    """Policies and grants that do nothing now, and what becomes of them."""
    others: list[str] = field(default_factory=list)
    """What is taken from, or reached by, those who are no account of the manifest."""

    def add(self, rights: Rights, right: Right, reach: Reach) -> None:
        """Add to what a login has of a right."""
        known = rights.get(right)
        if known is None:
            rights[right] = reach
        elif reach.adds(known):
            rights[right] = known.with_(reach)


def given(
    deployment: "Deployment",
    wanted: Iterable[Privilege],
    logins: Collection[str],
    default: str,
    behind: Collection[tuple[str, str]] = (),
) -> Rights:
    """What logins have after an apply by the manifest, and by what they keep until a contract.

    Args:
        deployment: its accounts.
        wanted: the privileges that an apply leaves.
        logins: of these accounts.
        default: the real name of the default schema.
        behind: (schema, view) of views that stand before tables: the manifest speaks of the tables.
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
                reach = replace(reach, rows=described(grant.scope), test=described(grant.scope))
            found[right] = reach
    return found


# The server writes such a constant without its cast.
_PLAIN = re.compile(
    r"'(-?[0-9]+(?:\.[0-9]+)?|true|false)'::(?:smallint|integer|bigint|numeric|boolean)\b(?!\[)",
    re.IGNORECASE,
)


def normal(condition: str) -> str:
    """A condition in a form that two spellings of the same share: without casts, parentheses, quotes and spaces.

    Parentheses stay where AND and OR meet, for there they mean something: two such conditions that are spelled
    otherwise count as different.
    """
    if re.search(r"\bor\b", condition, re.IGNORECASE) and re.search(r"\band\b", condition, re.IGNORECASE):
        return condition
    return "".join(_normal(_LITERAL.split(_PLAIN.sub(r"\1", condition)))).removeprefix("true")


def _normal(parts: Iterable[str]) -> Iterator[str]:
    for place, part in enumerate(parts):
        if place % 2:
            yield part
            continue
        plain = re.sub(r"\bIN \(", "= ANY (ARRAY[", part, flags=re.IGNORECASE)
        yield re.sub(r'[\s()\[\]"]', "", _CAST.sub("", plain)).lower()


def listed(names: Iterable[str], most: int = 10) -> str:
    """Names for people, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def dotted(schema: str, name: str, default: str) -> str:
    """A thing as people call it."""
    return name if schema in ("", default) else f"{schema}.{name}" if name else schema
