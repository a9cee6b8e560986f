"""Applies options that models and migrations give for MySQL to MariaDB, where they give none for MariaDB itself.

Other programs reach MariaDB by `mysql://`, where SQLAlchemy takes what is given for "mysql". Under the dialect
`mariadb`, which this project uses, SQLAlchemy takes only what is given for "mariadb".
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.base import DialectKWArgs
from sqlalchemy.sql.ddl import DDLIf, ExecutableDDLElement
from sqlalchemy.sql.visitors import Visitable
from sqlalchemy.types import TypeEngine

from ringfence.schema import sqlalchemy_compat

SAID_FOR = "mysql"
HOLDS_ON = "mariadb"

_EVENTS = ("before_create", "after_create", "before_drop", "after_drop")
_TEXT = ("charset", "character_set", "collat")
"""Table options about text, which belong together: one of them for MariaDB keeps all of MySQL's from being copied."""
_CONVERSIONS = ("process_bind_param", "process_result_value", "process_literal_param")
_EXTENDED = "_ringfence_mysql_words"


def extend_metadata(metadata: sa.MetaData) -> None:
    """Extend all that a metadata holds, in place: types, options, conditions, DDL on events, and custom compilers.

    It may be called again. What is compiled for any other dialect stays as it was.

    Args:
        metadata: The metadata, which is changed.
    """
    extend_compilers()
    _extend_listeners(metadata)
    for table in metadata.tables.values():
        extend_table(table)


def extend_table(table: sa.Table) -> None:
    """Extend a table with its columns, constraints and indexes, in place.

    Args:
        table: The table, which is changed.
    """
    _extend_options(table)
    _extend_listeners(table)
    constraints = [*table.constraints, *(each for column in table.columns for each in column.constraints)]
    for column in table.columns:
        extend_column(column)
    for items in (constraints, table.indexes):
        for item in items:
            extend_item(item, items)


def extend_column(column: sa.Column[Any]) -> None:
    """Extend a column's type and options, in place.

    Args:
        column: The column, which is changed.
    """
    _extend_options(column)
    extend_type(column.type)


def extend_item(item: Any, beside: Iterable[Any] = ()) -> None:
    """Extend a constraint or an index, in place.

    Args:
        item: The constraint or index, which is changed.
        beside: All of its table: another of the same name with a condition for MariaDB replaces it there.
    """
    _extend_options(item)
    given = sqlalchemy_compat.condition(item)
    if given is not None and not any(HOLDS_ON in _named(each) for each in beside if each.name == item.name):
        sqlalchemy_compat.set_condition(item, _extended(given))
    # For its CHECK, a Boolean or Enum stores the variants that it had when its column was attached to the table.
    rule = sqlalchemy_compat.create_rule(item)
    variants = getattr(rule, "keywords", {}).get("variant_mapping")
    if variants and SAID_FOR in variants:
        variants.setdefault(HOLDS_ON, variants[SAID_FOR])


def extend_type(type_: TypeEngine[Any]) -> None:
    """Extend a type in place: its variants, those of the type that a TypeDecorator wraps, and the decorator's methods.

    Args:
        type_: The type, which is changed.
    """
    given = sqlalchemy_compat.variants(type_)
    for variant in given.values():
        extend_type(variant)
    if SAID_FOR in given and HOLDS_ON not in given:
        sqlalchemy_compat.add_variant(type_, HOLDS_ON, given[SAID_FOR])
    if isinstance(type_, sa.TypeDecorator):
        extend_type(type_.impl_instance)
        if type(type_).load_dialect_impl is not sa.TypeDecorator.load_dialect_impl:
            _extend_decorator(type_)


def extend_compilers() -> None:
    """Use `@compiles(X, "mysql")` of any class for MariaDB too, where the class has no compiler for MariaDB."""
    seen: set[type[Any]] = set()
    waiting: list[type[Any]] = [Visitable]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            if cls not in seen:
                seen.add(cls)
                waiting.append(cls)
                given = sqlalchemy_compat.compilers(cls)
                if given is not None and SAID_FOR in given:
                    given.setdefault(HOLDS_ON, given[SAID_FOR])


