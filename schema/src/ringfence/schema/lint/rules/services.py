"""RF3xx: operations that break running services, according to their mirrors and the manifest."""

from collections.abc import Iterator

from alembic.operations import ops

from ringfence.runtime.mirror import Column, Mirror, Table
from ringfence.schema.lint.rule import EVERYWHERE, WARNING, OperationCheck, Rule, on
from ringfence.schema.models.types import ENGINES
from ringfence.schema.revisions.table_state import fills_itself
from ringfence.schema.sql.table_keys import key_of


def _new_not_null(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if (
        isinstance(op, ops.AddColumnOp)
        and not op.column.nullable
        and not fills_itself(op.column)
        and not step.is_new(op.schema, op.table_name)
    ):
        place = f"{key_of(op.schema, op.table_name)}.{op.column.name}"
        yield (
            f"column {place} is NOT NULL without a server default: the inserts of running services fail, and the rows"
            " that are there have no value for it"
        )


def _no_default(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if not isinstance(op, ops.AlterColumnOp) or op.modify_server_default is not None:
        return
    key = key_of(op.schema, op.table_name)
    known = step.before.column(key, op.column_name)
    nullable = op.modify_nullable if op.modify_nullable is not None else known and known.nullable
    nullable = op.existing_nullable if nullable is None else nullable
    if nullable is False and not step.is_new(op.schema, op.table_name):
        yield f"column {key}.{op.column_name} is NOT NULL and loses its server default: services that leave it out fail"


def _late_not_null(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if not isinstance(op, ops.AlterColumnOp) or op.modify_nullable is not False:
        return
    key = key_of(op.schema, op.table_name)
    known = step.before.column(key, op.column_name)
    filled = op.modify_server_default not in {False, None} or (known is not None and known.default is True)
    if filled or step.is_new(op.schema, op.table_name):
        return
    for mirror, table in _seen(step, key):
        if mirror.revision in step.context.later:
            continue  # such a service does not start before this revision has run
        if "insert" in table.verbs or "update" in table.verbs:
            column = table.columns.get(op.column_name)
            if column is None and "insert" in table.verbs:
                yield f"column {key}.{op.column_name} becomes NOT NULL, and {mirror.service} inserts without it"
            elif column is not None and column.nullable and (column.insertable or column.updatable):
                yield f"column {key}.{op.column_name} becomes NOT NULL, and to {mirror.service} it may be NULL"


def _mirrors(step: OperationCheck) -> Iterator[str]:
    for key, column, how in _gone(step):
        for mirror, table in _seen(step, key):
            if column is None:
                yield f"table {key} is {how}, and still used by {mirror.service}"
            elif (uses := _uses(table.columns.get(column))) is not None:
                yield f"column {key}.{column} is {how}, and still {uses} by {mirror.service}"


def _grants(step: OperationCheck) -> Iterator[str]:
    for key, column, how in _gone(step):
        for account in step.context.accounts.values():
            held = [
                grant
                for grant in account.grants
                if grant.key == key and (column is None or column in (grant.columns or ()))
            ]
            if held:
                verbs = ", ".join(dict.fromkeys(grant.verb for grant in held))
                what = f"column {key}.{column}" if column else f"table {key}"
                yield f"{what} is {how}, and {account.service} is granted {verbs} on it ({held[0].origin})"


def _gone(step: OperationCheck) -> Iterator[tuple[str, str | None, str]]:
    """Yield the table or column that an operation drops or renames, and how, if it is missing at the head too."""
    found: tuple[str, str | None]
    match step.operation:
        case ops.DropTableOp() as op:
            found, how = (key_of(op.schema, op.table_name), None), "dropped"
        case ops.RenameTableOp() as op:
            found, how = (key_of(op.schema, op.table_name), None), f"renamed to {op.new_table_name}"
        case ops.DropColumnOp() as op:
            found, how = (key_of(op.schema, op.table_name), op.column_name), "dropped"
        case ops.AlterColumnOp() as op if op.modify_name is not None and op.modify_name != op.column_name:
            found, how = (key_of(op.schema, op.table_name), op.column_name), f"renamed to {op.modify_name}"
        case _:
            return
    key, column = found
    stays = step.context.head.tables.get(key)
    if stays is None or (column is not None and column not in stays):
        yield key, column, how


def _seen(step: OperationCheck, key: str) -> Iterator[tuple[Mirror, Table]]:
    """Yield each mirror that contains a table, with the mirror's entry for it."""
    for mirror in step.context.mirrors:
        for table in mirror.tables.values():
            if key_of(table.schema, table.name) == key:
                yield mirror, table


def _uses(column: Column | None) -> str | None:
    if column is None:
        return None
    return (
        "read" + (" and written" if column.insertable or column.updatable else "")
        if column.selectable
        else "written"
    )


RULES = (
    Rule(
        "RF301",
        "A new column is NOT NULL without a server default",
        "add it nullable or with a server default; backfill; set NOT NULL in a later revision",
        EVERYWHERE,
        _new_not_null,
    ),
    Rule(
        "RF302",
        "A NOT NULL column loses its server default",
        "let every service that inserts know the column first; then drop the default in a revision of its own",
        on((ENGINES, WARNING)),
        _no_default,
    ),
    Rule(
        "RF303",
        "A service may still write NULL where none is allowed any more",
        "deploy the services with mirrors in which the column is not nullable, and set NOT NULL after that",
        EVERYWHERE,
        _late_not_null,
        depends_on_mirrors=True,
    ),
    Rule(
        "RF304",
        "A service still uses what is taken away",
        "take it out of the models or the manifest, write the mirrors, deploy that service; then contract",
        EVERYWHERE,
        _mirrors,
        depends_on_mirrors=True,
    ),
    Rule(
        "RF305",
        "A grant loses its table or column",
        "take the grant out of the manifest, deploy; then contract",
        EVERYWHERE,
        _grants,
        depends_on_mirrors=True,
    ),
)
