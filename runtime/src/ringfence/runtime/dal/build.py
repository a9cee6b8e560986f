"""Builds the DAL of one mirror, whose tables are then fixed."""

import copy
import difflib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydal import DAL
from pydal.helpers.classes import Reference
from pydal.helpers.methods import auto_represent
from pydal.helpers.regex import REGEX_VALID_TB_FLD
from pydal.objects import Query

from ringfence.runtime.dal import engines
from ringfence.runtime.dal.adapter import Sessions
from ringfence.runtime.dal.csv_files import TablesInFiles
from ringfence.runtime.dal.fast_paths import FastSet
from ringfence.runtime.dal.field import field_class
from ringfence.runtime.dal.lazy_tables import Maker
from ringfence.runtime.dal.operands import refuse_condition
from ringfence.runtime.dal.pydal_compat import drop_from_thread
from ringfence.runtime.dal.records import Deleter, Updater, part_of_key
from ringfence.runtime.dal.refusals import Refusals
from ringfence.runtime.dal.rows import Row, Rows
from ringfence.runtime.dal.sequence_defaults import draw
from ringfence.runtime.dal.table import table_class
from ringfence.runtime.dal.types import INTEGERS, TypeTag, pydal_name
from ringfence.runtime.dal.validators import is_unique
from ringfence.runtime.engines import Backend, StatementContext
from ringfence.runtime.errors import BadMirror, DataError, NotSupportedError
from ringfence.runtime.mirror import Column, Default, ForeignKey, Mirror
from ringfence.runtime.mirror import Table as MirrorTable
from ringfence.runtime.values.codecs import TIMES, Codec, codec_for
from ringfence.runtime.values.generators import GENERATORS
from ringfence.runtime.values.parameters import check_parameters