def extend_statement(statement: Any) -> None:
    """Extend the table, column, type or item of a DDL statement before it is compiled for MariaDB.

    Args:
        statement: Any executable; the parts of a DDL statement are changed, others are ignored.
    """
    if not isinstance(statement, ExecutableDDLElement):
        return
    extend_compilers()
    about = getattr(statement, "element", None)
    if isinstance(about, sa.Table):
        extend_table(about)
    elif isinstance(about, sa.Constraint | sa.Index):
        extend_item(about)
    for column in (about, getattr(statement, "column", None)):
        if isinstance(column, sa.Column):
            extend_column(column)
    type_ = getattr(statement, "type_", None)
    if isinstance(type_, TypeEngine):
        extend_type(type_)


def extend_operation(operation: Any) -> None:
    """Extend the columns and types of a migration's operation that is not carried out.

    Args:
        operation: The operation, which is changed.
    """
    for column in (*getattr(operation, "columns", ()), getattr(operation, "column", None)):
        if isinstance(column, sa.Column):
            extend_column(column)
    for name in ("modify_type", "existing_type"):
        type_ = getattr(operation, name, None)
        if isinstance(type_, TypeEngine):
            extend_type(type_)


def _extend_options(item: Any) -> None:
    if not isinstance(item, DialectKWArgs):
        return
    given: Any = item.dialect_kwargs
    said = {name.removeprefix(f"{SAID_FOR}_"): name for name in given if name.startswith(f"{SAID_FOR}_")}
    own = {name.removeprefix(f"{HOLDS_ON}_") for name in given if name.startswith(f"{HOLDS_ON}_")}
    about_text = any(_is_about_text(name) for name in own)
    for name, whole in said.items():
        if name not in own and not (about_text and _is_about_text(name)):
            given[f"{HOLDS_ON}_{name}"] = given[whole]


def _is_about_text(name: str) -> bool:
    return any(word in name.lower() for word in _TEXT)


def _extend_listeners(target: sa.MetaData | sa.Table) -> None:
    """Extend DDL that runs when a table is created or dropped, and has `execute_if(dialect="mysql")`."""
    for event in _EVENTS:
        conditional = [
            (each, given)
            for each in getattr(target.dispatch, event)
            if (given := sqlalchemy_compat.condition(each)) is not None
        ]
        if not any(HOLDS_ON in _named(each) for each, _ in conditional):
            for each, given in conditional:
                sqlalchemy_compat.set_condition(each, _extended(given))


def _named(item: Any) -> tuple[str, ...]:
    """Return the dialects for which an item is created, where its condition names them."""
    dialects: str | Iterable[str] = getattr(sqlalchemy_compat.condition(item) or item, "dialect", None) or ()
    return (dialects,) if isinstance(dialects, str) else tuple(dialects)


def _extended(given: DDLIf) -> DDLIf:
    names = _named(given)
    if SAID_FOR not in names or HOLDS_ON in names:
        return given
    return given._replace(dialect=(*names, HOLDS_ON))  # type: ignore[arg-type]  # annotated without the tuple that it accepts


def _extend_decorator(type_: sa.TypeDecorator[Any]) -> None:
    """Give a TypeDecorator that asks for the dialect's name a dialect called MySQL on MariaDB.

    Only where its result for MySQL differs from that for any other dialect, and its result for MariaDB does not.
    """
    if _EXTENDED in type_.__dict__:
        return
    original = type_.load_dialect_impl

    def knows_mysql_alone(dialect: sa.Dialect) -> bool:
        own, as_mysql, as_other = (
            repr(original(each)) for each in (dialect, _called(dialect, SAID_FOR), _called(dialect, "other"))
        )
        return own == as_other != as_mysql

    def heard(dialect: sa.Dialect) -> sa.Dialect:
        alone = dialect.name == HOLDS_ON and knows_mysql_alone(dialect)
        return _called(dialect, SAID_FOR) if alone else dialect

    def converting(method: Callable[[Any, sa.Dialect], Any]) -> Callable[[Any, sa.Dialect], Any]:
        return lambda value, dialect: method(value, heard(dialect))

    type_.__dict__[_EXTENDED] = True
    type_.__dict__["load_dialect_impl"] = lambda dialect: original(heard(dialect))
    for name in _CONVERSIONS:
        if getattr(type(type_), name) is not getattr(sa.TypeDecorator, name):
            type_.__dict__[name] = converting(getattr(type_, name))


def _called(dialect: sa.Dialect, name: str) -> sa.Dialect:
    other = copy.copy(dialect)
    other.name = name
    return other
