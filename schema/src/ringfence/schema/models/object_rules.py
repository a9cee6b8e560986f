"""What a person says of objects in `ringfence.toml`: `drop`, "this one is ours", and `leave`, "these are others'"."""

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
"""The word before the colon -> the kinds that it means."""
INSIDE = frozenset({"column", "index", "trigger", *_CONSTRAINTS})
"""The kinds that belong to a table."""
_PLAIN = frozenset({"table", "partition", "view", "column"})
_WILD = frozenset("*?[")
_LONGEST = 3


@dataclass(frozen=True)
class Said:
    """One entry of `drop` or `leave`: `[KIND:][SCHEMA.]TABLE[.NAME]`."""

    text: str
    kinds: tuple[str, ...] | None
    path: str

    @classmethod
    def read(cls, text: str, *, patterns: bool) -> "Said":
        """Read an entry.

        Args:
            text: as it stands in the file, or on the command line.
            patterns: whether `*` and `?` may stand in it.

        Raises:
            ValueError: it cannot be read; the message says why.
        """
        word, colon, path = text.rpartition(":")
        if colon and word not in KINDS:
            raise ValueError(f"{text!r}: {word!r} is no kind of object; it is one of {', '.join(KINDS)}")
        parts = path.split(".")
        if not all(part.strip() for part in parts) or len(parts) > _LONGEST:
            raise ValueError(
                f"{text!r} names no object: say 'table', 'table.column', 'schema.table' or 'index:table.name'"
            )
        if not patterns and _WILD.intersection(path):
            raise ValueError(f"{text!r}: what may be dropped is named in full, without a pattern")
        return cls(text, KINDS[word] if colon else None, path)

    def names(self, kind: str, schema: str | None, table: str | None, name: str, default: str | None) -> bool:
        """Whether it names exactly this object, for `drop`.

        Args:
            kind: of the object.
            schema: its schema; None or "" is the default one.
            table: its table; None or "" where the kind has none.
            name: its own name.
            default: the schema of what is named without one; None where the engine has no such word.
        """
        if kind not in (self.kinds or _PLAIN):
            return False
        return self.path in _paths(kind, schema, table, name, default)

    def covers(
        self, kind: str, schema: str | None, table: str | None, name: str, default: str | None
    ) -> bool:
        """Whether it matches this object, its table or its schema, for `leave`.

        Args:
            kind: of the object.
            schema: its schema; None or "" is the default one.
            table: its table; None or "" where the kind has none.
            name: its own name.
            default: the schema of what is named without one; None where the engine has no such word.
        """
        if self.kinds is not None:
            return kind in self.kinds and self._matches(_paths(kind, schema, table, name, default))
        around = [*_paths(kind, schema, table, name, default)]
        if kind in INSIDE and table:
            around += _paths("table", schema, None, table, default)
        if kind == "schema":
            around.append(f"{name}.")  # other.* is the schema too
        return self._matches(around)

    def _matches(self, paths: Iterable[str]) -> bool:
        return any(fnmatchcase(path, self.path) for path in paths)


def _paths(kind: str, schema: str | None, table: str | None, name: str, default: str | None) -> Iterator[str]:
    """An object as a person may name it: in full, and without the default schema."""
    inner = f"{table}.{name}" if kind in INSIDE and table else name
    if kind == "schema":
        yield name
    elif schema and schema != default:
        yield f"{schema}.{inner}"
    else:
        yield inner
        if default:
            yield f"{default}.{inner}"