class RingfenceDAL(TablesInFiles, Refusals, DAL):  # type: ignore[misc]  # pydal is untyped
    """PyDAL's DAL for one mirror, shared by all threads and tasks of a process.

    Queries run in the current session, and `commit` and `rollback` act on it; the tables are fixed.
    """

    Row = Row
    Rows = Rows
    record_operators: ClassVar[dict[str, Any]] = {"update_record": Updater, "delete_record": Deleter}
    _maker: Maker | None = None
    _mirror: Mirror

    def __getattr__(self, key: str) -> Any:
        # Called only when normal attribute lookup fails; PyDAL also sends `dal[name]` this way.
        maker = self.__dict__.get("_maker")
        if maker is not None:
            staged = maker.make(key)
            if staged is not None:
                return staged
        try:
            return super().__getattr__(key)
        except AttributeError:
            if maker is None or key.startswith("_"):
                raise
            raise AttributeError(self._unknown(key)) from None

    def _unknown(self, name: str) -> str:
        mirror = self._mirror
        near = difflib.get_close_matches(name, mirror.tables, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(mirror.tables)) or 'none'}"
        given = "access.yaml gives a service its tables, and `ringfence mirror` writes them down"
        return f"the mirror of {mirror.service} has no table {name}; {hint} ({given})"

    def __deepcopy__(self, memo: Any) -> "RingfenceDAL":
        return self  # copies of rows refer to the same DAL, one per process

    def __call__(self, query: Any = None, ignore_common_filters: Any = None) -> FastSet:
        """Return the set of rows that match a query.

        Args:
            query: a query, or a table for all of its rows; None for no condition.
            ignore_common_filters: PyDAL's; True leaves out the tables' common filters.
        """
        return self.where(query, ignore_common_filters)

    def where(self, query: Any = None, ignore_common_filters: Any = None) -> FastSet:
        """Return the set of rows that match a query, as calling the DAL does.

        Raises:
            ArgumentError: for text or another value that is no condition.
        """
        if query.__class__ is Query and ignore_common_filters is None:
            found: FastSet = FastSet.__new__(FastSet)
            found.db = found._db = self
            found.dquery, found.query = None, query
            return found
        refuse_condition(query)
        found = super().where(query, ignore_common_filters)
        found.__class__ = FastSet
        return found

    def define_table(self, tablename: str, *fields: Any, **kwargs: Any) -> Any:
        """Define a table while the mirror's tables are made.

        Raises:
            NotSupportedError: once they are made: only the admin account may change the schema.
        """
        if self.__dict__.get("_frozen"):
            raise NotSupportedError(
                f"table {tablename} cannot be defined here: add it to the models and make the mirrors again"
            )
        return super().define_table(tablename, *fields, **kwargs)

    def close(self) -> None:
        """Raise NotSupportedError: a session returns its connection itself, and `Database.close` closes the pool."""
        raise NotSupportedError(
            "a DAL of ringfence is not closed: leave the session, or call Database.close()"
        )

    def single_transaction(self) -> None:
        """Raise NotSupportedError: PyDAL's version swallows errors."""
        raise NotSupportedError(
            "put the work inside `with db.session():`, which is one transaction and raises its errors"
        )

    def executesql(
        self,
        query: str,
        placeholders: Any = None,
        as_dict: bool = False,
        fields: Any = None,
        colnames: Any = None,
        as_ordered_dict: bool = False,
    ) -> Any:
        """Run one SQL statement in the current session.

        Args:
            query: the statement; its placeholders are `%s` or `%(name)s` on the servers, `?` or `:name` on SQLite.
            placeholders: the parameters, as a list, a tuple or a dict.
            as_dict: whether PyDAL returns rows as dicts.
            fields: the fields as which PyDAL parses the columns.
            colnames: the columns' names, for PyDAL.
            as_ordered_dict: whether PyDAL returns rows as ordered dicts.

        Returns:
            The rows in PyDAL's form, or None for a statement that returns none.

        Raises:
            ArgumentError: for parameters that do not fit the placeholders, before anything is sent.
            DataError: for a parameter that the driver does not support.
        """
        session = self._adapter.sessions.current()
        session.check_sql(query)
        words = query.split(None, 1)
        verb = words[0].lower() if words else None
        # WITH can begin a statement of any verb
        context = StatementContext(None if verb == "with" else verb, None)
        backend = self._adapter.backend
        given = check_parameters(
            query, placeholders, style=backend.features.paramstyle, send=backend.to_driver
        )
        cursor = session.execute(query, given, context=context)
        if cursor.description is None:
            return None
        if not (as_dict or as_ordered_dict or fields or colnames):
            return session.reading(cursor.fetchall, context)
        return _Fetched(self).executesql(query, None, as_dict, fields, colnames, as_ordered_dict)


