"""Decide whether a column was renamed or replaced, from options or from answers, never by guessing."""

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from ringfence.schema.errors import SchemaError
from ringfence.schema.models.object_rules import ObjectRule
from ringfence.schema.sql.table_keys import split_key
from ringfence.schema.text import counted

ALL = "all"
"""As an entry of `Renames.dropped`: everything that the deployment created and its models no longer have."""
Drops = Mapping[str, Sequence[str] | None]
"""table -> the columns that are dropped; None for the whole table."""
CountRows = Callable[[str, str | None], int | None]
"""Takes a table and a column or None; returns the number of rows, or of non-NULL values; None if it is unknown."""
Confirm = Callable[[str], bool]
"""Takes a question; returns whether the answer is yes."""

Ask = Callable[[str, Sequence[str]], str | None]
"""Takes a question and the possible answers; returns one of them, or None for "none of these"."""


class Ambiguous(SchemaError):
    """A drop and an addition may be a rename, and no option decides it; the message shows the options."""


class BadRename(SchemaError):
    """A `--rename` or `--retire` option cannot be read, or does not match the models and the database."""


class Unconfirmed(SchemaError):
    """A drop was not confirmed, so no revision was written; the message shows how to confirm it.

    Args:
        message: the text of the error.
        drops: the tables and columns to confirm, as values of `--retire`.
    """

    def __init__(self, message: str, drops: Sequence[str]) -> None:
        self.details = {"retire": list(drops)}
        super().__init__(message)


