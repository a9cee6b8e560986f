"""Reads a mirror's JSON: every key and type is checked, and an error names the path of the invalid part."""

import json
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ringfence.runtime.errors import BadMirror
from ringfence.runtime.mirror.checks import (
    InvalidMirror,
    check_keys,
    conditions,
    default,
    describe,
    scope,
    storable_text,
    text,
    texts,
    typed,
)
from ringfence.runtime.mirror.model import (
    CONSTRAINT_KINDS,
    FORMAT,
    TABLE_KINDS,
    VERBS,
    Column,
    Constraint,
    ForeignKey,
    Table,
    Verb,
)

_T = TypeVar("_T")


def _keys(required: str, optional: str = "") -> tuple[frozenset[str], frozenset[str]]:
    """Return the required keys, and all allowed keys."""
    must = frozenset(required.split())
    return must, must | frozenset(optional.split())


_TOP = _keys("format deployment service login revision engines tables", "scopes")
_TABLE = _keys("schema name columns primary_key verbs", "kind constraints foreign_keys")
_FLAGS = ("nullable", "selectable", "insertable", "updatable")
_COLUMN = _keys(
    "type nullable selectable insertable updatable", "field params autoincrement default on_update"
)
_CONSTRAINT = _keys("kind columns")
_FOREIGN_KEY = _keys("columns schema table references", "on_delete on_update")
_VERB = _keys("", "scope relations binds")


