"""Arrange what autogenerate found into revisions that services survive: expand, then look at rows, then contract."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util import rev_id
from sqlalchemy.types import TypeEngine

from ringfence.schema.arranged_ops import WRITTEN, CreateEnumOp, OnlineOp, RelaxOp, SetNotNullOp, ValidateOp
from ringfence.schema.migrate.lint.rules.blocking import differs_per_row
from ringfence.schema.migrate.lint.state import fills_itself, key_of
from ringfence.schema.renames import Retires

_IMPORT = "from ringfence.schema.migrate import online"
_CHANGES = ("modify_type", "modify_server_default", "modify_comment")
Declared = Mapping[str, Mapping[str, TypeEngine[Any]]]
"""The types of columns as the migrations declared them, by table: a database gives back those of its own engine."""


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
            ("", self.expand, None),
            ("indexes", self.indexes, None),
            ("validate", self.validate, None),
            (
                "not null",
                self.tighten,
                f"tightens = {self.tightens!r}  # may not be NULL, or left out, any more",
            ),
            ("contract", self.contract, _says_retires(self.retires, self.confirmed)),
        ]
        # An expand that does nothing is what mirrors stand at that no longer hold what the contract takes away.
        parts = [part for part in parts if part[1] or (part[1] is self.expand and self.contract)]
        made: list[ops.MigrationScript] = []
        for suffix, operations, says in parts:
            part = _after(made[-1], script) if made else script
            part.message = (
                " ".join(filter(None, [script.message, suffix and f"({suffix})"])) if made else script.message
            )
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


def _says_retires(retires: Retires, confirmed: Retires) -> str:
    said = f"retires = {dict(confirmed)!r}  # None: the whole table"
    return said if confirmed else f"{said}. The lint refuses the drop until you say here: {dict(retires)!r}"


def _after(previous: ops.MigrationScript, first: ops.MigrationScript) -> ops.MigrationScript:
    return ops.MigrationScript(
        rev_id=rev_id(),
        message=first.message,
        upgrade_ops=ops.UpgradeOps([]),
        downgrade_ops=ops.DowngradeOps([]),
        head=previous.rev_id,
        version_path=first.version_path,
    )


Choose = Callable[[str, Sequence[str], Sequence[str]], Mapping[str, str]]
"""Told the table, the columns that go and those that come; says which become which."""


@dataclass
class Arranger:
    """Goes through the operations of one script."""

    metadata: Sequence[sa.MetaData]
    declared: Declared
    later: bool
    """Whether an engine adds a constraint in one revision and looks at the rows in another."""
    choose: Choose
    retire: Callable[[Retires], Retires] = dict
    """Told what is to go; gives what a person confirmed of it, or raises."""
    done: Arranged = field(default_factory=Arranged)
    created: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)

    def arrange(self, script: ops.MigrationScript) -> list[ops.MigrationScript]:
        """The scripts that take the place of one."""
        found = list(_flat(script.upgrade_ops.ops if script.upgrade_ops else ()))
        self.created = {
            key_of(one.schema, one.table_name) for one in found if isinstance(one, ops.CreateTableOp)
        }
        self.dropped = {
            key_of(one.schema, one.table_name) for one in found if isinstance(one, ops.DropTableOp)
        }
        if self.dropped and self.created:
            self.choose("", sorted(self.dropped), sorted(self.created))
        renamed = self._renames(found)
        for kind in (ops.CreateTableOp, None):
            for one in found:
                if (kind is None) != isinstance(one, ops.CreateTableOp):
                    self._sort(one, found, renamed)
        self._order_contract()
        (self.done.indexes or self.done.expand).extend(self.done.keys)
        self.done.confirmed = self.retire(self.done.retires)
        return self.done.scripts(script) or [script]

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
        for key in comes.keys() & goes.keys():
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
        schema, table = _place(one)
        key = key_of(schema, table)
        match one:
            case ops.CreateTableOp():
                done.expand.append(one)
            case ops.DropTableOp():
                self._declare_table(key, one)
                done.contract.append(one)
                done.retires[key] = None
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
            case ops.DropConstraintOp() | ops.DropIndexOp() if self._goes_with_column(one, found):
                done.contract.append(ops.ModifyTableOps(table, [one], schema=schema))
            case _:
                self._constrain(one, schema, table)

    def _constrain(self, one: ops.MigrateOperation, schema: str | None, table: str) -> None:
        """Put an index or a constraint of a table that stays into its revision."""
        done = self.done
        if isinstance(one, ops.CreateIndexOp | ops.DropIndexOp | ops.CreateUniqueConstraintOp):
            (done.indexes if self.later else done.expand).append(OnlineOp(one))
        elif isinstance(one, ops.CreateForeignKeyOp | ops.CreateCheckConstraintOp):
            done.keys.append(OnlineOp(one))
            if self.later:
                done.validate.append(ValidateOp(one))
        elif isinstance(one, ops.DropConstraintOp):
            done.expand.append(OnlineOp(one))
        else:
            done.expand.append(ops.ModifyTableOps(table, [one], schema=schema) if table else one)

    def _add(self, one: ops.AddColumnOp, source: str | None, *, gaps: bool) -> None:
        """A new column: nullable where its rows have no value yet."""
        column = one.column._copy()  # noqa: SLF001 - SQLAlchemy has no public way to copy a column
        schema, table = one.schema, one.table_name
        per_row = differs_per_row(column) is not None
        empty = not column.nullable and (not fills_itself(column) or per_row or source is not None)
        if isinstance(column.type, sa.Enum) and self._is_new_enum(column.type):
            made = CreateEnumOp(str(column.type.name), column.type.enums, column.type.schema)
            self.done.expand.append(made)
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
        column = one.to_column()._copy()  # noqa: SLF001 - see above
        column.type = self._declared(key, name, column.type)
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
            kind = RelaxOp if one.modify_nullable and not _more(one) else ops.ModifyTableOps
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

    def _goes_with_column(
        self, one: ops.DropConstraintOp | ops.DropIndexOp, found: Iterable[ops.MigrateOperation]
    ) -> bool:
        item = one.to_index() if isinstance(one, ops.DropIndexOp) else one.to_constraint()
        key = key_of(one.schema, one.table_name or "")
        gone = {
            other.column_name
            for other in found
            if isinstance(other, ops.DropColumnOp) and key_of(other.schema, other.table_name) == key
        }
        return any(column.name in gone for column in getattr(item, "columns", ()))

    def _order_contract(self) -> None:
        """Foreign keys first, then what else binds a column, then columns, then tables; in one batch per table."""
        ranked = sorted(self.done.contract, key=_rank)
        merged: list[ops.MigrateOperation] = []
        for one in ranked:
            last = merged[-1] if merged else None
            if (
                isinstance(one, ops.ModifyTableOps)
                and isinstance(last, ops.ModifyTableOps)
                and (last.schema, last.table_name) == (one.schema, one.table_name)
            ):
                last.ops = [*last.ops, *one.ops]
            else:
                merged.append(one)
        self.done.contract = merged

    def _is_new_enum(self, kind: sa.Enum) -> bool:
        """Whether it is a native type, and no other column has it."""
        columns = (c for one in self.metadata for table in one.tables.values() for c in table.columns)
        same = sum(isinstance(c.type, sa.Enum) and c.type.name == kind.name for c in columns)
        return bool(kind.native_enum and kind.name) and same <= 1

    def _declare_table(self, key: str, one: ops.DropTableOp) -> None:
        """Let the way back make the table as it was declared."""
        table = one.to_table()
        for column in table.columns:
            column.type = self._declared(key, column.name, column.type)
        one._reverse = ops.CreateTableOp.from_table(table)  # noqa: SLF001 - Alembic keeps the way back there

    def _declared(self, key: str, column: str, kind: Any) -> Any:
        return self.declared.get(key, {}).get(column, kind)

    def _model(self, schema: str | None, table: str, name: str) -> sa.Column[Any] | None:
        for one in self.metadata:
            found = one.tables.get(key_of(schema, table))
            if found is not None and name in found.columns:
                return found.columns[name]
        return None


def _more(one: ops.AlterColumnOp) -> bool:
    return (
        one.modify_type is not None
        or one.modify_server_default is not False
        or one.modify_comment is not False
    )


def _flat(found: Iterable[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
    for one in found:
        if isinstance(one, ops.ModifyTableOps):
            yield from one.ops
        else:
            yield one


def _place(one: Any) -> tuple[str | None, str]:
    if isinstance(one, ops.CreateForeignKeyOp):
        return one.kw.get("source_schema"), one.source_table
    return getattr(one, "schema", None), getattr(one, "table_name", None) or ""


def _rank(one: ops.MigrateOperation) -> int:
    inner = one.ops[0] if isinstance(one, ops.ModifyTableOps) else one
    if isinstance(inner, ops.DropConstraintOp):
        return 0 if inner.constraint_type == "foreignkey" else 1
    if isinstance(inner, ops.DropIndexOp):
        return 1
    return 2 if isinstance(one, ops.ModifyTableOps) else 3
