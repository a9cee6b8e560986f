"""PyDAL's Table with strict field names, checks of the account's privileges, and keys of any type."""

import datetime as dt
import decimal
import difflib
import enum
import functools
import operator
import types
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pydal.objects import FieldMethod, FieldVirtual, Query
from pydal.objects import Row as PydalRow

from ringfence.runtime.dal.bulk import insert_many, update_many
from ringfence.runtime.dal.forms import Forms
from ringfence.runtime.dal.pydal_compat import DEFAULT
from ringfence.runtime.dal.records import part_of_key, query_of
from ringfence.runtime.dal.upsert import unless_kept, update_else_insert, upsert
from ringfence.runtime.engines import Backend
from ringfence.runtime.errors import (
    AccessDenied,
    ArgumentError,
    DataError,
    NotSupportedError,
    UniqueViolation,
    UnknownName,
)
from ringfence.runtime.mirror import VERBS
from ringfence.runtime.mirror import Table as MirrorTable

_OWN_HOOKS = {"insert": 1, "update": 2, "delete": 1}


class Table(Forms):
    """A table of the mirror, restricted to the columns and verbs that the account may use."""

    _mirror: MirrorTable
    _denied_fields: Mapping[str, frozenset[str]]
    _relations: Mapping[str, str]
    _keyed_by_one: bool
    _frozen = False
    is_cte = False  # PyDAL reads this at every select

    def __deepcopy__(self, memo: Any) -> "Table":
        return self

    @property
    def _referenced_by(self) -> Any:
        """The fields of other tables that refer to this table; reading it makes PyDAL tables of those others first."""
        if (maker := self._db._maker) is not None:
            maker.make_referrers(self._dalname)
        return self.__dict__["_referenced_by"]

    @_referenced_by.setter
    def _referenced_by(self, fields: Any) -> None:
        self.__dict__["_referenced_by"] = fields

    def _filter_fields_for_operation(self, fields: dict[str, Any]) -> Any:
        # PyDAL silently drops unknown fields.
        if unknown := [name for name in fields if name not in self.fields]:
            raise UnknownName(self._unknown(unknown[0]))
        return super()._filter_fields_for_operation(fields)

    def _in_order(self) -> tuple[tuple[str, Any], ...]:
        """Return the fields with their names, cached; an alias has fields of its own and must not inherit the cache."""
        found: tuple[tuple[str, Any], ...] | None = self.__dict__.get("_ordered")
        if found is None:
            found = self.__dict__["_ordered"] = tuple((field.name, field) for field in self)
        return found

    def _key_names(self) -> tuple[str, ...]:
        """Return the field names of the primary key; empty if there is none or the account may not read all of it."""
        found: tuple[str, ...] | None = self.__dict__.get("_key_fields")
        if found is None:
            columns = self._mirror.columns
            keys = [columns.get(name) for name in self._mirror.primary_key]
            readable = "select" in self._mirror.verbs and all(
                key is not None and key.selectable for key in keys
            )
            found = tuple(key.field for key in keys if key is not None) if readable else ()
            self.__dict__["_key_fields"] = found
        return found

    def _restricted(self, verb: str) -> bool:
        """Return whether the backend adds a scope condition to every statement of this verb."""
        known: dict[str, bool] = self.__dict__.setdefault("_restrictions", {})
        if verb not in known:
            known[verb] = bool(self._db._adapter.backend.restriction(self._mirror, verb, self.sql_shortref))
        return known[verb]

    def insert(self, **fields: Any) -> Any:
        """Insert a row and return its key, in the form of the adapter's `insert`.

        Args:
            fields: the values by field name.

        Raises:
            UnknownName: for a name that is no field of the table.
            AccessDenied: for a field that the account may not insert.
        """
        done, key = self._db._adapter.fast_insert(self, fields)
        return key if done else super().insert(**fields)

    def bulk_insert(self, items: Any) -> list[Any]:
        """Insert many rows with few statements.

        Args:
            items: dicts of field names and values; the rows may have different fields.

        Returns:
            The keys in the order of the rows, as `insert` returns them; None for each key that the engine does not
            report.
        """
        if any(field.compute or field.filter_in or field.required for field in self) or self._hooked(
            "insert"
        ):
            return super().bulk_insert(items) or []  # None when a hook refused the insert
        return insert_many(self._db._adapter, self, items)

    def bulk_update(self, items: Any, key: str | Iterable[str] | None = None) -> int:
        """Update many records, each found by its key, with few statements.

        Args:
            items: dicts of field names and values that include the key; the rows may have different fields.
            key: the field or fields that identify a record; the primary key when None.

        Returns:
            How many records were found.

        Raises:
            ArgumentError: for a row without its key, and for two rows with the same key.
            DataError: for an invalid value, with the row's number, counted from 0, and the column.
        """
        return update_many(self, items, key)

    def upsert(
        self, _key: str | Iterable[str] | None = None, _update: dict[str, Any] | None = None, **values: Any
    ) -> Any:
        """Insert a record, or update the existing one with the same unique key, safely under concurrent writes.

        Args:
            _key: the field or fields of the unique key that decides; needed only when the values contain more than one.
            _update: what to store in an existing record in place of the values; may hold expressions, such as `{"hits":
                dal.tally.hits + 1}`. `{}` leaves the existing record unchanged and needs no UPDATE privilege.
            values: the record.

        Returns:
            The record's key, as `insert` returns it.

        Raises:
            ArgumentError: when the values contain no complete unique key, or several and `_key` does not choose one.
            UniqueViolation: when a different record has the same value in another unique key.
            AccessDenied: for a field that the account may not insert or update.
        """
        return upsert(self, _key, values, _update)

    def _hooked(self, verb: str) -> bool:
        """Return whether the program registered a hook; PyDAL's own hooks, which are for uploads, do not count."""
        before, after = getattr(self, f"_before_{verb}"), getattr(self, f"_after_{verb}")
        return len(before) > _OWN_HOOKS[verb] or bool(after)

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.fields, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(self.fields)}"
        return f"{self._tablename} has no field {name} that this service may touch; {hint}"

    def __getattr__(self, name: str) -> Any:
        # Called only when normal attribute lookup fails.
        if "_fields" not in self.__dict__:
            raise AttributeError(name)
        if name.startswith("_"):
            column = self._mirror.columns.get(name)
            raise AttributeError(
                name if column is None else f"{self._tablename}.{name} is {column.field} here"
            )
        raise AttributeError(self._unknown(name))

    def __getitem__(self, key: Any) -> Any:
        """Return the record with this key, or the field with this name.

        Args:
            key: a number, a UUID, text, a Row, or a dict for a composite key; or the name of a field.

        Returns:
            The field or the record; None where no record has the key.

        Raises:
            KeyError: for text that is neither a field's name nor a valid key.
        """
        if isinstance(key, uuid.UUID | int):
            return self._first(self._id == key)
        if isinstance(key, PydalRow):
            return self._first(query_of(self, key))
        try:
            if not isinstance(key, str) or not key.isdigit():
                return super().__getitem__(key)
        except KeyError:
            if not isinstance(key, str):
                raise
        found = self._by_key(key)
        record = None if found is None else self._first(found)
        if record is None and not (key.isdigit() or (found is not None and self._id.type == "uuid")):
            raise KeyError(self._unknown(key))
        return record

    def _first(self, query: Any) -> Any:
        return self._db(query).select(limitby=(0, 1), orderby_on_limitby=False).first()

    def _by_key(self, key: Any) -> Any:
        """Return the query for a record by its single-column key, also given as text; None if it is no valid key."""
        if self._key_names() != (self._id.name,):
            return None
        try:
            self._id.type.codec.check_compared(key)
        except DataError:
            return None
        return self._id == key

    def __call__(self, key: Any = DEFAULT, /, **kwargs: Any) -> Any:
        """Return the first record that matches, or None.

        Args:
            key: a key (also as text), a Row, a query, or a dict of field values.
            kwargs: field values that the record must have, and PyDAL's `_`-options; `key=` is the key, as in PyDAL,
                unless the table has a field of this name.
        """
        if "key" in kwargs:  # PyDAL's method has a parameter of this name
            value = kwargs.pop("key")
            if "key" in self.fields:
                return self._with_key_field(key, value, kwargs)
            key = value
        if isinstance(key, uuid.UUID | int):
            key = self._id == key
        elif isinstance(key, PydalRow):
            key = query_of(self, key)
        elif isinstance(key, dict):
            key = self._all_of(key)
        elif isinstance(key, str | bytes | decimal.Decimal | dt.date | enum.Enum):
            key = self._by_key(key)
        return super().__call__(key, **kwargs)

    def _with_key_field(self, key: Any, value: Any, kwargs: dict[str, Any]) -> Any:
        """Return the first record that matches, of a table with a field `key`, whose value is given."""
        if key is DEFAULT:
            options = {name: kwargs.pop(name) for name in ("_orderby", "_for_update") if name in kwargs}
            return self(self._all_of({"key": value, **kwargs}), **options)
        record = self(key, **kwargs)
        return record if record is not None and record["key"] == value else None

    def __delitem__(self, key: Any) -> None:
        if isinstance(key, int):
            super().__delitem__(key)
            return
        found = self._whole(key) if isinstance(key, dict) else self._by_key(key)
        if found is None or not self._db(found).delete():
            raise ArgumentError(f"{self._tablename} has no such record to delete")

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._frozen and isinstance(value, dict) and isinstance(key, dict):
            self._whole(key)
            self.update_or_insert(key, **(value | key))
            return
        if self._frozen and isinstance(value, dict) and key is not None:
            if not self._db(self._id == key).update(**self._filter_fields(value)):
                raise ArgumentError(f"{self._tablename} has no such record to set: insert it")
            return
        super().__setitem__(key, value)

    def _whole(self, key: dict[str, Any]) -> Any:
        """Return the query for a record by its complete primary key.

        Raises:
            ArgumentError: when the dict does not name exactly the fields of the primary key, or the table has none.
        """
        columns = self._mirror.columns
        names = [columns[name].field if name in columns else name for name in self._mirror.primary_key]
        if not names or set(names) != set(key):
            wanted = (
                f"its whole key, {', '.join(names)}" if names else "no key: find its records by their columns"
            )
            raise ArgumentError(f"{self._tablename}: a record that is set or deleted so has {wanted}")
        return self._all_of(key)

    def _all_of(self, values: dict[str, Any]) -> Any:
        if not values:
            raise ArgumentError(
                f"{self._tablename}: no value identifies the record: give its key, or some fields"
            )
        return functools.reduce(operator.and_, [self[name] == value for name, value in values.items()])

    def update_or_insert(self, _key: Any = DEFAULT, **values: Any) -> Any:
        """Update a record, or insert it if it does not exist, safely under concurrent writes.

        Args:
            _key: a query, a key or a dict of values that identifies the record; the values themselves when omitted.
            values: what to store.

        Returns:
            The key of a new record, or None when an existing record was updated.

        Raises:
            UniqueViolation: when a different record than the one identified has the same unique value.
        """
        done, key = update_else_insert(self, self._all_of(values) if _key is DEFAULT else _key, values)
        if done:
            return key
        query = self._query_of(_key, values)
        changes = unless_kept(self, query, values)
        record = self._db(query).select(limitby=(0, 1), orderby_on_limitby=False).first()
        if record is not None:
            self._db(self._same_record(record, query)).update(**changes)
            return None
        try:
            with self._db._adapter.sessions.current().attempt():
                return self.insert(**values)
        except UniqueViolation:
            if not self._db(query).update(**changes):
                raise
            return None

    def validate_and_update_or_insert(self, _key: Any = DEFAULT, **fields: Any) -> Any:
        """Validate and store a record; if a concurrent writer inserts it first, retry, which updates it.

        Args:
            _key: the record's key, or values that identify it.
            fields: values, or their text from a form.

        Returns:
            PyDAL's dict with `id`, `errors` and so on.
        """
        try:
            with self._db._adapter.sessions.current().attempt():
                return super().validate_and_update_or_insert(_key, **fields)
        except UniqueViolation:
            return super().validate_and_update_or_insert(_key, **fields)

    def _query_of(self, key: Any, values: dict[str, Any]) -> Any:
        if key is DEFAULT:
            return self._all_of(values)
        if isinstance(key, dict):
            return self._all_of(key)
        return key if isinstance(key, Query) else self._id == key

    def _same_record(self, record: Any, query: Any) -> Any:
        """Return a query for exactly the record found, where the account may read its key; else the original query."""
        columns = self._mirror.columns
        keys = [columns.get(name) for name in self._mirror.primary_key]
        if not keys or not all(key is not None and key.selectable for key in keys):
            return query
        return self._all_of({key.field: record[key.field] for key in keys if key is not None})

    def with_alias(self, alias: str) -> Any:
        """Return the table under another name, for a query that reads it more than once."""
        made = super().with_alias(alias)
        for kept in (
            "_ordered",
            "_readable",
        ):  # PyDAL copied these caches, which hold the fields of the original table
            made.__dict__.pop(kept, None)
        if made._id is not None and not self._keyed_by_one:
            object.__setattr__(made, "_id", part_of_key(made[self._id.name]))
        return made

    def truncate(self, mode: str = "") -> None:
        """Raise NotSupportedError: TRUNCATE is a schema change on most engines, and no service account may run it."""
        raise NotSupportedError(
            f"a service cannot truncate: delete the rows with dal(dal.{self._tablename}).delete()"
        )

    def _enable_record_versioning(self, *args: Any, **kwargs: Any) -> None:
        """Raise NotSupportedError: it would define a table, and would miss the changes of other programs."""
        raise NotSupportedError(
            f"a service cannot define the archive of {self._tablename}: add the table to the models, and write a"
            " revision with a trigger that fills it, so that the changes of every program are recorded"
        )

    def drop(self, mode: str = "") -> None:
        """Raise NotSupportedError: only the admin account may change the schema."""
        raise NotSupportedError("a service cannot alter the schema: change the models and write a revision")

    def create_index(self, *args: Any, **kwargs: Any) -> None:
        """Raise NotSupportedError, as `drop` does."""
        self.drop()

    def drop_index(self, *args: Any, **kwargs: Any) -> None:
        """Raise NotSupportedError, as `drop` does."""
        self.drop()

    def __setattr__(self, name: str, value: Any) -> None:
        made_of_rows = isinstance(
            value, FieldVirtual | FieldMethod | types.MethodType
        )  # these are not part of the schema
        if self._frozen and not name.startswith("_") and not made_of_rows:
            raise NotSupportedError(
                f"the tables of a mirror are fixed once they are made: {self._tablename}.{name} cannot be set"
            )
        super().__setattr__(name, value)

    def _relation(self, verb: str) -> str:
        """Return the quoted relation that statements of this verb use: the table, or on some engines a view of it."""
        return self._relations[verb]

    def _written(self, verb: str) -> str:
        """Return the target of an UPDATE or DELETE, with the alias by which the condition's fields refer to it."""
        relation = self._relations[verb]
        if self._tablename != self._dalname:
            return str(self._db._adapter.sqlsafe_table(self._tablename, relation))
        return relation if relation == self._rname else f"{relation} AS {self.sql_shortref}"

    def _allowed(self, verb: str, names: list[str]) -> None:
        """Raise AccessDenied for a verb or field that the account has no privilege for, before a statement is sent."""
        mirror = self._mirror
        if verb not in mirror.verbs:
            login = self._db._mirror.login
            raise AccessDenied(
                f"{login} is not allowed to {verb} on {self._tablename}", login, verb, mirror.name
            )
        barred = self._denied_fields.get(verb)
        if barred and (refused := [name for name in names if name in barred]):
            login = self._db._mirror.login
            message = f"{login} is not allowed to {verb} on {self._tablename}.{refused[0]}"
            raise AccessDenied(message, login, verb, mirror.name)


