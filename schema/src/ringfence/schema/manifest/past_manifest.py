"""Resolves another version of the manifest, whose models no longer exist, against the current models.

Tables and columns that it names and that the current models lack are added as stand-ins.
"""

from collections.abc import Collection, Iterator, Mapping

import sqlalchemy as sa

from ringfence.schema.manifest.grammar import ALL, RowsEntry
from ringfence.schema.manifest.model import Condition
from ringfence.schema.manifest.parsing import Manifest, Rule
from ringfence.schema.manifest.rows import RowsResolver
from ringfence.schema.sql.table_keys import split_key

_GONE = "ringfence_gone"


def is_stand_in(table: sa.Table) -> bool:
    """Whether a table is a stand-in that `with_stand_ins` made, in whole or in part, because the models lack it.

    Args:
        table: of the models, or a result of `with_stand_ins`.
    """
    return _GONE in table.info


def with_stand_ins(manifest: Manifest, tables: Mapping[str, sa.Table]) -> dict[str, sa.Table]:
    """Add stand-ins for the tables and columns that a manifest names and the models lack.

    Args:
        manifest: the parsed file.
        tables: those of the models, by `table` or `schema.table`; they are not changed.

    Returns:
        The tables of the models, by `table` or `schema.table`; a table that lacked something is replaced by a copy.
    """
    found = dict(tables)
    sensitive: dict[str, set[str]] = {}  # `also` can only name sensitive columns
    for rule in _rules(manifest):
        sensitive.setdefault(rule.table.text, set()).update(name.text for name in rule.also)
    for rule in _rules(manifest):
        key = rule.table.text
        if key == ALL or key.startswith("$"):
            continue
        named = [*rule.also, *(name for names in rule.verbs.values() for name in names or ())]
        named += [entry.column for entries in rule.rows.values() for entry in entries]
        names = [name.text for name in named]
        # Only the named columns of a removed table are known, so a shorthand on it is shown as the whole table.
        marked = sensitive[key] if key in tables else ()
        found[key] = _with_columns(found.get(key), key, names, view=rule.view, sensitive=marked)
    for name in _members(manifest):
        if name not in found and not name.startswith("$"):
            found[name] = _with_columns(None, name, [], view=False)
    return found


def _rules(manifest: Manifest) -> Iterator[Rule]:
    for rules in manifest.all_rules():
        yield from rules.rules


def _members(manifest: Manifest) -> Iterator[str]:
    """The names of tables under `sets:` and `except:`."""
    for names in manifest.sets.values():
        yield from (name.text for name in names)
    for rules in manifest.all_rules():
        yield from (name.text for name in rules.except_)


def _with_columns(
    table: sa.Table | None, key: str, names: list[str], *, view: bool, sensitive: Collection[str] = ()
) -> sa.Table:
    schema, name = split_key(key)
    known = {} if table is None else {str(column.name): column for column in table.columns}
    missing = [one for one in dict.fromkeys(names) if one not in known]
    info = {_GONE: True} | ({"view": True, "updatable": True} if view else {})
    if table is not None:
        if not missing:
            return table
        schema, name, info = table.schema, str(table.name), {**table.info, **info}
    columns = [
        sa.Column(one.name, one.type, primary_key=one.primary_key, nullable=one.nullable, info=dict(one.info))
        for one in known.values()
    ]
    columns += [sa.Column(one, sa.String, info={"sensitive": one in sensitive}) for one in missing]
    return sa.Table(name, sa.MetaData(), *columns, schema=schema, info=info)


class PastRowsResolver(RowsResolver):
    """Resolves `rows:` without errors: where a column is missing or has another type, its value is used as written."""

    def _condition(
        self, table: sa.Table, column: sa.Column[object], entry: RowsEntry, login: str
    ) -> Condition | None:
        before = len(self._document.mistakes)
        found = super()._condition(table, column, entry, login)
        del self._document.mistakes[before:]
        if found is not None:
            return found
        given = login if entry.kind == "login" else tuple(entry.value) if entry.kind == "in" else entry.value
        return Condition(str(column.name), "equals" if entry.kind == "login" else entry.kind, given)
