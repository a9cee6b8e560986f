"""The mark `info={"password": True}` of the models: PyDAL's type `password`, of which only a hash is stored."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from ringfence.schema.models.types import portable

# The longest hash that PyDAL's CRYPT() makes by default, such as `pbkdf2(1000,20,sha512)$16 digits$40 digits`.
HASH_LENGTH = 80
_MARK = "password"
_NAMES = frozenset({"password", "passwd", "pwd"})


def is_password(column: sa.Column[object]) -> bool:
    """Whether the models mark a column with `info={"password": True}`."""
    return column.info.get(_MARK) is True


def wrong_marks(key: str, table: sa.Table, engines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Find the columns that are marked as a password and cannot store a hash, and invalid marks.

    Args:
        key: the table's, `table` or `schema.table`.
        table: of the models.
        engines: the names of the deployment's engines.

    Yields:
        The column's name, and a message with how to resolve it.
    """
    for column in table.columns:
        mark = column.info.get(_MARK, False)
        where = f'{key}.{column.name}: info={{"password": {mark!r}}}'
        if not isinstance(mark, bool):
            yield column.name, f"{where} is not a mark: write True, or leave it out"
        elif mark and (wrong := _unfit(column, engines)):
            yield column.name, f"{where}, and {wrong}"


def is_unmarked_password(column: sa.Column[object]) -> bool:
    """Whether a text column without a mark is named `password`, `passwd` or `pwd`, in upper or lower case."""
    return (
        str(column.name).lower() in _NAMES and _MARK not in column.info and isinstance(column.type, sa.String)
    )


def _unfit(column: sa.Column[object], engines: Sequence[str]) -> str | None:
    kind = portable(column.type, engines)
    if kind.problems:
        return None  # which check_grants reports where the column is granted
    if kind.type not in ("string", "text") or kind.params.get("fixed"):
        return f"{column.type!r} cannot store a hash unchanged: use String(255)"
    length = kind.params.get("length")
    if length is not None and length < HASH_LENGTH:
        return f"a hash has {HASH_LENGTH} characters or more, where the column has {length}: use String(255)"
    if column.primary_key or column.foreign_keys:
        return "a key is compared, and hashes of one password differ: take the mark away"
    return None
