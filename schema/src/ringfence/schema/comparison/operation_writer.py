"""Turn differences into Alembic operations, by which a revision makes the database match the models."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from ringfence.schema.comparison.constraint_names import with_constraint_name
from ringfence.schema.comparison.differences import Difference
from ringfence.schema.comparison.downgrade_definitions import (
    drop_constraint_by_definition,
    drop_index_by_definition,
    existing_default,
    with_deferrable,
)
from ringfence.schema.comparison.drop_order import in_drop_order, renderable, with_target_stubs
from ringfence.schema.comparison.identity_columns import differing_identities, needs_manual_change
from ringfence.schema.comparison.manual_changes import ManualChangeOp
from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.comparison.model_statements import (
    PREREQUISITE_KINDS,
    StatementOp,
    model_statements,
    statement_index,
    statement_operations,
)
from ringfence.schema.comparison.prerequisites import prerequisite_operations
from ringfence.schema.comparison.snapshot import Facets, Name
from ringfence.schema.models.conditional import dialects_of
from ringfence.schema.operations import operations as own
from ringfence.schema.operations.foreign_key_indexes import AutoincrementOp

_TYPE = {"type", "collation"}
_STATEMENTS = ("view", "function", "trigger")
_GENERATED = {"identity", "sequence"}
_ALTERED = {"null", "default", "on update", "auto increment", "comment", *_TYPE, *_GENERATED}
_ADDED: tuple[tuple[type[sa.Constraint], Callable[[Any], ops.MigrateOperation]], ...] = (
    (sa.ForeignKeyConstraint, ops.CreateForeignKeyOp.from_constraint),
    (sa.UniqueConstraint, ops.CreateUniqueConstraintOp.from_constraint),
    (ExcludeConstraint, CreateExcludeConstraintOp.from_constraint),
    (sa.CheckConstraint, ops.CreateCheckConstraintOp.from_constraint),
)


@dataclass
class OperationWriter:
    """Creates the operations for differences that were found on one connection.

    A difference that no operation can express becomes a `ManualChangeOp`, so that a person sees it.
    """

    modelled: ModelLookup
    connection: sa.Connection
    _reflected: dict[Name, sa.Table | None] = field(default_factory=dict)

    def operations(self, differences: Iterable[Difference]) -> list[ops.MigrateOperation]:
        """Return the operations for differences; those that alter an existing table are grouped by table.

        Args:
            differences: in the order of `compare`; extra objects among them are dropped.

        Raises:
            JobFailed: DDL of the models has a percent sign that SQLAlchemy takes for a placeholder.
        """
        several = list(differences)
        new = {each.name: each for each in several if each.name.kind == "table" and each.missing}
        found: list[ops.MigrateOperation] = list(
            prerequisite_operations(several, self.modelled, self.connection)
        )
        found += self._created(new)
        altered: dict[tuple[str, str], list[ops.MigrateOperation]] = {}
        gone, statements = [], []
        for each in several:
            if each.name.kind in _STATEMENTS or self._in_statement(each):
                statements.append(each)
            elif each.name in new or each.name.kind in PREREQUISITE_KINDS:
                continue
            elif each.name.kind == "table" and each.extra:
                gone.append(each.name)
            else:
                altered.setdefault((each.name.schema, each.name.table), []).extend(self._altered(each))
        for (schema, table), operations in altered.items():
            if operations:
                found.append(
                    ops.ModifyTableOps(table, operations, schema=self._schema_in_models(schema, table))
                )
        found += self._statement_operations(statements)
        found += self._dropped(gone)
        return found

    def _statement_operations(self, differences: list[Difference]) -> Iterator[ops.MigrateOperation]:
        """Yield the operations for objects made by statements of the models, in their order, each statement once."""
        if not differences:
            return
        known = model_statements(self.modelled, self.connection)
        groups: dict[Name, list[Difference]] = {}
        for each in differences:
            plain = each.name.name.partition("(")[0] if each.name.kind == "function" else each.name.name
            groups.setdefault(replace(each.name, name=plain), []).append(each)
        seen: set[str] = set()
        for group in sorted(groups.values(), key=lambda group: statement_index(group[0], known)):
            for operation in statement_operations(group, known, self.connection):
                text = operation.statement if isinstance(operation, StatementOp) else ""
                if not text or text not in seen:
                    seen.add(text)
                    yield operation

    def _in_statement(self, difference: Difference) -> bool:
        """Whether the object is an index, a sequence or a table that DDL of the models creates."""
        name = difference.name
        if difference.extra:
            return False
        if name.kind in ("index", "unique"):
            return self.modelled.created_separately(name)
        if name.kind == "sequence":
            return (name.schema, name.name) not in self.modelled.sequences
        return name.kind == "table" and difference.missing and self.modelled.table(name) is None

    def _created(self, new: Mapping[Name, Difference]) -> Iterator[ops.MigrateOperation]:
        for metadata in self.modelled.models.metadata:
            # SQLAlchemy warns that tables with circular foreign keys have no order; any order will do for them.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", sa.exc.SAWarning)
                ordered = metadata.sorted_tables
            for table in ordered:
                name = Name("table", self.modelled.schema(table.schema), str(table.name), str(table.name))
                if name not in new or self.modelled.table(name) is not table:
                    continue
                yield ops.CreateTableOp.from_table(table)
                indexes = sorted(table.indexes, key=lambda index: str(index.name))
                made = [ops.CreateIndexOp.from_index(index) for index in indexes if self._applies(index)]
                if made:
                    yield ops.ModifyTableOps(str(table.name), made, schema=table.schema)

    def _applies(self, index: sa.Index) -> bool:
        """Whether the index is created on any engine: not if it has no columns, or if its condition excludes all."""
        return bool(list(index.expressions)) and dialects_of(index) != ()

    def _dropped(self, names: Iterable[Name]) -> Iterator[ops.MigrateOperation]:
        """Yield the drops of tables, referring tables first."""
        tables = {}
        for name in names:
            if (table := self._table(name)) is None:
                yield ManualChangeOp(
                    f"remove {name}: DROP TABLE; SQLAlchemy cannot read its definition for the downgrade"
                )
            else:
                tables[name.schema, name.table] = table
        ordered = in_drop_order(tables, self.modelled)
        for table, keys in ordered:
            if keys:  # circular foreign keys: they must be dropped before any of the tables
                constraints = [ops.DropConstraintOp.from_constraint(key) for key in keys]
                yield ops.ModifyTableOps(str(table.name), constraints, schema=table.schema)
        for table, _ in ordered:
            yield ops.DropTableOp.from_table(table)

    def _altered(self, difference: Difference) -> Iterator[ops.MigrateOperation]:
        """Yield the operations for one difference in a table that exists and stays."""
        kind = difference.name.kind
        if kind == "table":
            yield from self._table_changed(difference)
        elif kind == "column":
            yield from self._column(difference)
        elif kind == "index" or (kind == "unique" and self._is_index(difference)):
            yield from self._index(difference)
        else:
            yield from self._constraint(difference)

    def _table_changed(self, difference: Difference) -> Iterator[ops.MigrateOperation]:
        for word in difference.changed:
            wanted, found = ((facets or {}).get(word) for facets in (difference.wanted, difference.found))
            if word == "comment":
                table, schema = (
                    difference.name.table,
                    self._schema_in_models(difference.name.schema, difference.name.table),
                )
                yield (
                    ops.DropTableCommentOp(table, schema=schema, existing_comment=found)
                    if wanted is None
                    else ops.CreateTableCommentOp(table, wanted, schema=schema, existing_comment=found)
                )
            else:
                yield ManualChangeOp(
                    f"modify {difference.name}: {word} {found or 'none'}, wanted {wanted or 'none'}"
                )

    def _column(self, difference: Difference) -> Iterator[ops.MigrateOperation]:
        name = difference.name
        schema = self._schema_in_models(name.schema, name.table)
        column, table = self.modelled.column(name), self._table(name)
        if difference.missing and column is not None:
            yield ops.AddColumnOp.from_column_and_tablename(schema, name.table, column)
            return
        if column is None and not difference.extra:  # DDL of the models creates the column
            yield ManualChangeOp(f"{difference}: write it with op.execute")
            return
        existing = None if table is None else next((c for c in table.columns if c.name == name.name), None)
        if existing is None or isinstance(existing.type, sa.types.NullType):
            yield ManualChangeOp(
                f"{difference}: ALTER TABLE; SQLAlchemy has no type for the type in the database"
            )
        elif difference.extra:
            yield ops.DropColumnOp.from_column_and_tablename(schema, name.table, existing)
        elif column is not None:
            yield from self._alter(difference, column, existing)

    def _alter(
        self, difference: Difference, column: sa.Column[Any], existing: sa.Column[Any]
    ) -> Iterator[ops.MigrateOperation]:
        changed = set(difference.changed)
        if "computed" in changed:
            yield ManualChangeOp(str(difference))
            return
        before, after = (difference.found or {}, difference.wanted or {})
        counted = "serial" in (before.get("default"), after.get("default"))
        if needs_manual_change(before, after) and not counted:
            yield ManualChangeOp(f"{difference}: ALTER TABLE, and continue from the numbers that were used")
            return
        if changed & _ALTERED:
            alter = ops.AlterColumnOp(
                difference.name.table,
                difference.name.name,
                schema=self._schema_in_models(difference.name.schema, difference.name.table),
                existing_type=existing.type if changed & _TYPE else column.type,
                existing_nullable=existing.nullable,
                existing_server_default=existing_default(existing, before),
                existing_comment=before.get("comment"),
            )
            if counted and changed & {"default", "identity"}:
                alter = AutoincrementOp.of(
                    alter, counted=_is_autoincrement(after), was_counted=_is_autoincrement(before)
                )
            if "auto increment" in before.keys() | after.keys():
                # An engine that restates the whole column would otherwise lose AUTO_INCREMENT.
                alter.kw["autoincrement"] = "auto increment" in after
            if changed & _TYPE:
                alter.modify_type = column.type
            if "null" in changed:
                alter.modify_nullable = bool(column.nullable)
            _set_new_default(alter, column, difference)
            if "comment" in changed:
                alter.modify_comment = column.comment
            yield alter
        for word in sorted(changed - _ALTERED):
            wanted, found = ((facets or {}).get(word) for facets in (difference.wanted, difference.found))
            yield ManualChangeOp(
                f"modify {difference.name}: {word} {found or 'none'}, wanted {wanted or 'none'}"
            )

    def _is_index(self, difference: Difference) -> bool:
        """Whether a unique key is an index, not a constraint, in the models or, if extra, in the reflected table."""
        if not difference.extra:
            return self.modelled.index(difference.name) is not None
        table = self._table(difference.name)
        return (
            table is not None
            and any(index.name == difference.name.name for index in table.indexes)
            and not any(item.name == difference.name.name for item in table.constraints)
        )

    def _index(self, difference: Difference) -> Iterator[ops.MigrateOperation]:
        name = difference.name
        if not difference.missing:
            table = self._table(name)
            existing = (
                None if table is None else next((i for i in table.indexes if i.name == name.name), None)
            )
            schema = self._schema_in_models(name.schema, name.table)
            if again := drop_index_by_definition(name, difference.found or {}, schema, existing):
                yield again
            elif existing is None:
                yield ops.DropIndexOp(name.name, name.table, schema=schema)
            else:
                yield ops.DropIndexOp.from_index(existing)
        if not difference.extra and (index := self.modelled.index(name)) is not None:
            yield ops.CreateIndexOp.from_index(index)

    def _constraint(self, difference: Difference) -> Iterator[ops.MigrateOperation]:
        name = difference.name
        if name.kind == "primary key":
            # Other tables may refer to it, its columns may be numbered automatically, and Alembic cannot render it.
            yield ManualChangeOp(
                f"{difference}: ALTER TABLE, with the foreign keys to it and the numbering of its columns"
            )
            return
        wanted = difference.wanted
        constraint = None if wanted is None else self.modelled.constraint(name, wanted)
        if set(difference.changed) == {"not validated"} and constraint is not None:
            yield own.ValidateOp(_added(constraint))
            return
        changed = set(difference.changed)
        if (changed and changed <= {"comment", "on conflict"}) or (wanted is not None and constraint is None):
            yield ManualChangeOp(f"{difference}: write it with op.execute")
            return
        if difference.found is not None:
            yield self._dropped_constraint(name, difference.found)
        if constraint is not None:
            yield with_constraint_name(_added(constraint), name)

    def _dropped_constraint(self, name: Name, found: Facets) -> ops.MigrateOperation:
        """Return the drop of a constraint, with the definition for the downgrade where that is known."""
        if name.name.startswith("("):
            return ManualChangeOp(f"remove {name}: it has no name; create the table again without it")
        table = self._table(name)
        if table is not None:
            for item in table.constraints:
                if item.name and str(item.name) == name.name:
                    return ops.DropConstraintOp.from_constraint(with_deferrable(item, found))
        return drop_constraint_by_definition(name, found, self.connection.dialect)

    def _table(self, name: Name) -> sa.Table | None:
        """Return a table as SQLAlchemy reflects it, for the downgrade; None if the reflection fails."""
        key = Name("table", name.schema, name.table, name.table)
        if key not in self._reflected:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", sa.exc.SAWarning)
                try:
                    table = sa.Table(
                        name.table,
                        sa.MetaData(),
                        schema=self._schema_in_models(name.schema, name.table),
                        autoload_with=self.connection,
                        resolve_fks=False,
                    )
                    self._reflected[key] = with_target_stubs(renderable(table))
                except (
                    sa.exc.SQLAlchemyError,
                    TypeError,
                    AssertionError,
                ):  # SQLAlchemy's parsers of catalog text raise the latter two
                    self._reflected[key] = None
        return self._reflected[key]

    def _schema_in_models(self, schema: str, table: str) -> str | None:
        """Return the schema as the models write it, for example `public` even if it is the default one."""
        known = self.modelled.table(Name("table", schema, table, table))
        return known.schema if known is not None else schema or None


def _set_new_default(alter: ops.AlterColumnOp, column: sa.Column[Any], difference: Difference) -> None:
    """Set the new default or identity of a column on the operation, if it changes."""
    changed = set(difference.changed)
    if changed & {"default", "on update", *_GENERATED}:
        alter.modify_server_default = column.identity or column.server_default
    if changed & _GENERATED and (
        identities := differing_identities(difference.found or {}, difference.wanted or {})
    ):
        alter.existing_server_default, alter.modify_server_default = identities


def _added(constraint: sa.Constraint) -> ops.MigrateOperation:
    return next(make(constraint) for cls, make in _ADDED if isinstance(constraint, cls))


def _is_autoincrement(facets: Facets) -> bool:
    return facets.get("default") == "serial" or "identity" in facets