@dataclass
class Renames:
    """The declared renames and drops, and the callbacks that ask for the others."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """`table.old` -> `new`."""
    dropped: Collection[str] = ()
    """`table.column` or `table` to drop; or `all`, which confirms drops but does not decide about renames."""
    ask: Ask | None = None
    confirm: Confirm | None = None
    used: set[str] = field(default_factory=set)

    @classmethod
    def from_options(
        cls,
        renames: Iterable[str],
        dropped: Iterable[str],
        ask: Ask | None = None,
        confirm: Confirm | None = None,
    ) -> "Renames":
        """Parse the options of the command line.

        Args:
            renames: values of `--rename`, such as `table.old=new`.
            dropped: values of `--retire`, such as `table.column`, `table`, `index:name` or `all`.
            ask: asks which new column a dropped one became; None if the command is not interactive.
            confirm: asks whether something may be dropped; None if the command is not interactive.

        Raises:
            BadRename: an option cannot be read, or renames a table.
        """
        found = {}
        for text in renames:
            old, equals, new = text.partition("=")
            table, dot, _ = old.rpartition(".")
            if not equals or not new:
                raise BadRename(f"--rename {text!r} cannot be read: write --rename table.old=new")
            if not dot:
                raise BadRename(
                    f"--rename {text!r}: a table cannot be renamed while services use it. Keep its name in the"
                    f" database, `__tablename__ = {old!r}`, and rename only the class; or create a new table, copy"
                    f" the rows, and use --retire {old}"
                )
            found[old] = new.removeprefix(f"{table}.")
        dropped = tuple(dropped)
        try:
            for text in dropped:
                ObjectRule.read(text, patterns=False)
        except ValueError as error:
            raise BadRename(f"--retire {error}") from error
        return cls(found, dropped, ask, confirm)

    @property
    def named_drops(self) -> tuple[str, ...]:
        """What is to be dropped by its name, also if the deployment did not create it."""
        return tuple(target for target in self.dropped if target != ALL)

    def choose(self, key: str, removed: Sequence[str], added: Sequence[str]) -> Mapping[str, str]:
        """Decide which removed columns were renamed to which added columns.

        Args:
            key: the table; empty if whole tables are removed and added.
            removed: names that are in the database and no longer in the models.
            added: names that are in the models and not yet in the database.

        Returns:
            old name -> new name, for the renamed columns.

        Raises:
            Ambiguous: no option decides it, and the command is not interactive.
            BadRename: an option does not match these names.
        """
        left = list(added)
        chosen: dict[str, str] = {}
        for old in removed:
            target = f"{key}.{old}" if key else old
            new = self.renamed.get(target)
            if new is not None:
                self.used.add(target)
                if new not in left:
                    raise BadRename(
                        f"--rename {target}={new}: {key} gains no {new!r}; it gains {', '.join(added)}"
                    )
            elif target in self.dropped:
                self.used.add(target)
            elif left and self.ask is not None and key:
                what = f"{key} loses {old} and gains {', '.join(left)}. Was {old} renamed to one of these?"
                new = self.ask(what, tuple(left))
            elif left:
                self._refuse_unknown(key, removed)
                raise Ambiguous(_ambiguous(key, old, left))
            if new is not None:
                left.remove(new)
                chosen[old] = new
                self.used.add(target)
        return chosen

    def confirm_drops(self, drops: Drops, message: str, count_rows: CountRows | None) -> None:
        """Check that every drop is confirmed, by an option, a rename or an answer.

        Args:
            drops: the tables and columns that the contract revision would drop.
            message: the message of the revision, for the command line in the error.
            count_rows: counts what would be lost; None if the database does not hold the deployment's rows.

        Raises:
            Unconfirmed: a drop has no option, and the command is not interactive or the answer is no.
        """
        missing = {}
        for target, key, column in _drop_names(drops):
            if target in self.dropped:
                self.used.add(target)
            elif ALL not in self.dropped and target not in self.used:
                missing[target] = _loss(key, column, count_rows(key, column) if count_rows else None)
        if self.confirm is not None:
            missing = {target: what for target, what in missing.items() if not self.confirm(f"Drop {what}?")}
        if missing:
            words = [*(f"--rename {old}={new}" for old, new in self.renamed.items())]
            words += [f"--retire {shlex.quote(target)}" for target in (*self.dropped, *missing)]
            raise Unconfirmed(
                f"no revision was written, because these drops are not confirmed: {'; '.join(missing.values())}."
                f" Confirm them: `ringfence revision -m {shlex.quote(message)} {' '.join(words)}`, or --retire all;"
                " or keep them in the models",
                list(missing),
            )

    def _refuse_unknown(self, key: str, removed: Sequence[str]) -> None:
        """Raise BadRename if an option names a column of this table that is not removed."""
        # Values such as `all` and `index:ix` name neither a table nor a column.
        for target in (one for one in (*self.renamed, *self.dropped) if one != ALL and ":" not in one):
            table, _, column = target.rpartition(".")
            if table == key and column not in removed:
                raise BadRename(
                    f"{target}: {key or 'the database'} loses no {column!r}; it loses {', '.join(removed)}"
                )

    def refuse_unused(self) -> None:
        """Raise BadRename if an option was not used by any `choose` or `retire`.

        Raises:
            BadRename: a rename or drop was declared that no difference requires.
        """
        objects = {
            target for target in self.dropped if ":" in target
        }  # they hold no rows, so `retire` never asks
        if unused := sorted({*self.renamed, *self.named_drops} - self.used - objects):
            raise BadRename(f"no such rename or drop is needed: {', '.join(unused)}; no revision was written")


def _ambiguous(key: str, old: str, added: Sequence[str]) -> str:
    if not key:
        return (
            f"the models no longer have the table {old}, and have the new table {', '.join(added)}. If it was"
            f" renamed, keep the old name in the database: __tablename__ = {old!r}. To drop {old}:"
            f" `ringfence revision --retire {old} -m …`"
        )
    return (
        f"{key} loses {old} and gains {', '.join(added)}: was it renamed, or dropped? Use"
        f" `ringfence revision --rename {key}.{old}={added[0]} -m …`, or `--retire {key}.{old}`"
    )


def _drop_names(drops: Drops) -> Iterator[tuple[str, str, str | None]]:
    for key, columns in drops.items():
        if columns is None:
            yield key, key, None
        yield from ((f"{key}.{column}", key, column) for column in columns or ())


def _loss(key: str, column: str | None, rows: int | None) -> str:
    if column is None:
        return (
            f"table {key} with its rows" if rows is None else f"table {key} with its {counted(rows, 'row')}"
        )
    held = "" if rows is None else f" ({counted(rows, 'row')} {'holds' if rows == 1 else 'hold'} one)"
    return f"column {key}.{column} with its values{held}"


def row_counter(connection: sa.Connection | None) -> CountRows | None:
    """Return a function that counts rows; None without a connection.

    Args:
        connection: a connection of the admin account; None without a database.
    """
    if connection is None:
        return None

    def rows(key: str, column: str | None) -> int | None:
        schema, name = split_key(key)
        table = sa.table(name, schema=schema)
        count = sa.func.count() if column is None else sa.func.count(sa.column(column))
        try:
            with connection.begin_nested():
                return int(connection.execute(sa.select(count).select_from(table)).scalar_one())
        except sa.exc.DBAPIError:  # no privilege, or a timeout; the count is only shown, so it may be missing
            return None

    return rows
