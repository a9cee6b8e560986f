"""The record operators of rows, update and delete, for keys of any type."""

import copy
from collections.abc import Mapping
from typing import Any

from pydal.helpers.classes import RecordDeleter, RecordUpdater
from pydal.objects import Expression

from ringfence.runtime.dal.operands import BadRequest, operand
from ringfence.runtime.errors import ArgumentError, UnknownName


def key_in(table: Any, row: Any) -> dict[str, Any] | None:
    """Return the key of a row's record by fields; None where the row lacks it or the account may not read it.

    Args:
        table: a table of the mirror.
        row: a row of a select from it.
    """
    parts = row.__dict__
    names = table._key_names()
    if not names or not all(name in parts for name in names):
        return None
    return {name: parts[name] for name in names}


def query_of(table: Any, row: Any) -> Any:
    """Return the query for the record that a row stands for.

    Args:
        table: the table to search.
        row: a row of that table, or of another one whose key has the same value.
    """
    of = getattr(type(row), "_of", None)
    key = key_in(table, row) if of is not None and of._dalname == table._dalname else None
    return table._id == operand(row) if key is None else table._all_of(key)


class _PartOfKey:
    """A stand-in for PyDAL's `_id` of a table without a single-column key; mixed in before the field's class.

    PyDAL's own tables have no `_id` then, so a method that finds records by it fails; here it would otherwise match
    every record with the same first key column.
    """

    table: Any
    __hash__ = object.__hash__

    def __eq__(self, value: object) -> Any:
        if value is not None and not isinstance(value, Expression):
            raise self._refusal()
        return super().__eq__(value)

    def belongs(self, *value: Any, **options: Any) -> Any:
        """Raise BadRequest."""
        raise self._refusal()

    def _refusal(self) -> BadRequest:
        table = self.table
        key = ", ".join(
            table._mirror.columns[name].field
            for name in table._mirror.primary_key
            if name in table._mirror.columns
        )
        if len(table._mirror.primary_key) > 1 and key:
            return BadRequest(
                f"{table._dalname} has a key of several columns ({key}), so one value does not say which record is "
                "meant: give a dict of them, or ask for the columns"
            )
        return BadRequest(
            f"{table._dalname} has no key that this service knows: find its records by their columns"
        )


def part_of_key(field: Any) -> Any:
    """Return the `_id` stand-in of a table whose key is not one column that the account knows.

    Args:
        field: the first field of the key, or of the table.
    """
    made = copy.copy(field)
    made.__class__ = type("Field", (_PartOfKey, field.__class__), {})
    return made


class Updater(RecordUpdater):  # type: ignore[misc]  # pydal is untyped
    """`row.update_record(field=value)`; without values it stores the row's own."""

    def __init__(self, row: Any, table: Any, key: Any) -> None:
        super().__init__(row, table, key)
        self._table, self._key = table, _whole(table, row, key)

    def __call__(self, **fields: Any) -> Any:
        """Store values in the record and in the row, and return the row.

        Args:
            fields: the values; when empty, all values of the row except its key.

        Raises:
            UnknownName: for a field that the table does not have.
            ArgumentError: for a left join's row without a record.
        """
        table = self._table
        known = {name: value for name, value in (fields or dict(self.colset)).items() if name in table.fields}
        if unknown := [name for name in fields if name not in known and name != "id"]:
            raise UnknownName(table._unknown(unknown[0]))
        changes = {
            name: value
            for name, value in known.items()
            if table[name].type != "id" and (fields or name not in self._key)
        }
        _found(table, self._key).update(**changes)
        self.colset.update(changes)
        return self.colset


class Deleter(RecordDeleter):  # type: ignore[misc]  # pydal is untyped
    """`row.delete_record()`."""

    def __init__(self, row: Any, table: Any, key: Any) -> None:
        super().__init__(row, table, key)
        self._table, self._key = table, _whole(table, row, key)

    def __call__(self) -> int:
        """Delete the record and return how many were deleted.

        Raises:
            ArgumentError: for a left join's row without a record.
        """
        return int(_found(self._table, self._key, filtered=True).delete())


def _whole(table: Any, row: Any, key: Any) -> Mapping[str, Any]:
    return key_in(table, row) or {table._id.name: key}


def _found(table: Any, key: Mapping[str, Any], *, filtered: bool = False) -> Any:
    if any(value is None for value in key.values()):
        raise ArgumentError(f"this row of {table._tablename} has no record: a left join found none")
    own = table._db[table._dalname]  # an alias cannot be written to
    return table._db(own._all_of(dict(key)), ignore_common_filters=None if filtered else True)