class _Fetched:
    """Lets PyDAL's executesql format the rows of a statement that has already run."""

    def __init__(self, dal: RingfenceDAL) -> None:
        self._dal = dal
        self._adapter = self

    def executesql(self, *args: Any) -> Any:
        """Run PyDAL's executesql on this stand-in for the DAL."""
        return DAL.executesql(self, *args)

    def execute(self, *args: Any) -> None:
        """Do nothing: the statement has already run."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dal._adapter, name)

    def __getitem__(self, name: str) -> Any:
        return self._dal[name]


def build(mirror: Mirror, backend: Backend, db_type: str, sessions: Sessions) -> RingfenceDAL:
    """Return the DAL of a service.

    Args:
        mirror: the service's mirror.
        backend: provides the engine's codecs and quoting.
        db_type: the engine family, as in `DB_TYPE`.
        sessions: gives the adapter the caller's session.

    Raises:
        BadMirror: for a type, a default or a table name that this runtime does not support.
    """
    dal = RingfenceDAL(
        engines.URIS[db_type],
        pool_size=0,
        attempts=1,
        migrate=False,
        migrate_enabled=False,
        ignore_field_case=False,
        adapter_args={"sessions": sessions, "backend": backend},
        db_uid=f"ringfence-{id(sessions)}",
    )
    drop_from_thread(dal)
    dal.Field = field_class()
    dal._adapter.uri = f"{dal._uri}/{mirror.deployment}/{mirror.login}"  # part of PyDAL's cache keys
    check(mirror, backend)
    keys = {(table.schema, table.name): (table.key, _key(table)) for table in mirror.tables.values()}
    dal._tables.extend(mirror.tables)
    dal.__dict__["_mirror"] = mirror
    dal.__dict__["_maker"] = Maker(
        mirror, lambda table, staged: _define(dal, table, backend, keys, staged), _link, dal.__dict__
    )
    dal.__dict__["_frozen"] = True
    return dal


def define_all(dal: RingfenceDAL) -> None:
    """Make every table of the mirror now; otherwise each is made on first access.

    Args:
        dal: the result of `build`.

    Raises:
        BadMirror: for the first table that PyDAL cannot define, with its name and the reason.
    """
    if dal._maker is not None:
        dal._maker.make_all()


def check(mirror: Mirror, backend: Backend) -> None:
    """Check the names, types and defaults of all tables, which are only made later.

    Raises:
        BadMirror: for a name that PyDAL does not accept, and for an unknown type or generator.
    """
    for table in mirror.tables.values():
        if hasattr(DAL, table.key) or not REGEX_VALID_TB_FLD.match(table.key):
            raise BadMirror(f"{table.key}: PyDAL takes no table of this name; make the mirrors again")
        for column in table.columns.values():
            if column.type in _COMPOUND or column.type not in backend.codecs:
                codec_for(backend.codecs, column.type, column.params, f"{table.key}.{column.name}")
            for default in (column.default, column.on_update):
                if default is not None and default.kind == "generator":
                    _default(default, column, f"{table.key}.{column.name}")


_COMPOUND = frozenset({"array", "enum"})


def _key(table: MirrorTable) -> Column | None:
    """Return the column that PyDAL may treat as its `id`: a single integer key that the account may read."""
    if len(table.primary_key) != 1:
        return None
    column = table.columns.get(table.primary_key[0])
    return column if column and column.selectable and column.type in INTEGERS else None


def _define(
    dal: RingfenceDAL, table: MirrorTable, backend: Backend, keys: Mapping[Any, Any], staged: dict[str, Any]
) -> None:
    key = _key(table)
    fields = [_field(dal, table, column, backend, keys) for column in table.columns.values()]
    arguments: dict[str, Any] = {}
    if key is None:
        arguments["primarykey"] = [
            table.columns[name].field for name in table.primary_key if name in table.columns
        ]
    made = table_class(table, backend)(
        dal, table.key, *fields, rname=backend.relation(table, "select"), migrate=False, **arguments
    )
    # These steps are the rest of PyDAL's define_table.
    made._actual, made._dbt = True, None
    staged[table.key] = made
    if not hasattr(made, "_id"):
        # PyDAL needs an `_id` for its default order and its count
        first = next((made[name] for name in arguments["primarykey"]), next(iter(made), None))
        object.__setattr__(made, "_id", first)
    made._referenced_by = []


def _link(made: Any) -> None:
    """Connect a table's references to the tables made with it, which may refer to each other in cycles."""
    others = made._referenced_by  # of tables linked before; PyDAL starts with an empty list
    made._create_references()
    made._referenced_by[:0] = others
    for field in made:
        field.represent = auto_represent(field)
        field.made()
    if made._id is not None and not made._keyed_by_one:
        object.__setattr__(made, "_id", part_of_key(made._id))
    object.__setattr__(made, "_frozen", True)


