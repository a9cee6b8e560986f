"""Column defaults that an INSERT draws from a database sequence, as SQLAlchemy's inserts do."""

from collections.abc import Callable, Iterable
from typing import Any

from pydal.objects import Expression

from ringfence.runtime.engines import Backend
from ringfence.runtime.mirror import Column, Default


def draw(dal: Any, backend: Backend, default: Default) -> Callable[[], Expression] | None:
    """Return a function that makes the expression which draws the next value; None if the engine has no sequences.

    The SQL is made at each insert, as only a connection shows whether the server is MySQL or MariaDB.

    Args:
        dal: the DAL.
        backend: the engine's backend.
        default: a default of kind `sequence`.
    """
    schema, name = sequence_of(default)
    if backend.next_value(schema, name) is None:
        return None

    def drawn() -> Expression:
        return Expression(dal, lambda: backend.next_value(schema, name))

    drawn.draws = True  # type: ignore[attr-defined]  # read by `without_drawn`
    return drawn


def sequence_of(default: Default) -> tuple[str | None, str]:
    """Return the schema and name of a sequence.

    Args:
        default: a default of kind `sequence`.
    """
    return default.value.get("schema"), default.value["name"]


def without_drawn(fields: Iterable[Any]) -> list[Any]:
    """Return the fields whose values the program knows; sequence values come back from the server.

    Args:
        fields: PyDAL fields.
    """
    return [field for field in fields if not getattr(field.default, "draws", False)]


def drawn_key(table: Any) -> Column | None:
    """Return the key column that is drawn from a sequence, or None.

    Args:
        table: a table of the mirror.
    """
    columns = table._mirror.columns
    keys = (columns.get(name) for name in table._mirror.primary_key)
    return next((key for key in keys if key and key.default and key.default.kind == "sequence"), None)


def reports_key(table: Any, fields: Any) -> bool:
    """Return whether a server without RETURNING reports the key of a row inserted with these fields.

    It reports AUTO_INCREMENT and drawn values, but no other defaults, and only one column of a key.

    Args:
        table: a table of the mirror.
        fields: the pairs of field and value that were inserted.
    """
    given = {field.name for field, value in fields if not isinstance(value, Expression)}
    columns = table._mirror.columns
    keys = [columns.get(name) for name in table._mirror.primary_key]
    missing = [key for key in keys if key is not None and key.field not in given]
    if not missing:
        return True
    counted = missing[0].autoincrement or table[missing[0].field].type == "id"
    drawn = missing[0].default is not None and missing[0].default.kind == "sequence"
    return len(missing) == 1 and (counted or drawn)
