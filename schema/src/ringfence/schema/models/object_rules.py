"""The entries of `drop` (objects that may be dropped) and `leave` (objects of others) in `ringfence.toml`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

_CONSTRAINTS = ("primary key", "unique", "foreign key", "check", "exclude")
KINDS = {
    "schema": ("schema",),
    "table": ("table", "partition"),
    "partition": ("partition",),
    "column": ("column",),
    "index": ("index",),
    "constraint": _CONSTRAINTS,
    "sequence": ("sequence",),
    "enum": ("enum",),
    "type": ("enum", "type"),
    "view": ("view",),
    "trigger": ("trigger",),
    "function": ("function",),
}
"""The word before the colon of an entry -> the kinds of objects that it stands for."""
INSIDE = frozenset({"column", "index", "trigger", *_CONSTRAINTS})
"""The kinds of objects that belong to a table."""
_PLAIN = frozenset({"table", "partition", "view", "column"})
_WILD = frozenset("*?[")
_LONGEST = 3


@dataclass(frozen=True)
class ObjectRule:
    """One entry of `drop` or `leave`: `[KIND:][SCHEMA.]TABLE[.NAME]`."""

    text: str
    kinds: tuple[str, ...] | None
    path: str

    @classmethod
    def read(cls, text: str, *, patterns: bool) -> "ObjectRule":
        """Parse an entry.

        Args:
            text: the entry, from the file or the command line.
            patterns: whether wildcards (`*`, `?`, `[`) are allowed.

        Raises:
            ValueError: the entry is invalid; the message says why.
        """
        word, colon, path = text.rpartition(":")
        if colon and word not in KINDS:
            raise ValueError(f"{text!r}: {word!r} is not a kind of object; it is one of {', '.join(KINDS)}")
        parts = path.split(".")
        if not all(part.strip() for part in parts) or len(parts) > _LONGEST:
            raise ValueError(
                f"{text!r} names no object: write 'table', 'table.column', 'schema.table' or 'index:table.name'"
            )
        if not patterns and _WILD.intersection(path):
            raise ValueError(f"{text!r}: what may be dropped is named in full, without a pattern")
        return cls(text, KINDS[word] if colon else None, path)

    def names(self, kind: str, schema: str | None, table: str | None, name: str, default: str | None) -> bool:
        """Whether the entry names exactly this object, for `drop`.

        Args:
            kind: the kind of the object, one of the values of `KINDS`.
            schema: the object's schema; None or "" for the default schema.
            table: the object's table; None or "" where its kind belongs to none.
            name: the object's name.
            default: the name of the default schema; None where the engine has none.
        """
        if kind not in (self.kinds or _PLAIN):
            return False
        return self.path in _paths(kind, schema, table, name, default)

    def covers(
        self, kind: str, schema: str | None, table: str | None, name: str, default: str | None
    ) -> bool:
        """Whether the entry matches this object, its table or its schema, for `leave`.

        Args:
            kind: the kind of the object, one of the values of `KINDS`.
            schema: the object's schema; None or "" for the default schema.
            table: the object's table; None or "" where its kind belongs to none.
            name: the object's name.
            default: the name of the default schema; None where the engine has none.
        """
        if self.kinds is not None:
            return kind in self.kinds and self._matches(_paths(kind, schema, table, name, default))
        around = [*_paths(kind, schema, table, name, default)]
        if kind in INSIDE and table:
            around += _paths("table", schema, None, table, default)
        if kind == "schema":
            around.append(f"{name}.")  # `other.*` matches the schema `other` too
        return self._matches(around)

    def _matches(self, paths: Iterable[str]) -> bool:
        return any(fnmatchcase(path, self.path) for path in paths)


def _paths(kind: str, schema: str | None, table: str | None, name: str, default: str | None) -> Iterator[str]:
    """The ways to write an object: with its schema, and without it where that is the default one."""
    inner = f"{table}.{name}" if kind in INSIDE and table else name
    if kind == "schema":
        yield name
    elif schema and schema != default:
        yield f"{schema}.{inner}"
    else:
        yield inner
        if default:
            yield f"{default}.{inner}"
