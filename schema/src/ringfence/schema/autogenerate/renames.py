"""Whether something was renamed, or dropped and something else added: asked or told, never guessed."""

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from ringfence.schema.errors import SchemaError
from ringfence.schema.models.object_rules import Said
from ringfence.schema.text import counted

ALL = "all"
"""In the place of what may go: everything of ours that the models have no more."""
Retires = Mapping[str, Sequence[str] | None]
"""table -> the columns that go; None for the whole table."""
Rows = Callable[[str, str | None], int | None]
"""Told a table and a column; counts the rows of the table, or those with a value. None where it cannot be said."""
Confirm = Callable[[str], bool]
"""Told a question; says yes or no."""

Ask = Callable[[str, Sequence[str]], str | None]
"""Told a question and the names that may be the answer; gives one of them, or None for "none of these"."""


class Ambiguous(SchemaError):
    """Something goes and something comes, and nobody said whether that is a rename; the message shows how to say so."""


class BadRename(SchemaError):
    """A rename that was told does not fit what the models and the database say."""


class Unconfirmed(SchemaError):
    """Something would be dropped, and nobody said that it may; nothing was written, and the message shows how to."""

    def __init__(self, message: str, retire: Sequence[str]) -> None:
        self.details = {"retire": list(retire)}
        super().__init__(message)


@dataclass
class Renames:
    """What was told of renames, and who may be asked for the rest."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """`table.old` -> `new`."""
    dropped: Collection[str] = ()
    """`table.column` or `table`, that really go; or `all`, which answers no question of a rename."""
    ask: Ask | None = None
    confirm: Confirm | None = None
    used: set[str] = field(default_factory=set)

    @classmethod
    def told(
        cls,
        renames: Iterable[str],
        dropped: Iterable[str],
        ask: Ask | None = None,
        confirm: Confirm | None = None,
    ) -> "Renames":
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
                    f" be another one, copy the rows, and say --retire {old}"
                )
            found[old] = new.removeprefix(f"{table}.")
        dropped = tuple(dropped)
        try:
            for text in dropped:
                Said.read(text, patterns=False)
        except ValueError as error:
            raise BadRename(f"--retire {error}") from error
        return cls(found, dropped, ask, confirm)

    @property
    def named(self) -> tuple[str, ...]:
        """What a person names to be dropped, whoever made it."""
        return tuple(place for place in self.dropped if place != ALL)

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
                self.used.add(place)
        return chosen

    def retire(self, goes: Retires, message: str, rows: Rows | None) -> None:
        """Have a person confirm that tables and columns go; a column that was renamed is confirmed by that.

        Args:
            goes: what the contract would take away.
            message: of the revision, for the command line that is shown.
            rows: counts what would be lost; None where the database is not the deployment's.

        Raises:
            Unconfirmed: when that was not said, and nobody can be asked, or the answer is no.
        """
        missing = {}
        for place, key, column in _places(goes):
            if place in self.dropped:
                self.used.add(place)
            elif ALL not in self.dropped and place not in self.used:
                missing[place] = _losing(key, column, rows(key, column) if rows else None)
        if self.confirm is not None:
            missing = {place: what for place, what in missing.items() if not self.confirm(f"Drop {what}?")}
        if missing:
            words = [*(f"--rename {old}={new}" for old, new in self.renamed.items())]
            words += [f"--retire {shlex.quote(place)}" for place in (*self.dropped, *missing)]
            raise Unconfirmed(
                f"no revision was written: nobody said that this may be dropped: {'; '.join(missing.values())}. Say it:"
                f" `ringfence revision -m {shlex.quote(message)} {' '.join(words)}`, or --retire all; or leave it in"
                " the models",
                list(missing),
            )

    def _refuse_unknown(self, key: str, goes: Sequence[str]) -> None:
        """Raise BadRename for what was told of a column of this table that does not go."""
        # What names no table or column, such as `all` and `index:ix`, is no word about either.
        for place in (one for one in (*self.renamed, *self.dropped) if one != ALL and ":" not in one):
            table, _, column = place.rpartition(".")
            if table == key and column not in goes:
                raise BadRename(
                    f"{place}: {key or 'the database'} loses no {column!r}; it loses {', '.join(goes)}"
                )

    def refuse_unused(self) -> None:
        """Raise BadRename for a rename or drop that was told, and that the models do not ask for."""
        objects = {place for place in self.dropped if ":" in place}  # no data is in them: nothing to confirm
        if unused := sorted({*self.renamed, *self.named} - self.used - objects):
            raise BadRename(
                f"nothing of this kind was found to rename or drop: {', '.join(unused)}; no revision was written"
            )


def _ambiguous(key: str, old: str, comes: Sequence[str]) -> str:
    if not key:
        return (
            f"the table {old} goes, and {', '.join(comes)} comes. If that is a new name, keep the old one in the"
            f" database: __tablename__ = {old!r}. If {old} really goes: `ringfence revision --retire {old} -m …`"
        )
    return (
        f"{key} loses {old} and gains {', '.join(comes)}: a new name, or another column? Say which:"
        f" `ringfence revision --rename {key}.{old}={comes[0]} -m …`, or `--retire {key}.{old}`"
    )


def _places(goes: Retires) -> Iterator[tuple[str, str, str | None]]:
    for key, columns in goes.items():
        if columns is None:
            yield key, key, None
        yield from ((f"{key}.{column}", key, column) for column in columns or ())


def _losing(key: str, column: str | None, rows: int | None) -> str:
    if column is None:
        return (
            f"table {key} with its rows" if rows is None else f"table {key} with its {counted(rows, 'row')}"
        )
    held = "" if rows is None else f" ({counted(rows, 'row')} {'holds' if rows == 1 else 'hold'} one)"
    return f"column {key}.{column} with its values{held}"


def counter(connection: sa.Connection | None) -> Rows | None:
    """Counts rows in a database; None without one.

    Args:
        connection: the admin's; None without a database.
    """
    if connection is None:
        return None

    def rows(key: str, column: str | None) -> int | None:
        schema, _, name = key.rpartition(".")
        table = sa.table(name, schema=schema or None)
        count = sa.func.count() if column is None else sa.func.count(sa.column(column))
        try:
            with connection.begin_nested():
                return int(connection.execute(sa.select(count).select_from(table)).scalar_one())
        except sa.exc.DBAPIError:  # the admin may not read it, or is not waiting for it
            return None

    return rows
