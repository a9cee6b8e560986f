"""How each dialect normalizes names in SQL, and the names that its server gives to unnamed objects."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from ringfence.schema.features import mysql, postgresql

_LONGEST = postgresql.FEATURES.longest_name or 0
DefaultNames = Callable[[str, Sequence[str]], Iterable[str]]
"""From a table and columns to the names that a server gives; a number may follow each of them."""


@dataclass(frozen=True)
class NameRules:
    """The rules of one of SQLAlchemy's dialects for names and strings."""

    default: str | None = None
    """The schema that an unqualified name stands for, where the dialect fixes it."""
    lowers: bool = False
    """Whether a name without quotes is converted to lower case."""
    folded: frozenset[str] = frozenset()
    """The kinds of objects whose names are compared regardless of case."""
    quotes: str = '"'
    """The characters that quote a name; those of `"` and the backtick that are not among them quote a string."""
    escapes: bool = False
    """Whether a backslash escapes in every string."""
    multiple_statements: bool = False
    """Whether one string may hold further statements after a routine's body."""
    given: Mapping[str, DefaultNames] = field(default_factory=dict)
    """kind -> the names that the server gives to an unnamed object of that kind."""
    primary: str = ""
    """The name of every primary key, where the server gives all of them the same."""
    triggers_of_tables: bool = False
    """Whether trigger names are unique for each table, and not for each schema."""
    indexes_of_tables: bool = False
    """Whether index names are unique for each table, and not for each schema."""
    longest: int = 0
    """The most bytes of a name, where the server truncates longer ones; 0 where it accepts or refuses them."""
    serial: bool = False
    """Whether an auto-incrementing column has a sequence of its own."""

    def key(self, kind: str, name: str) -> str:
        """Return a name in the form in which names of this kind are compared."""
        return name.casefold() if kind in self.folded else name

    def shortened(self, name: str) -> tuple[str, ...]:
        """Return what a name that is too long becomes: as SQLAlchemy shortens it, and as the server truncates it.

        Args:
            name: The full name.

        Returns:
            The two names, or nothing if the name is short enough.
        """
        whole = name.encode()
        if not self.longest or len(whole) <= self.longest:
            return ()
        shortened = f"{name[: self.longest - 8]}_{sa.util.md5_hex(name)[-4:]}"
        return shortened, whole[: self.longest].decode(errors="ignore")

    def is_given(self, kind: str, table: str, columns: Sequence[str], count: int, name: str) -> bool:
        """Return whether the server may have given a name to an unnamed object.

        Args:
            kind: The kind of the object.
            table: The name of its table.
            columns: The names of its columns.
            count: How many unnamed objects of the kind there are: the highest number that may follow a name.
            name: The name.
        """
        for base in self.given[kind](table, columns) if kind in self.given else ():
            match = re.fullmatch(rf"{re.escape(base)}(?:_?(\d+))?", name, re.IGNORECASE)
            if match and int(match[1] or 0) <= count:
                return True
        return False


def spelling(dialect: str) -> NameRules:
    """Return the rules of a dialect; for an unknown dialect, those of standard SQL."""
    return _SPELLINGS.get(dialect, NameRules())


def _postgresql(label: str) -> DefaultNames:
    def given(table: str, columns: Sequence[str]) -> Iterable[str]:
        yield object_name(table, "_".join(columns), label)

    return given


def _postgresql_check(table: str, columns: Sequence[str]) -> Iterable[str]:
    yield object_name(table, "", "check")
    yield from (object_name(table, column, "check") for column in columns)


def object_name(table: str, columns: str, label: str) -> str:
    """Return the name that PostgreSQL makes of a table, columns and a label, and shorten the longer of the first two.

    As in `makeObjectName` of PostgreSQL's src/backend/commands/indexcmds.c.
    """
    left = _LONGEST - len(label) - 1 - (1 if columns else 0)
    first, second = table.encode(), columns.encode()
    while len(first) + len(second) > left:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    parts = (first.decode(errors="ignore"), second.decode(errors="ignore"), label)
    return "_".join(part for part in parts if part)


def serial_name(table: str, column: str) -> str:
    """Return the name of the sequence that PostgreSQL creates for a SERIAL column.

    Args:
        table: The table's name without a schema.
        column: The column's name.
    """
    return object_name(table, column, "seq")


def _first(table: str, columns: Sequence[str]) -> Iterable[str]:
    return columns[:1]


def _numbered(label: str) -> DefaultNames:
    return lambda table, columns: (f"{table}_{label}",)


_MYSQL = {
    "unique": _first,
    "index": _first,
    "foreign key": lambda table, columns: (f"{table}_ibfk", *columns[:1]),  # and its index
}
_FOLDED = frozenset({"column", "index", "unique", "primary key", "foreign key", "check"})
_SPELLINGS: Mapping[str, NameRules] = {
    "postgresql": NameRules(
        default="public",
        lowers=True,
        multiple_statements=True,
        serial=True,
        longest=_LONGEST,
        triggers_of_tables=True,
        given={
            "primary key": lambda table, columns: (object_name(table, "", "pkey"),),
            "unique": _postgresql("key"),
            "foreign key": _postgresql("fkey"),
            "exclude": _postgresql("excl"),
            "index": _postgresql("idx"),
            "check": _postgresql_check,
        },
    ),
    "mysql": NameRules(
        folded=_FOLDED,
        quotes="`",
        escapes=mysql.FEATURES.backslash_escapes,
        primary="PRIMARY",
        indexes_of_tables=True,
        given=_MYSQL | {"check": _numbered("chk")},
    ),
    "mariadb": NameRules(
        folded=_FOLDED,
        quotes="`",
        escapes=mysql.FEATURES.backslash_escapes,
        primary="PRIMARY",
        indexes_of_tables=True,
        given=_MYSQL | {"check": lambda table, columns: ("CONSTRAINT", *columns)},
    ),
    "sqlite": NameRules(
        default="main",
        folded=_FOLDED | {"table", "view", "trigger", "schema"},
        quotes='"`',
    ),
}
