"""RF4xx: operations that one engine runs differently from the others, or not at all."""

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.features import FEATURES, MYSQL_FAMILY, POSTGRESQL, engines_where
from ringfence.schema.lint.rule import (
    ERROR,
    EVERYWHERE,
    POSTGRESQL_ALONE,
    SERVERS,
    SQLITE_ALONE,
    WARNING,
    OperationCheck,
    Rule,
    on,
)
from ringfence.schema.operations.operations import ChangeLabelsOp, DropEnumLabelOp, ReplaceEnumOp
from ringfence.schema.revisions.views import ALTER_DROPS, FAMILY_OPTIONS, POSTGRESQL_OPTIONS, replaced
from ringfence.schema.sql.table_keys import key_of

_KEYS_NEEDED = engines_where(lambda engine: engine.needs_primary_keys)


def _columns(step: OperationCheck) -> Iterator[tuple[str, sa.Column[Any]]]:
    """Yield the columns that an operation creates or whose type it changes, with the table's key."""
    match step.operation:
        case ops.CreateTableOp() as op:
            key = key_of(op.schema, op.table_name)
            yield from ((key, column) for column in op.columns if isinstance(column, sa.Column))
        case ops.AddColumnOp() as op:
            yield key_of(op.schema, op.table_name), op.column
        case ops.AlterColumnOp() as op if op.modify_type is not None:
            yield (
                key_of(op.schema, op.table_name),
                sa.Column(op.modify_name or op.column_name, op.modify_type),
            )
        case _:
            return


def _fraction(step: OperationCheck) -> Iterator[str]:
    for key, column in _columns(step):
        type_ = column.type.dialect_impl(step.dialect)
        inner = type_.impl_instance if isinstance(type_, sa.TypeDecorator) else type_
        moment = isinstance(inner, sa.DateTime | sa.Time)
        if moment and getattr(inner, "fsp", None) != 6:
            yield f"column {key}.{column.name} is {column.type!r}, which keeps no microseconds there"


def _labels(step: OperationCheck) -> tuple[str, list[str], list[str], sa.Enum] | None:
    op = step.operation
    if isinstance(op, ChangeLabelsOp):
        if not (isinstance(op.type_, sa.Enum) and isinstance(op.existing_type, sa.Enum)):
            return None
        if op.type_.native_enum and step.engine in POSTGRESQL:
            return None  # `ChangeLabelsOp` does nothing for a native enum
        old, new = list(op.existing_type.enums), list(op.type_.enums)
        return f"{key_of(op.schema, op.table_name)}.{op.column_name}", old, new, op.type_
    if not isinstance(op, ops.AlterColumnOp) or not isinstance(op.modify_type, sa.Enum):
        return None
    key = key_of(op.schema, op.table_name)
    known = step.before.column(key, op.column_name)
    was = (known.type if known else None) or op.existing_type
    if not isinstance(was, sa.Enum):
        return None
    return f"{key}.{op.column_name}", list(was.enums), list(op.modify_type.enums), op.modify_type


def _labels_lost(step: OperationCheck) -> Iterator[str]:
    if found := _labels(step):
        place, old, new, _ = found
        if gone := [label for label in old if label not in new]:
            yield f"column {place} loses the labels {', '.join(map(repr, gone))}, which rows and services may hold"
    op = step.operation
    gone, name = [], getattr(op, "name", None)
    if isinstance(op, DropEnumLabelOp):
        gone = [op.label]
    elif isinstance(op, ReplaceEnumOp):
        gone = [label for label in op.existing_labels if label not in op.labels]
    if gone and step.engine in POSTGRESQL:
        yield f"the enum {name} loses the labels {', '.join(map(repr, gone))}, which rows and services may hold"


def _replaced(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ReplaceEnumOp | DropEnumLabelOp):
        yield f"the enum {op.name} is recreated: every table that uses it is rewritten while other sessions wait"


def _labels_moved(step: OperationCheck) -> Iterator[str]:
    if found := _labels(step):
        place, old, new, _ = found
        if set(old) <= set(new) and new[: len(old)] != old:
            yield f"column {place} gets its labels in another order: the table is rewritten, and sorts otherwise"


def _labels_unseen(step: OperationCheck) -> Iterator[str]:
    if found := _labels(step):
        place, old, new, type_ = found
        if old != new and type_.native_enum and isinstance(step.operation, ops.AlterColumnOp):
            yield f"column {place} gets other labels by alter_column, which changes nothing in the type there"


def _no_key(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.CreateTableOp):
        if not op.to_table().primary_key.columns:
            yield f"table {key_of(op.schema, op.table_name)} has no primary key: its rows cannot be replicated safely"
    elif isinstance(op, ops.DropConstraintOp) and op.constraint_type == "primary":
        yield f"table {key_of(op.schema, op.table_name)} loses its primary key"


def _names(step: OperationCheck) -> Iterator[str]:
    features = FEATURES[step.engine]
    most, unit = features.longest_name, features.name_unit
    for what, name in _named(step):
        size = features.name_length(name)
        if (
            most is not None and size > most
        ):  # PostgreSQL truncates it without an error, MySQL and MariaDB refuse it
            yield f"the {what} name {name!r} has {size} {unit}, and {most} is the most"