def _field(
    dal: RingfenceDAL,
    table: MirrorTable,
    column: Column,
    backend: Backend,
    keys: Mapping[Any, Any],
) -> Any:
    where = f"{table.key}.{column.name}"
    codec = codec_for(backend.codecs, column.type, column.params, where)
    name = pydal_name(column)
    if (target := _target(table, column, keys)) is not None:
        name = f"reference {target}"
        codec = _reference(dal, codec, target)
    if column is _key(table):
        name = "id"
    foreign = _foreign(table, column)
    field = field_class()(
        column.field,
        TypeTag(
            name,
            codec,
            f"{table.key}.{column.field}",
            aware=bool(column.params.get("timezone")),
            portable=column.type,
        ),
        length=column.params.get("length"),
        notnull=not column.nullable,
        unique=is_unique(table, column),
        ondelete=(foreign and foreign.on_delete) or "NO ACTION",
        onupdate=(foreign and foreign.on_update) or "NO ACTION",
        readable=column.selectable and not column.params.get("password"),
        writable=column.insertable or column.updatable,
        options=list(column.params["values"]) if column.type == "enum" else None,
        requires=None,
        default=_first_value(dal, column, backend, where),
        update=_default(column.on_update, column, where) if column.updatable else None,
        rname=None if column.field == column.name else backend.quote_name(column.name),
    )
    field.filter_in = None  # PyDAL's filter truncates microseconds and time zones
    return field


def _foreign(table: MirrorTable, column: Column) -> ForeignKey | None:
    """Return the foreign key that consists of this column alone."""
    return next((each for each in table.foreign_keys if each.columns == (column.name,)), None)


def _target(table: MirrorTable, column: Column, keys: Mapping[Any, Any]) -> str | None:
    """Return the PyDAL table that a column refers to, if it refers to that table's `id`."""
    for foreign in table.foreign_keys:
        if foreign.columns == (column.name,) and column.type in INTEGERS:
            target, key = keys.get((foreign.schema, foreign.table), (None, None))
            if key is not None and foreign.references == (key.name,):
                return str(target)
    return None


def _reference(dal: RingfenceDAL, codec: Codec, target: str) -> Codec:
    def read(value: Any) -> Any:
        reference = Reference(value)
        reference._table, reference._record = dal[target], None
        return reference

    def decode(value: Any) -> Any:
        if value.__class__ is not int:  # int() would truncate a fraction
            raise TypeError("a key that is counted up is a whole number")
        return read(value)

    return Codec(codec.check, codec.check_compared, codec.literal, decode, read)


def _first_value(dal: RingfenceDAL, column: Column, backend: Backend, where: str) -> Any:
    """Return PyDAL's default for a new row's column."""
    if not column.insertable:
        return None
    if column.default is not None and column.default.kind == "sequence":
        return draw(dal, backend, column.default)
    return _default(column.default, column, where)


def _default(default: Default | None, column: Column, where: str) -> Any:
    """Return PyDAL's default: a value, or a function that makes one for each row."""
    if default is None or default.kind in ("server", "computed"):
        return None
    if default.kind == "literal":
        value = default.value
        return value if not isinstance(value, dict | list) else _copier(value)
    if default.kind == "service":
        return _wanting(f"{where}: give a value, or None: {default.value}")
    generator = GENERATORS.get(default.value)
    if generator is None:
        raise BadMirror(
            f"{where}: this runtime knows no generator {default.value!r}; upgrade ringfence-runtime"
        )
    precision = column.params.get("precision")
    return generator if precision is None or column.type not in TIMES else _cut(generator, precision)


def _wanting(message: str) -> Callable[[], Any]:
    def refused() -> Any:
        raise DataError(message)

    return refused


def _cut(generator: Callable[[], Any], precision: int) -> Callable[[], Any]:
    """Return a generator of timestamps truncated to the fractional digits that the column stores."""
    step = 10 ** (6 - precision)

    def made_anew() -> Any:
        moment = generator()
        return moment.replace(microsecond=moment.microsecond // step * step)

    return made_anew


def _copier(value: Any) -> Callable[[], Any]:
    def made_anew() -> Any:
        return copy.deepcopy(value)

    return made_anew
