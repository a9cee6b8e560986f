"""The sequences that columns of the models take their values from."""

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.functions import next_value

from ringfence.schema.features import FEATURES


def insert_sequence(column: sa.Column[Any]) -> sa.Sequence | None:
    """The sequence whose next value an INSERT must give for the column, on engines with sequences; else None.

    An optional sequence is not used on any of the engines, as in SQLAlchemy. For a primary key whose server default
    uses a sequence the program takes the value itself, as MariaDB does not report a key that came from a default.

    Args:
        column: of the models.
    """
    given = column.default
    if isinstance(given, sa.Sequence):
        return None if given.optional else given
    default = getattr(column.server_default, "arg", None)
    return default.sequence if column.primary_key and isinstance(default, next_value) else None


def missing_sequence_problem(column: sa.Column[Any], engines: Iterable[str]) -> str | None:
    """Explain why a column with a sequence gets no value on engines without sequences, and how to resolve it.

    Args:
        column: of the models.
        engines: the names of the deployment's engines.

    Returns:
        The message; None where the column gets a value on every engine or has no sequence.
    """
    sequence = insert_sequence(column)
    lacking = [engine for engine in engines if not FEATURES[engine].has_sequences]
    if sequence is None or column.table.autoincrement_column is column or not lacking:
        return None
    return (
        f"the sequence {str(sequence.name)!r} cannot number it on {', '.join(lacking)}, which has no sequences and"
        " counts up a single integer key alone: use a default that every engine has, or take the engine out of"
        " ringfence.toml"
    )


def sequences_of(column: sa.Column[Any]) -> Iterator[tuple[sa.Sequence, bool]]:
    """The sequence that a column takes its value from, if any, with whether the server's default uses it."""
    default = getattr(column.server_default, "arg", None)
    if isinstance(default, next_value):
        yield default.sequence, True
    elif (sequence := insert_sequence(column)) is not None:
        yield sequence, False
