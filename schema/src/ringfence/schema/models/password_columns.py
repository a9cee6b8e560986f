"""The mark `info={"password": True}` of the models: PyDAL's `password`, of which only a hash is stored."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from ringfence.schema.models.types import portable

# The longest that PyDAL's CRYPT() makes by default, such as `pbkdf2(1000,20,sha512)$16 digits$40 digits`.
HASH_LENGTH = 80
_MARK = "password"
_NAMES = frozenset({"password", "passwd", "pwd"})


def is_password(column: sa.Column[object]) -> bool:
    """Whether the models mark a column as a password.

    Args:
        column: of the models.

    Returns:
        True where its `info` has `"password": True`.
    """
    return column.info.get(_MARK) is True


def wrong_marks(key: str, table: sa.Table, engines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The columns that are marked as a password and cannot be one, each with what is wrong and the way out.

    Args:
        key: of the table, `table` or `schema.table`.
        table: of the models.
        engines: those of the deployment, by their names.

    Yields:
        The column's name, and what is wrong with its mark.
    """
    for column in table.columns:
        mark = column.info.get(_MARK, False)
        where = f'{key}.{column.name}: info={{"password": {mark!r}}}'
        if not isinstance(mark, bool):
            yield column.name, f"{where} is no mark: write True, or leave it out"
        elif mark and (wrong := _unfit(column, engines)):
            yield column.name, f"{where}, and {wrong}"


def is_unmarked_password(column: sa.Column[object]) -> bool:
    """Whether a text column is called a password, and the models do not say whether it is one.

    Args:
        column: of the models.

    Returns:
        True for a column named `password`, `passwd` or `pwd` without a mark; upper and lower case are the same.
    """
    return (
        str(column.name).lower() in _NAMES and _MARK not in column.info and isinstance(column.type, sa.String)
    )


def _unfit(column: sa.Column[object], engines: Sequence[str]) -> str | None:
    kind = portable(column.type, engines)
    if kind.problems:
        return None  # of which the lint warns where the column is granted
    if kind.type not in ("string", "text") or kind.params.get("fixed"):
        return f"{column.type!r} keeps no hash of one as it is: use String(255)"
    length = kind.params.get("length")
    if length is not None and length < HASH_LENGTH:
        return f"a hash has {HASH_LENGTH} characters or more, where the column has {length}: use String(255)"
    if column.primary_key or column.foreign_keys:
        return "a key is compared, and hashes of one password differ: take the mark away"
    return None
