"""Writes a mirror as text that is the same for the same content, so that diffs are readable."""

import json
from typing import TYPE_CHECKING, Any

from ringfence.runtime.mirror.model import FORMAT, VERBS, Column, ForeignKey, Table, Verb

if TYPE_CHECKING:
    from ringfence.runtime.mirror.mirror import Mirror


def document(mirror: "Mirror") -> dict[str, Any]:
    """Return the mirror as JSON data."""
    made: dict[str, Any] = {
        "format": FORMAT,
        "deployment": mirror.deployment,
        "service": mirror.service,
        "login": mirror.login,
        "revision": mirror.revision,
        "engines": list(mirror.engines),
    }
    if mirror.scopes:
        made["scopes"] = {name: dict(scope) for name, scope in sorted(mirror.scopes.items())}
    made["tables"] = {key: _table(table) for key, table in sorted(mirror.tables.items())}
    return made


def _table(table: Table) -> dict[str, Any]:
    return {
        "kind": table.kind,
        "schema": table.schema,
        "name": table.name,
        "columns": {name: _column(column) for name, column in table.columns.items()},
        "primary_key": list(table.primary_key),
        "constraints": {
            name: {"kind": item.kind, "columns": list(item.columns)}
            for name, item in sorted(table.constraints.items())
        },
        "foreign_keys": [_foreign_key(item) for item in table.foreign_keys],
        "verbs": {name: _verb(table.verbs[name]) for name in VERBS if name in table.verbs},
    }


def _column(column: Column) -> dict[str, Any]:
    given: dict[str, Any] = {} if column.field == column.name else {"field": column.field}
    given["type"] = column.type
    if column.params:
        given["params"] = dict(column.params)
    for flag in ("nullable", "selectable", "insertable", "updatable"):
        given[flag] = getattr(column, flag)
    if column.autoincrement:
        given["autoincrement"] = True
    for name in ("default", "on_update"):
        if (default := getattr(column, name)) is not None:
            given[name] = {"kind": default.kind} | ({} if default.value is None else {"value": default.value})
    return given


def _foreign_key(key: ForeignKey) -> dict[str, Any]:
    given: dict[str, Any] = {
        "columns": list(key.columns),
        "schema": key.schema,
        "table": key.table,
        "references": list(key.references),
    }
    if key.on_delete:
        given["on_delete"] = key.on_delete
    if key.on_update:
        given["on_update"] = key.on_update
    return given


def _verb(verb: Verb) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if verb.scope is not None:
        given["scope"] = [
            {column: dict(condition) for column, condition in part.items()} for part in verb.scope
        ]
    if verb.relations:
        given["relations"] = dict(sorted(verb.relations.items()))
    if verb.binds:
        given["binds"] = list(verb.binds)
    return given


def dump(made: dict[str, Any]) -> str:
    """Return JSON text in which a column, a constraint or a verb takes one line."""

    def lines(value: Any, indent: str) -> str:
        flat = json.dumps(value, ensure_ascii=False)
        if not isinstance(value, dict | list) or not value or len(indent) >= 8 or _small(value):
            return flat
        inner = indent + "  "
        if isinstance(value, list):
            body = ",\n".join(inner + lines(item, inner) for item in value)
            return f"[\n{body}\n{indent}]"
        body = ",\n".join(f"{inner}{json.dumps(key)}: {lines(item, inner)}" for key, item in value.items())
        return f"{{\n{body}\n{indent}}}"

    return lines(made, "") + "\n"


def _small(value: dict[str, Any] | list[Any]) -> bool:
    items = value.values() if isinstance(value, dict) else value
    return not any(isinstance(item, dict | list) for item in items)