class _Qualified(Table):
    """A table in a named schema whose verbs use different relations: SQL admits no schema in an alias."""

    @property
    def sql_shortref(self) -> str:
        """The name by which a field's SQL refers to the table."""
        if self._tablename != self._dalname:
            return str(self._db._adapter.sqlsafe_table(self._tablename))
        return self._short

    _short: str


def table_class(mirror: MirrorTable, backend: Backend) -> type[Table]:
    """Return a class for one table: PyDAL instantiates tables itself and reads these attributes while it does.

    Args:
        mirror: the table.
        backend: provides the relation for each verb.
    """
    columns = mirror.columns.values()
    barred = {
        "select": frozenset(column.field for column in columns if not column.selectable),
        "insert": frozenset(column.field for column in columns if not column.insertable),
        "update": frozenset(column.field for column in columns if not column.updatable),
    }
    relations = {verb: backend.relation(mirror, verb) for verb in VERBS}
    known: dict[str, Any] = {"_mirror": mirror, "_denied_fields": barred, "_relations": relations}
    known["_keyed_by_one"] = len(mirror.primary_key) == 1 and mirror.primary_key[0] in mirror.columns
    if mirror.schema is None or len(set(relations.values())) == 1:
        return type("Table", (Table,), known)
    known["_short"] = relations["select"].removeprefix(f"{backend.quote_name(mirror.schema)}.")
    return type("Table", (_Qualified,), known)
