"""Arrange what autogenerate found into revisions that services survive: expand, then look at rows, then contract."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops
from sqlalchemy.types import TypeEngine

from ringfence.schema.autogenerate import enums as arrange_enums
from ringfence.schema.autogenerate import indexes as arrange_indexes
from ringfence.schema.autogenerate import tables
from ringfence.schema.autogenerate.declared_types import Defaults, as_default, declare, declare_table
from ringfence.schema.autogenerate.ordering import (
    alone,
    changes_identity,
    changes_more,
    comes_again,
    flat,
    goes_with_column,
    in_order_of_contract,
    needed_by_tables,
    new_keys,
    place,
    says_retires,
    script_after,
    stands_on,
)
from ringfence.schema.autogenerate.renames import Retires
from ringfence.schema.comparison.declared_types import Declared
from ringfence.schema.lint.rules.blocking import differs_per_row
from ringfence.schema.models.columns import copied
from ringfence.schema.operations.operations import (
    WRITTEN,
    CreateSequenceOp,
    DropSequenceOp,
    OnlineOp,
    RelaxOp,
    SetNotNullOp,
    ValidateOp,
)
from ringfence.schema.revisions.table_state import fills_itself, key_of

_IMPORT = "from ringfence.schema.job import online"
_ELSEWHERE = (ops.CreateTableOp, ops.DropTableOp, ops.AddColumnOp)
_CHANGES = ("modify_type", "modify_server_default", "modify_comment")


@dataclass(frozen=True)
class Fill:
    """A column that its rows need a value in, and where that may come from."""

    schema: str | None
    table: str
    column: sa.Column[Any]
    source: str | None = None
    """The column that it takes the place of."""
    gaps: bool = False
    """That column may hold NULL, and this one refuses it."""


@dataclass
class Arranged:
    """What is to be done, by the revision that does it; empty ones are not written."""

    labels: list[ops.MigrateOperation] = field(default_factory=list)
    """New labels of native enums: PostgreSQL lets nobody use them before they are committed."""
    expand: list[ops.MigrateOperation] = field(default_factory=list)
    indexes: list[ops.MigrateOperation] = field(default_factory=list)
    keys: list[ops.MigrateOperation] = field(default_factory=list)
    """Foreign keys and checks; they come after the indexes, for MySQL and MariaDB hold a foreign key to its index."""
    validate: list[ops.MigrateOperation] = field(default_factory=list)
    tighten: list[ops.MigrateOperation] = field(default_factory=list)
    contract: list[ops.MigrateOperation] = field(default_factory=list)
    retires: dict[str, list[str] | None] = field(default_factory=dict)
    confirmed: Retires = field(default_factory=dict)
    """What of that a person confirmed."""
    tightens: dict[str, list[str]] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)

    def scripts(self, script: ops.MigrationScript) -> list[ops.MigrationScript]:
        """The given script, and those that follow it."""
        parts: list[tuple[str, list[ops.MigrateOperation], str | None]] = [
            ("labels", self.labels, None),
            ("", self.expand, None),
            ("indexes", self.indexes, None),
            ("validate", self.validate, None),
            (
                "not null",
                self.tighten,
                f"tightens = {self.tightens!r}  # may not be NULL, or left out, any more",
            ),
            ("contract", self.contract, says_retires(self.retires, self.confirmed)),
        ]
        # An expand that does nothing is what mirrors stand at that no longer hold what the contract takes away.
        parts = [part for part in parts if part[1] or (part[1] is self.expand and self.contract)]
        plain = not (
            self.labels and self.expand
        )  # else the first one says what it is, and the second is called so
        made: list[ops.MigrationScript] = []
        message = script.message
        for suffix, operations, says in parts:
            part = script_after(made[-1], script) if made else script
            words = [message, f"({suffix})" if suffix and (made or not plain) else None]
            part.message = " ".join(filter(None, words)) or None
            up = part.upgrade_ops
            down = part.downgrade_ops
            if up is None or down is None:
                raise AssertionError("a script has a way up and a way down")
            up.ops[:] = operations
            down.ops[:] = [operation.reverse() for operation in reversed(operations)]
            part.imports = set()  # Alembic's own default is one set for all
            if says:
                part.imports.add(says)
            if any(isinstance(one, WRITTEN) for one in (*up.ops, *down.ops)):
                part.imports.add(_IMPORT)
            made.append(part)
        return made


Choose = Callable[[str, Sequence[str], Sequence[str]], Mapping[str, str]]
"""Takes the table, the columns that go and those that come; returns which become which."""


@dataclass
class Arranger:
    """Goes through the operations of one script."""

    metadata: Sequence[sa.MetaData]
    declared: Declared
    later: bool
    """Whether an engine adds a constraint in one revision and looks at the rows in another."""
    choose: Choose
    retire: Callable[[Retires], Retires] = dict
    """Takes what is to go; returns what a person confirmed of it, or raises."""
    held: bool = False
    """Whether an engine holds a foreign key to an index that serves it."""
    defaults: Defaults = field(default_factory=dict)
    done: Arranged = field(default_factory=Arranged)
    relabelled: set[tuple[str, str]] = field(default_factory=set)
    """(table, column) of enums whose labels change by an operation of its own."""
    of_indexes: list[ops.MigrateOperation] = field(default_factory=list)
    after: list[ops.MigrateOperation] = field(default_factory=list)
    """What comes at the end of the expand."""
    checks: set[tuple[str, str]] = field(default_factory=set)
    """(table, name) of those that come and go with a column."""
    placed: set[int] = field(default_factory=set)
    """The operations that went with a table."""
    created: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)

    def arrange(self, script: ops.MigrationScript) -> list[ops.MigrationScript]:
        """The scripts that take the place of one."""
        found = list(flat(script.upgrade_ops.ops if script.upgrade_ops else ()))
        self.created = {key_of(*place(one)) for one in found if isinstance(one, ops.CreateTableOp)}
        self.dropped = {key_of(*place(one)) for one in found if isinstance(one, ops.DropTableOp)}
        if self.dropped and self.created:
            self.choose("", sorted(self.dropped), sorted(self.created))
        renamed = self._renames(found)
        enums = arrange_enums.enums_of(found, self.metadata, self.declared, self.defaults)
        self.relabelled = enums.covered
        self.checks = arrange_enums.checks_of_types(found, self._models(), self.declared, enums.covered)
        self.done.labels += enums.added
        self.done.expand += [*stands_on(found, enums.made), *enums.widened]
        for one in found:
            if isinstance(one, ops.AddColumnOp):
                self._sort(one, found, renamed)
        self._tables(found)
        for one in found:
            if not (isinstance(one, _ELSEWHERE) or arrange_enums.is_of_types(one)):
                self._sort(one, found, renamed)
        indexes = arrange_indexes.arranged(self.of_indexes, self._models(), new_keys(found), held=self.held)
        (self.done.indexes if self.later else self.done.expand).extend(indexes)
        self.done.expand += self.after
        self.done.contract = in_order_of_contract(self.done.contract)
        self.done.contract += [
            *enums.narrowed,
            *enums.gone,
            *(one for one in found if isinstance(one, DropSequenceOp)),
        ]
        (self.done.indexes or self.done.expand).extend(self.done.keys)
        self.done.confirmed = self.retire(self.done.retires)
        return self.done.scripts(script) or [script]

    def _tables(self, found: Sequence[ops.MigrateOperation]) -> None:
        """Tables that come, with what others may refer to; and tables that go."""
        done = self.done
        come = tables.created(found)
        belongs = tables.of_created(found, self.created)
        for one in come.needed:
            if key_of(*place(one)) not in self.created:
                done.expand.append(OnlineOp(one))
                self.placed.add(id(one))
        for one in come.tables:
            done.expand.append(one)
            for other in belongs.get(key_of(one.schema, one.table_name), ()):
                done.expand.append(ops.ModifyTableOps(one.table_name, [other], schema=one.schema))
                self.placed.add(id(other))
        self._bind(come.keys)
        for drop in (one for one in found if isinstance(one, ops.DropTableOp)):
            declare_table(self.declared, self.defaults, drop)
        go = tables.dropped(found)
        for key in go.keys:
            gone = ops.DropConstraintOp.from_constraint(key.to_constraint())
            done.contract.append(ops.ModifyTableOps(gone.table_name, [gone], schema=gone.schema))
        for drop in go.tables:
            done.contract.append(drop)
            done.retires[key_of(drop.schema, drop.table_name)] = None

    def _bind(self, keys: Iterable[ops.CreateForeignKeyOp]) -> None:
        """Foreign keys of new tables, once all tables are there; and the index that one may refer to."""
        for key in keys:
            target = key_of(key.kw.get("referent_schema"), key.referent_table)
            if target in self.created:
                self.after.append(alone(key))
            else:
                self._constrain(key, ())

    def _renames(self, found: Iterable[ops.MigrateOperation]) -> dict[tuple[str, str], str]:
        """(table, new column) -> the old one."""
        comes: dict[str, list[str]] = {}
        goes: dict[str, list[str]] = {}
        for one in found:
            if isinstance(one, ops.AddColumnOp):
                comes.setdefault(key_of(one.schema, one.table_name), []).append(one.column.name)
            elif isinstance(one, ops.DropColumnOp):
                goes.setdefault(key_of(one.schema, one.table_name), []).append(one.column_name)
        renamed = {}
        for key in sorted(comes.keys() & goes.keys()):
            for old, new in self.choose(key, goes[key], comes[key]).items():
                renamed[key, new] = old
        return renamed

    def _sort(
        self,
        one: ops.MigrateOperation,
        found: Sequence[ops.MigrateOperation],
        renamed: Mapping[tuple[str, str], str],
    ) -> None:
        """Put one operation into the revision that it belongs to."""
        done = self.done
        schema, table = place(one)
        key = key_of(schema, table)
        match one:
            case _ if isinstance(one, CreateSequenceOp) or needed_by_tables(one):
                pass  # it is made before everything that may use it, and dropped after that: see `arrange`
            case _ if id(one) in self.placed:
                pass
            case ops.CreateForeignKeyOp() if key in self.created:
                self._bind([one])
            case _ if key in self.created | self.dropped:
                part = done.expand if key in self.created else done.contract
                part.append(ops.ModifyTableOps(table, [one], schema=schema))
            case ops.AddColumnOp():
                source = renamed.get((key, one.column.name))
                gaps = not one.column.nullable and any(
                    other.to_column().nullable
                    for other in found
                    if isinstance(other, ops.DropColumnOp)
                    and (key_of(other.schema, other.table_name), other.column_name) == (key, source)
                )
                self._add(one, source, gaps=gaps)
            case ops.DropColumnOp():
                self._drop(one)
            case ops.AlterColumnOp():
                self._alter(one)
            case ops.DropConstraintOp() | ops.CreateCheckConstraintOp() if (
                key,
                str(one.constraint_name),
            ) in self.checks:
                pass  # it comes and goes with its column
            case ops.DropConstraintOp() | ops.DropIndexOp() if goes_with_column(one, found):
                done.contract.append(ops.ModifyTableOps(table, [one], schema=schema))
            case _:
                self._constrain(one, found)

    def _constrain(self, one: ops.MigrateOperation, found: Sequence[ops.MigrateOperation]) -> None:
        """Put an index or a constraint of a table that stays into its revision."""
        done = self.done
        schema, table = place(one)
        if arrange_indexes.is_of_indexes(one):
            self.of_indexes.append(one)
        elif isinstance(one, ops.CreateForeignKeyOp | ops.CreateCheckConstraintOp):
            done.keys.append(OnlineOp(one))
            if self.later:
                done.validate.append(ValidateOp(one))
        elif isinstance(one, CreateExcludeConstraintOp):
            done.keys.append(OnlineOp(one))
        elif isinstance(one, ops.DropConstraintOp):
            (done.keys if comes_again(one, found) else done.expand).append(OnlineOp(one))
        else:
            done.expand.append(ops.ModifyTableOps(table, [one], schema=schema) if table else one)

    def _add(self, one: ops.AddColumnOp, source: str | None, *, gaps: bool) -> None:
        """A new column: nullable where its rows have no value yet."""
        column = copied(one.column)
        column.constraints.clear()  # each is an operation of its own
        schema, table = one.schema, one.table_name
        per_row = differs_per_row(column) is not None
        empty = not column.nullable and (not fills_itself(column) or per_row or source is not None)
        if empty:
            column.nullable = True
        default = column.server_default
        if per_row:
            column.server_default = None
        operation = ops.AddColumnOp(table, column, schema=schema)
        batch: list[ops.MigrateOperation] = [operation]
        if per_row:
            batch.append(
                ops.AlterColumnOp(
                    table,
                    column.name,
                    schema=schema,
                    existing_type=column.type,
                    existing_nullable=True,
                    modify_server_default=default,
                    existing_server_default=None,
                )
            )
        self.done.expand.append(ops.ModifyTableOps(table, batch, schema=schema))
        if empty or source is not None:
            self.done.fills.append(Fill(schema, table, one.column, source, gaps))
        if empty:
            self._tighten(schema, table, column.name, column.type, default)

    def _drop(self, one: ops.DropColumnOp) -> None:
        """A column that goes: services that no longer know it must be able to leave it out before that."""
        schema, table, name = one.schema, one.table_name, one.column_name
        key = key_of(schema, table)
        column = copied(one.to_column())
        declare(self.declared, self.defaults, key, column)
        if not column.nullable and not fills_itself(column):
            relaxed = ops.AlterColumnOp(
                table,
                name,
                schema=schema,
                existing_type=column.type,
                existing_nullable=False,
                modify_nullable=True,
            )
            self.done.expand.append(RelaxOp(table, [relaxed], schema=schema))
            column.nullable = True
        drop = ops.DropColumnOp.from_column_and_tablename(schema, table, column)
        self.done.contract.append(ops.ModifyTableOps(table, [drop], schema=schema))
        gone = self.done.retires.setdefault(key, [])
        if gone is not None:
            gone.append(name)

    def _alter(self, one: ops.AlterColumnOp) -> None:
        """What makes a column stricter comes last; all else first."""
        schema, table, name = one.schema, one.table_name, one.column_name
        column = self._model(schema, table, name)
        if column is not None and one.modify_type is None:
            one.existing_type = column.type
        elif one.modify_type is not None:
            one.existing_type = self._declared(key_of(schema, table), name, one.existing_type)
        if (key_of(schema, table), name) in self.relabelled:
            one.modify_type = None
        declared = self.defaults.get(key_of(schema, table), {})
        if name in declared and not changes_identity(one):
            one.existing_server_default = as_default(declared[name])
        stricter = one.modify_nullable is False
        if stricter:
            one.modify_nullable = None
            default = column.server_default if column is not None else None
            self._tighten(schema, table, name, one.modify_type or one.existing_type, default)
            if column is not None:
                self.done.fills.append(Fill(schema, table, column))
        if one.modify_nullable is not None or any(
            getattr(one, word) not in (None, False) or (word != "modify_type" and getattr(one, word) is None)
            for word in _CHANGES
        ):
            kind = RelaxOp if one.modify_nullable and not changes_more(one) else ops.ModifyTableOps
            self.done.expand.append(kind(table, [one], schema=schema))

    def _tighten(
        self, schema: str | None, table: str, name: str, kind: TypeEngine[Any] | None, default: Any
    ) -> None:
        alter = ops.AlterColumnOp(
            table,
            name,
            schema=schema,
            existing_type=kind,
            existing_nullable=True,
            existing_server_default=default if default is not None else False,
            modify_nullable=False,
        )
        self.done.tighten.append(SetNotNullOp(alter))
        self.done.tightens.setdefault(key_of(schema, table), []).append(name)

    def _declared(self, key: str, column: str, kind: Any) -> Any:
        return self.declared.get(key, {}).get(column, kind)

    def _model(self, schema: str | None, table: str, name: str) -> sa.Column[Any] | None:
        found = self._models().get(key_of(schema, table))
        return found.columns[name] if found is not None and name in found.columns else None

    def _models(self) -> dict[str, sa.Table]:
        return {key: table for one in self.metadata for key, table in one.tables.items()}