def _named(step: OperationCheck) -> Iterator[tuple[str, str]]:
    found: Iterable[tuple[str, Any]] = ()
    match step.operation:
        case ops.CreateTableOp() as op:
            found = [("table", op.table_name)]
            for item in op.columns:
                kind = "column" if isinstance(item, sa.Column) else "constraint"
                found.append((kind, getattr(item, "name", None)))
        case ops.RenameTableOp() as op:
            found = [("table", op.new_table_name)]
        case ops.AddColumnOp() as op:
            found = [("column", op.column.name)]
        case ops.AlterColumnOp() as op:
            found = [("column", op.modify_name)]
        case ops.CreateIndexOp() as op:
            found = [("index", op.index_name)]
        case ops.AddConstraintOp() as op:
            found = [("constraint", getattr(op, "constraint_name", None))]
        case _:
            pass
    # SQLAlchemy truncates a name of a naming convention (`op.f`) when it sends the statement.
    given = ((what, name) for what, name in found if not sqlalchemy_compat.is_truncated(name))
    yield from ((what, str(name)) for what, name in given if isinstance(name, str))


def _outside_batch(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if step.done.batch:
        return
    if isinstance(op, ops.AlterColumnOp):
        only_name = op.modify_name is not None and op.modify_type is None
        if not (only_name and op.modify_nullable is None and op.modify_server_default is False):
            key = key_of(op.schema, op.table_name)
            yield f"column {key}.{op.column_name} is altered outside a batch, which fails there"
    elif isinstance(op, ops.DropConstraintOp | ops.AddConstraintOp):
        name = getattr(op, "constraint_name", None)
        yield f"constraint {name} is altered outside a batch, which fails there"


def _needed_index(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.DropIndexOp | ops.DropConstraintOp):
        for name, columns in step.before.serving.needed(op):
            yield (
                f"what is dropped is the last index that serves the foreign key {name} of"
                f" {key_of(op.schema, op.table_name or '')} ({', '.join(columns)}), and cannot be dropped there"
            )


def _view_options(step: OperationCheck) -> Iterator[str]:
    """Report options that a view has, or may have if no revision created it, and that its new statement omits."""
    one = replaced(step.operation)
    if one is None or not one.replaces:
        return
    options: tuple[str, ...] = POSTGRESQL_OPTIONS if step.engine in POSTGRESQL else FAMILY_OPTIONS
    if not one.creates:
        if step.engine in POSTGRESQL:
            return  # PostgreSQL has no ALTER VIEW that replaces the query
        options = ALTER_DROPS
    if one.name not in step.before.views.made:
        if not one.says:
            yield (
                f"no revision before made the view {one.name}, so that it may have options, which this takes away:"
                f" {', '.join(options)}"
            )
        return
    has = step.before.views.made[one.name] or frozenset()
    if lost := [option for option in options if option in has and option not in one.says]:
        yield f"the view {one.name} has {', '.join(lost)}, and without naming it the statement takes that away"


_MOMENTS = "use ringfence.schema.models.Timestamp, NaiveTimestamp or PreciseTime"
RULES = (
    Rule("RF401", "A time without microseconds", _MOMENTS, on((MYSQL_FAMILY, WARNING)), _fraction),
    Rule(
        "RF402",
        "An enum loses labels",
        "stop writing the label, deploy, change the rows that hold it, then take it out",
        EVERYWHERE,
        _labels_lost,
    ),
    Rule(
        "RF403",
        "An enum's labels change places",
        "add new labels at the end",
        on((MYSQL_FAMILY, ERROR)),
        _labels_moved,
    ),
    Rule(
        "RF404",
        "alter_column does not change an enum's labels",
        "online.add_enum_label(…) of ringfence.schema.revisions, in a revision of its own before the label is used",
        POSTGRESQL_ALONE,
        _labels_unseen,
    ),
    Rule(
        "RF405",
        "A table without a primary key",
        "give it one",
        on((_KEYS_NEEDED, ERROR)),
        _no_key,
    ),
    Rule("RF406", "A name is too long", "choose a shorter name yourself", SERVERS, _names),
    Rule(
        "RF407",
        "A table is altered outside a batch",
        "with op.batch_alter_table(…) as batch: batch.…, which is an ordinary ALTER on the other engines",
        SQLITE_ALONE,
        _outside_batch,
    ),
    Rule(
        "RF408",
        "A native enum is recreated",
        "leave labels that are no longer used in the type, and add new ones by online.add_enum_label(…)",
        on((POSTGRESQL, WARNING)),
        _replaced,
    ),
    Rule(
        "RF409",
        "An index is dropped that a foreign key needs",
        "make the index that takes its place first; or online.index_foreign_key(…) of ringfence.schema.revisions",
        on((MYSQL_FAMILY, ERROR)),
        _needed_index,
    ),
    Rule(
        "RF410",
        "A view is replaced without its options",
        "name the options again: WITH (security_invoker = true), SQL SECURITY INVOKER; CREATE VIEW where it is new",
        on((POSTGRESQL | MYSQL_FAMILY, WARNING)),
        _view_options,
    ),
)
