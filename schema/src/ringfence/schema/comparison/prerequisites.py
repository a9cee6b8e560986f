"""Turn differences into operations for what tables require: schemas, extensions, types and sequences."""

import json
from collections.abc import Iterable, Iterator

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.dialects.postgresql.named_types import CreateDomainType

from ringfence.schema.comparison.differences import Difference
from ringfence.schema.comparison.manual_changes import ManualChangeOp
from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.comparison.model_statements import (
    PREREQUISITE_KINDS,
    ModelStatement,
    StatementOp,
    model_statements,
    statement_index,
    statement_operations,
)
from ringfence.schema.operations import operations as own
from ringfence.schema.sql.text import identifier, single_percents


def prerequisite_operations(
    differences: Iterable[Difference], modelled: ModelLookup, connection: sa.Connection
) -> Iterator[ops.MigrateOperation]:
    """Yield the operations for schemas, extensions, types and sequences, in the order in which they can run.

    Args:
        differences: all differences; those of other kinds are ignored.
        modelled: the models.
        connection: a connection to the database.

    Raises:
        JobFailed: DDL of the models has a percent sign that SQLAlchemy takes for a placeholder.
    """
    given = [each for each in differences if each.name.kind in PREREQUISITE_KINDS]
    if not given:
        return
    statements = model_statements(modelled, connection)
    written = _PrerequisiteWriter(modelled, connection, statements)
    # A statement may need an object of an earlier one, so the statements keep the order of the models.
    given.sort(key=lambda one: (PREREQUISITE_KINDS.index(one.name.kind), statement_index(one, statements)))
    seen: set[str] = set()
    for each in given:
        for operation in written.operations(each):
            text = operation.statement if isinstance(operation, StatementOp) else ""
            if not text or text not in seen:
                seen.add(text)
                yield operation


class _PrerequisiteWriter:
    def __init__(
        self, modelled: ModelLookup, connection: sa.Connection, statements: list[ModelStatement]
    ) -> None:
        self._modelled, self._connection, self._statements = modelled, connection, statements

    def operations(self, difference: Difference) -> Iterator[ops.MigrateOperation]:
        name = difference.name
        made = any(each.created_object(name) for each in self._statements)
        sequence = self._modelled.sequences.get((name.schema, name.name)) if name.kind == "sequence" else None
        if difference.extra or (name.kind == "sequence" and sequence is None):
            return  # an object that the models do not name, or a sequence that DDL of the models creates
        if sequence is not None:
            yield (
                _sequence(sequence) if difference.missing else ManualChangeOp(f"{difference}: ALTER SEQUENCE")
            )
        elif name.kind == "enum" and difference.missing:
            yield self._enum(difference)
        elif name.kind == "enum":
            yield from _labels(difference)
        elif name.kind == "type" and (domain := self._modelled.domain(name)) is not None:
            yield from self._domain(difference, domain)
        elif name.kind == "schema" and not made:
            yield ManualChangeOp(f"the schema {name.name} does not exist: CREATE SCHEMA {name.name}")
        else:
            yield from statement_operations([difference], self._statements, self._connection)

    def _enum(self, difference: Difference) -> ops.MigrateOperation:
        """Return the creation of a missing enum type, which may belong to a MetaData without being used by a column."""
        name, facets = difference.name, difference.wanted or {}
        known = self._modelled.enum(name)
        schema = name.schema or None if known is None else known.schema
        return own.CreateEnumOp(name.name, json.loads(facets.get("labels") or "[]"), schema)

    def _domain(self, difference: Difference, domain: DOMAIN) -> Iterator[ops.MigrateOperation]:
        """Yield the creation or alteration of a domain; a `ManualChangeOp` where the server cannot alter it."""
        dialect = self._connection.dialect
        made = single_percents(str(CreateDomainType(domain).compile(dialect=dialect)), dialect)
        name = difference.name
        whole = identifier(dialect, name.schema, name.name)
        if difference.missing:
            yield StatementOp(dialect.name, made, f"DROP DOMAIN {whole}", before_tables=True)
            return
        wanted, found = difference.wanted or {}, difference.found or {}
        if {"definition", "collation", "of"} & set(difference.changed) or self._modelled.used_in_array(name):
            # PostgreSQL cannot alter a domain that arrays use, and cannot change the base type of any domain.
            yield ManualChangeOp(f"{difference}: create the domain again, and alter its columns")
            return

        def altered(change: str, back: str) -> StatementOp:
            start = f"ALTER DOMAIN {whole} "
            return StatementOp(dialect.name, start + change, start + back, before_tables=True)

        def default(text: str | None) -> str:
            return "DROP DEFAULT" if text is None else f"SET DEFAULT {text}"

        old, new = (json.loads(facets.get("checks") or "[]") for facets in (found, wanted))
        for check in (each for each in old if each not in new):
            label = identifier(dialect, check.partition(" CHECK ")[0])
            yield altered(f"DROP CONSTRAINT {label}", f"ADD CONSTRAINT {_check(check, label)}")
        for check in (each for each in new if each not in old):
            label = identifier(dialect, check.partition(" CHECK ")[0])
            yield altered(f"ADD CONSTRAINT {_check(check, label)}", f"DROP CONSTRAINT {label}")
        if "default" in difference.changed:
            yield altered(default(wanted.get("default")), default(found.get("default")))
        if "null" in difference.changed:
            words = ("SET NOT NULL", "DROP NOT NULL")
            yield altered(*(words if "null" in wanted else words[::-1]))


def _check(check: str, label: str) -> str:
    return f"{label} CHECK {check.partition(' CHECK ')[2]}"


def _labels(difference: Difference) -> Iterator[ops.MigrateOperation]:
    """Yield an operation for each new label; if a label is removed or moved, one that replaces the type."""
    wanted, found = (
        json.loads((facets or {}).get("labels") or "[]") for facets in (difference.wanted, difference.found)
    )
    name = difference.name
    schema = name.schema or None
    if [label for label in wanted if label in found] != found:
        yield own.ReplaceEnumOp(name.name, wanted, found, schema=schema)
        return
    for n, label in enumerate(wanted):
        if label not in found:
            first = n == 0
            yield own.AddEnumLabelOp(
                name.name,
                label,
                schema=schema,
                before=found[0] if first and found else None,
                after=None if first else wanted[n - 1],
            )


def _sequence(sequence: sa.Sequence) -> ops.MigrateOperation:
    words = ("start", "increment", "minvalue", "maxvalue", "cycle", "cache", "data_type")
    options = {word: getattr(sequence, word, None) for word in words}
    schema = str(sequence.schema) if sequence.schema else None
    return own.CreateSequenceOp(str(sequence.name), schema=schema, **options)
