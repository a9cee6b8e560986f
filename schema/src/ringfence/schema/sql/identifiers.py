"""How each dialect folds the names that are written in SQL, and how its server names what was given no name."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

_NAMEDATALEN = 63
"""Bytes of a name: PostgreSQL, https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS."""

Given = Callable[[str, Sequence[str]], Iterable[str]]
"""From a table and columns to the names a server gives, each to be followed by nothing or a number."""


@dataclass(frozen=True)
class Spelling:
    """One dialect of SQLAlchemy's.

    `default` is the schema that an unqualified name stands for, where the dialect fixes it. `folded` names the kinds of
    objects whose names are compared regardless of case.
    """

    default: str | None = None
    lowers: bool = False
    """Whether a name without quotes is taken in lower case."""
    folded: frozenset[str] = frozenset()
    quotes: str = '"'
    """The characters that quote a name; the others of `"` and the backtick quote a string."""
    escapes: bool = False
    """Whether a backslash escapes in every string."""
    many: bool = False
    """Whether one string may hold several statements after a routine's body."""
    given: Mapping[str, Given] = field(default_factory=dict)
    """kind -> the names that the server gives such an object."""
    primary: str = ""
    """The name of every primary key, where the server gives all of them one."""
    triggers_of_tables: bool = False
    """Whether a trigger is named with its table, and not with its schema: two tables may have one of the same name."""
    indexes_of_tables: bool = False
    """Whether an index is named with its table, and has no schema."""
    longest: int = 0
    """The most bytes of a name, where the server cuts what is longer; 0 where it takes any, or refuses it."""
    serial: bool = False
    """Whether a column that numbers itself brings a sequence of its own."""

    def key(self, kind: str, name: str) -> str:
        """A name as it is compared."""
        return name.casefold() if kind in self.folded else name

    def cut(self, name: str) -> tuple[str, ...]:
        """What becomes of a name that is too long: as SQLAlchemy shortens it, and as the server cuts it.

        Args:
            name: as it was given; the result is empty where it is short enough.
        """
        whole = name.encode()
        if not self.longest or len(whole) <= self.longest:
            return ()
        shortened = f"{name[: self.longest - 8]}_{sa.util.md5_hex(name)[-4:]}"
        return shortened, whole[: self.longest].decode(errors="ignore")

    def is_given(self, kind: str, table: str, columns: Sequence[str], count: int, name: str) -> bool:
        """Whether the server gives this name to one of `count` objects of a kind that were made without one."""
        for base in self.given[kind](table, columns) if kind in self.given else ():
            match = re.fullmatch(rf"{re.escape(base)}(?:_?(\d+))?", name, re.IGNORECASE)
            if match and int(match[1] or 0) <= count:
                return True
        return False


def spelling(dialect: str) -> Spelling:
    """What is known of a dialect; of another than ours, what the standard says."""
    return _SPELLINGS.get(dialect, Spelling())


def _postgresql(label: str) -> Given:
    def given(table: str, columns: Sequence[str]) -> Iterable[str]:
        yield _shortened(table, "_".join(columns), label)

    return given


def _postgresql_check(table: str, columns: Sequence[str]) -> Iterable[str]:
    yield _shortened(table, "", "check")
    yield from (_shortened(table, column, "check") for column in columns)


def _shortened(table: str, columns: str, label: str) -> str:
    """As `makeObjectName` of PostgreSQL's src/backend/commands/indexcmds.c: the longer part is cut first."""
    left = _NAMEDATALEN - len(label) - 1 - (1 if columns else 0)
    first, second = table.encode(), columns.encode()
    while len(first) + len(second) > left:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    parts = (first.decode(errors="ignore"), second.decode(errors="ignore"), label)
    return "_".join(part for part in parts if part)


def serial_name(table: str, column: str) -> str:
    """The sequence that PostgreSQL makes for a SERIAL column.

    Args:
        table: its name, without a schema.
        column: its name.
    """
    return _shortened(table, column, "seq")


def _first(table: str, columns: Sequence[str]) -> Iterable[str]:
    return columns[:1]


def _numbered(label: str) -> Given:
    return lambda table, columns: (f"{table}_{label}",)


_MYSQL = {
    "unique": _first,
    "index": _first,
    "foreign key": lambda table, columns: (f"{table}_ibfk", *columns[:1]),  # and the index that it needs
}
_FOLDED = frozenset({"column", "index", "unique", "primary key", "foreign key", "check"})
_SPELLINGS: Mapping[str, Spelling] = {
    "postgresql": Spelling(
        default="public",
        lowers=True,
        many=True,
        serial=True,
        longest=_NAMEDATALEN,
        triggers_of_tables=True,
        given={
            "primary key": lambda table, columns: (_shortened(table, "", "pkey"),),
            "unique": _postgresql("key"),
            "foreign key": _postgresql("fkey"),
            "exclude": _postgresql("excl"),
            "index": _postgresql("idx"),
            "check": _postgresql_check,
        },
    ),
    "mysql": Spelling(
        folded=_FOLDED,
        quotes="`",
        escapes=True,
        primary="PRIMARY",
        indexes_of_tables=True,
        given=_MYSQL | {"check": _numbered("chk")},
    ),
    "mariadb": Spelling(
        folded=_FOLDED,
        quotes="`",
        escapes=True,
        primary="PRIMARY",
        indexes_of_tables=True,
        given=_MYSQL | {"check": lambda table, columns: ("CONSTRAINT", *columns)},
    ),
    "sqlite": Spelling(
        default="main",
        folded=_FOLDED | {"table", "view", "trigger", "schema"},
        quotes='"`',
    ),
}
