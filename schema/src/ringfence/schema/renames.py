"""Whether something was renamed, or dropped and something else added: asked or told, never guessed."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ringfence.schema.errors import SchemaError

Ask = Callable[[str, Sequence[str]], str | None]
"""Told a question and the names that may be the answer; gives one of them, or None for "none of these"."""


class Ambiguous(SchemaError):
    """Something goes and something comes, and nobody said whether that is a rename; the message shows how to say so."""


class BadRename(SchemaError):
    """A rename that was told does not fit what the models and the database say."""


@dataclass
class Renames:
    """What was told of renames, and who may be asked for the rest."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """`table.old` -> `new`."""
    dropped: Collection[str] = ()
    """`table.column` or `table`, that really go."""
    ask: Ask | None = None
    used: set[str] = field(default_factory=set)

    @classmethod
    def told(cls, renames: Iterable[str], dropped: Iterable[str], ask: Ask | None = None) -> "Renames":
        """From `table.old=new`, as on the command line. Raises BadRename for what cannot be read."""
        found = {}
        for text in renames:
            old, equals, new = text.partition("=")
            table, dot, _ = old.rpartition(".")
            if not equals or not new:
                raise BadRename(f"--rename {text!r} cannot be read: say --rename table.old=new")
            if not dot:
                raise BadRename(
                    f"--rename {text!r}: a table cannot be renamed while services use it. Keep its name in the"
                    f" database, `__tablename__ = {old!r}`, and call the class what you like; or let the new table"
                    f" be another one, copy the rows, and say --drop {old}"
                )
            found[old] = new.removeprefix(f"{table}.")
        return cls(found, tuple(dropped), ask)

    def choose(self, key: str, goes: Sequence[str], comes: Sequence[str]) -> Mapping[str, str]:
        """Which of the columns that go become which of those that come.

        Args:
            key: the table; empty when tables themselves go and come.
            goes: what is in the database and no longer in the models.
            comes: what is in the models and not yet in the database.

        Raises:
            Ambiguous: when that was not told, and nobody can be asked.
            BadRename: when what was told does not fit.
        """
        left = list(comes)
        chosen: dict[str, str] = {}
        for old in goes:
            place = f"{key}.{old}" if key else old
            new = self.renamed.get(place)
            if new is not None:
                self.used.add(place)
                if new not in left:
                    raise BadRename(
                        f"--rename {place}={new}: {key} gains no {new!r}; it gains {', '.join(comes)}"
                    )
            elif place in self.dropped:
                self.used.add(place)
            elif left and self.ask is not None and key:
                what = (
                    f"{key} loses {old} and gains {', '.join(left)}. Is one of these {old} under a new name?"
                )
                new = self.ask(what, tuple(left))
            elif left:
                self._refuse_unknown(key, goes)
                raise Ambiguous(_ambiguous(key, old, left))
            if new is not None:
                left.remove(new)
                chosen[old] = new
        return chosen

    def _refuse_unknown(self, key: str, goes: Sequence[str]) -> None:
        """Raise BadRename for what was told of a column of this table that does not go."""
        for place in (*self.renamed, *self.dropped):
            table, _, column = place.rpartition(".")
            if table == key and column not in goes:
                raise BadRename(
                    f"{place}: {key or 'the database'} loses no {column!r}; it loses {', '.join(goes)}"
                )

    def refuse_unused(self) -> None:
        """Raise BadRename for a rename or drop that was told, and that the models do not ask for."""
        if unused := sorted({*self.renamed, *self.dropped} - self.used):
            raise BadRename(
                f"nothing of this kind was found to rename or drop: {', '.join(unused)}; no revision was written"
            )


def _ambiguous(key: str, old: str, comes: Sequence[str]) -> str:
    if not key:
        return (
            f"the table {old} goes, and {', '.join(comes)} comes. If that is a new name, keep the old one in the"
            f" database: __tablename__ = {old!r}. If {old} really goes: `ringfence revision --drop {old} -m …`"
        )
    return (
        f"{key} loses {old} and gains {', '.join(comes)}: a new name, or another column? Say which:"
        f" `ringfence revision --rename {key}.{old}={comes[0]} -m …`, or `--drop {key}.{old}`"
    )