def parse(octets: bytes, source: str) -> Any:
    """Return the JSON of a file.

    Args:
        octets: the file's content.
        source: the file's name, for errors.

    Raises:
        BadMirror: when it is not JSON, or an object has a key twice.
    """
    try:
        return json.loads(octets.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except InvalidMirror as error:
        why = str(error)
    except (ValueError, RecursionError) as error:
        why = f"is not JSON: {error}"
    raise BadMirror(f"{source}: {why}; make it again with `ringfence mirror`")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidMirror(f"the key {twice!r} occurs twice in one object")
    return made


def _no_constant(name: str) -> NoReturn:
    raise InvalidMirror(f"holds {name}, which is no JSON")


def read(value: Any, source: str) -> dict[str, Any]:
    """Return the fields of a Mirror.

    Args:
        value: the JSON.
        source: the file's name, for errors.

    Raises:
        BadMirror: when the JSON is invalid; with the file, the path and how to resolve it.
    """
    try:
        return _mirror(value)
    except InvalidMirror as error:
        path, why = _path(error.path), str(error)
    raise BadMirror(f"{source}: {path}: {why}; make it again with `ringfence mirror`")


def _path(parts: list[str | int]) -> str:
    path = ""
    for part in parts:
        if isinstance(part, str) and part.replace("_", "a").isalnum():
            path += f".{part}" if path else part
        else:
            path += f"[{json.dumps(part)}]"
    return path or "top"


def _named(value: Any, read_one: Callable[[str, Any], _T], *path: str | int) -> dict[str, _T]:
    """Return an object's members, each read together with its name."""
    if not isinstance(value, dict):
        raise InvalidMirror(f"must be an object, and is {describe(value)}", *path)
    name = ""
    try:
        made = {}
        for name, item in value.items():
            if not name:
                raise InvalidMirror("has an empty name")
            made[name] = read_one(storable_text(name), item)
    except InvalidMirror as error:
        error.path[:0] = [*path, name]
        raise
    return made


def _mirror(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidMirror(f"must be an object, and is {describe(value)}")
    found = value.get("format")
    if type(found) is not int or found != FORMAT:
        raise InvalidMirror(
            f"is {describe(found) if 'format' in value else 'missing'}, and this runtime reads {FORMAT}",
            "format",
        )
    top = check_keys(value, *_TOP)
    tables = _named(top["tables"], _table, "tables")
    if not tables:
        raise InvalidMirror("is empty: the manifest gives this service no table and no view", "tables")
    engines = texts(top["engines"], "engines")
    if not engines or not all(engines):
        raise InvalidMirror("must name the engines", "engines")
    return {
        "deployment": text(top["deployment"], "deployment"),
        "service": text(top["service"], "service"),
        "login": text(top["login"], "login"),
        "revision": _or_null(top["revision"], "revision"),
        "engines": engines,
        "tables": tables,
        "scopes": _named(top.get("scopes", {}), lambda _, item: scope(item), "scopes"),
    }


def _or_null(value: Any, key: str) -> str | None:
    return None if value is None else text(value, key)


def _table(key: str, value: Any) -> Table:
    given = check_keys(value, *_TABLE)
    kind = given.get("kind", "table")
    if kind not in TABLE_KINDS:
        raise InvalidMirror(f"must be one of {', '.join(TABLE_KINDS)}, and is {describe(kind)}", "kind")
    columns = _named(given["columns"], _column, "columns")
    if len({column.field for column in columns.values()}) != len(columns):
        raise InvalidMirror("has two columns of one field", "columns")
    verbs = _named(given["verbs"], _verb, "verbs")
    if not verbs:
        raise InvalidMirror("is empty: the service may do nothing", "verbs")
    return Table(
        key=key,
        kind=kind,
        schema=_or_null(given["schema"], "schema"),
        name=text(given["name"], "name"),
        columns=columns,
        primary_key=texts(given["primary_key"], "primary_key"),
        constraints=_named(given.get("constraints", {}), _constraint, "constraints"),
        foreign_keys=_foreign_keys(given.get("foreign_keys", [])),
        verbs=verbs,
    )


def _column(name: str, value: Any) -> Column:
    given = check_keys(value, *_COLUMN)
    kind, params = typed(given)
    for flag in _FLAGS:
        if given[flag] is not True and given[flag] is not False:
            raise InvalidMirror(f"must be true or false, and is {describe(given[flag])}", flag)
    counted = given.get("autoincrement", False)
    if counted is not True and counted is not False:
        raise InvalidMirror(f"must be true or false, and is {describe(counted)}", "autoincrement")
    arises = {}
    for key in ("default", "on_update"):
        if key in given:
            try:
                arises[key] = default(given[key], kind, params)
            except InvalidMirror as error:
                error.path.insert(0, key)
                raise
    return Column(
        name=name,
        field=text(given["field"], "field") if "field" in given else name,
        type=kind,
        params=params,
        nullable=given["nullable"],
        selectable=given["selectable"],
        insertable=given["insertable"],
        updatable=given["updatable"],
        autoincrement=counted,
        default=arises.get("default"),
        on_update=arises.get("on_update"),
    )


def _constraint(name: str, value: Any) -> Constraint:
    given = check_keys(value, *_CONSTRAINT)
    kind = given["kind"]
    if kind not in CONSTRAINT_KINDS:
        raise InvalidMirror(f"is a kind this runtime does not know: {describe(kind)}", "kind")
    return Constraint(kind, texts(given["columns"], "columns"))


def _foreign_keys(value: Any) -> tuple[ForeignKey, ...]:
    if not isinstance(value, list):
        raise InvalidMirror(f"must be a list, and is {describe(value)}", "foreign_keys")
    made = []
    for number, item in enumerate(value):
        try:
            made.append(_foreign_key(item))
        except InvalidMirror as error:
            error.path[:0] = ["foreign_keys", number]
            raise
    return tuple(made)


def _foreign_key(value: Any) -> ForeignKey:
    given = check_keys(value, *_FOREIGN_KEY)
    columns, references = texts(given["columns"], "columns"), texts(given["references"], "references")
    if not columns or len(columns) != len(references):
        raise InvalidMirror("must name as many columns as it refers to", "columns")
    return ForeignKey(
        columns=columns,
        schema=_or_null(given["schema"], "schema"),
        table=text(given["table"], "table"),
        references=references,
        on_delete=text(given["on_delete"], "on_delete") if "on_delete" in given else None,
        on_update=text(given["on_update"], "on_update") if "on_update" in given else None,
    )


def _verb(name: str, value: Any) -> Verb:
    if name not in VERBS:
        raise InvalidMirror(f"is no verb; the verbs are {', '.join(VERBS)}")
    given = check_keys(value, *_VERB)
    if not given:
        return Verb()
    return Verb(
        conditions(given["scope"], "scope") if "scope" in given else None,
        _named(given.get("relations", {}), lambda _, item: text(item), "relations"),
        texts(given.get("binds", []), "binds"),
    )
