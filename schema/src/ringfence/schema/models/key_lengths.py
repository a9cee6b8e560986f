"""InnoDB's limits for keys and indexes: their size in bytes, and no text column without a length."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.schema.features import FEATURES
from ringfence.schema.models.conditional import applies
from ringfence.schema.models.engine_types import effective
from ringfence.schema.models.object_names import keys
from ringfence.schema.models.types import DIALECTS, portable

BYTES_PER_CHARACTER = 4
"""The maximum in utf8mb4; the others of `information_schema.character_sets` are in `_BYTES`."""
_BYTES = {
    "utf8": 3, "utf8mb3": 3, "ucs2": 2, "big5": 2, "cp932": 2, "euckr": 2, "gb2312": 2, "gbk": 2, "sjis": 2,
    "eucjpms": 3, "ujis": 3,
    **dict.fromkeys(
        "latin1 latin2 latin5 latin7 ascii binary armscii8 cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 dec8"
        " geostd8 greek hebrew hp8 keybcs2 koi8r koi8u macce macroman swe7 tis620".split(), 1
    ),
}  # fmt: skip
_PREFIXED = ("FULLTEXT", "SPATIAL")


def too_long_keys(table: sa.Table, engines: Sequence[str]) -> Iterator[str]:
    """Find the keys and indexes of a table that MySQL and MariaDB refuse.

    Args:
        table: of the models.
        engines: the names of the deployment's engines.

    Yields:
        A message for each problem, with how to resolve it and the engines that have it.
    """
    found: dict[str, list[str]] = {}
    for engine in (each for each in engines if FEATURES[each].longest_key is not None):
        items = [*keys(table), *sorted(table.indexes, key=lambda each: str(each.name))]
        for item in (each for each in items if applies(each, engine)):
            for problem in _refused(item, table, engine):
                found.setdefault(problem, []).append(engine)
    for problem, where in found.items():
        yield f"{problem}, on {', '.join(where)}"


def _refused(item: Any, table: sa.Table, engine: str) -> Iterator[str]:
    lengths = _option(item, engine, "length")
    if str(_option(item, engine, "prefix") or "").upper() in _PREFIXED:
        return
    size, what = 0, f"the key {_name(item)}"
    for column in item.columns:
        type_ = effective(column.type, DIALECTS[engine], through_ours=True).type
        prefix = lengths.get(column.name) if isinstance(lengths, dict) else lengths
        length = prefix or _length(type_, portable(column.type, (engine,)).type)
        if length is None:
            yield f"{what} holds {column.name!r}, a {type_!r} without a length: use String(length)"
            continue
        size += length * (_bytes_of(type_, table, engine) if isinstance(type_, sa.String) else 1)
    most = FEATURES[engine].longest_key
    if most is not None and size > most:
        left = f"index:{table.key}.{item.name}" if isinstance(item, sa.Index) else table.key
        yield (
            f"{what} takes {size} bytes, and {most} is the most: shorten its strings, or"
            f" leave_out = [{json.dumps(str(left))}] in ringfence.toml"
        )


def _name(item: Any) -> str:
    """The quoted name of a key, or its kind and columns where the models give it no name."""
    if item.name is not None:
        return repr(str(item.name))
    kind = "primary key, " if isinstance(item, sa.PrimaryKeyConstraint) else ""
    return f"({kind}{', '.join(str(column.name) for column in item.columns)})"


def _length(type_: TypeEngine[Any], portable_type: str) -> int | None:
    """The characters or bytes of a column in a key; None for a type that needs a length, 0 for small fixed types."""
    if isinstance(type_, sa.VARBINARY | sa.BINARY):
        return type_.length or 1
    if portable_type in ("text", "bytes", "json"):
        return None
    return (getattr(type_, "length", None) or 0) if portable_type == "string" else 0


def _bytes_of(type_: TypeEngine[Any], table: sa.Table, engine: str) -> int:
    """The maximum bytes per character, by the character set of the column, else by that of the table."""
    charset = getattr(type_, "charset", None) or (getattr(type_, "collation", None) or "").partition("_")[0]
    if not charset:
        options = (_option(table, engine, name) for name in ("charset", "default_charset", "character_set"))
        charset = next((option for option in options if option), "")
        charset = charset or str(_option(table, engine, "collate") or "").partition("_")[0]
    return _BYTES.get(str(charset).lower(), BYTES_PER_CHARACTER)


def _option(item: Any, engine: str, name: str) -> Any:
    """A dialect option of a table, key or index: the one for the engine's dialect, else the one for MySQL."""
    for dialect in (DIALECTS[engine], "mysql"):
        if (given := item.dialect_options[dialect].get(name)) is not None:
            return given
    return None
