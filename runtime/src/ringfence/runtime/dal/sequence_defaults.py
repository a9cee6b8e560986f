"""Defaults that an INSERT draws from a sequence of the server, as SQLAlchemy's inserts do."""

from collections.abc import Callable, Iterable
from typing import Any

from pydal.objects import Expression

from ringfence.runtime.engines import Backend
from ringfence.runtime.mirror import Column, Default


def draw(dal: Any, backend: Backend, default: Default) -> Callable[[], Expression] | None:
    """What gives the expression that draws the next value; None where the engine has no sequences.

    The text is made at each insert: only a connection says whether a server is MySQL or MariaDB.

    Args:
        dal: of the process.
        backend: of the server.
        default: of a column, of the kind `sequence`.
    """
    schema, name = sequence_of(default)
    if backend.next_value(schema, name) is None:
        return None

    def drawn() -> Expression:
        return Expression(dal, lambda: backend.next_value(schema, name))

    drawn.draws = True  # type: ignore[attr-defined]  # which `without_drawn` looks for
    return drawn


def sequence_of(default: Default) -> tuple[str | None, str]:
    """The schema and the name of a sequence.

    Args:
        default: of a column, of the kind `sequence`.
    """
    return default.value.get("schema"), default.value["name"]


def without_drawn(fields: Iterable[Any]) -> list[Any]:
    """The fields whose values the program knows; those of a sequence come back from the server.

    Args:
        fields: of PyDAL.
    """
    return [field for field in fields if not getattr(field.default, "draws", False)]


def drawn_key(table: Any) -> Column | None:
    """The column of the key that is drawn from a sequence, if one is.

    Args:
        table: of PyDAL, made from a mirror.
    """
    columns = table._mirror.columns
    keys = (columns.get(name) for name in table._mirror.primary_key)
    return next((key for key in keys if key and key.default and key.default.kind == "sequence"), None)


def reports_key(table: Any, fields: Any) -> bool:
    """Whether a server without RETURNING says the key of a row that was inserted with these fields.

    It says what it counted up, and nothing of another default, or of a second part of the key.

    Args:
        table: of PyDAL, made from a mirror.
        fields: of PyDAL.
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
