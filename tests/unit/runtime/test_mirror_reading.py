"""A mirror is read strictly: every key and type at every level, told with the file, the path in it and how to resolve it."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.runtime import Database, Settings
from ringfence.runtime.errors import BadMirror
from ringfence.runtime.mirror import TYPES, Mirror

REPOSITORY = Path(__file__).parents[3]
_FLAGS = {"nullable": False, "selectable": True, "insertable": True, "updatable": True}


def _column(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind} | _FLAGS | more


RICH: dict[str, Any] = {
    "format": 1,
    "deployment": "shop",
    "service": "till",
    "login": "till",
    "revision": "abc",
    "engines": ["postgresql", "sqlite"],
    "scopes": {"tenant": {"type": "integer", "setting": "app.tenant", "unset": "error"}},
    "tables": {
        "sale": {
            "kind": "table",
            "schema": "shop",
            "name": "sale",
            "columns": {
                "id": _column(
                    "bigint",
                    autoincrement=True,
                    default={"kind": "sequence", "value": {"name": "s", "schema": "x"}},
                ),
                "paid": _column("boolean", default={"kind": "literal", "value": True}),
                "count": _column(
                    "smallint", params={"bits": 9, "unsigned": True}, default={"kind": "literal", "value": 3}
                ),
                "price": _column(
                    "decimal",
                    params={"precision": 9, "scale": 2},
                    default={"kind": "literal", "value": "1.50"},
                ),
                "at": _column(
                    "datetime",
                    params={"timezone": True, "precision": 3},
                    default={"kind": "generator", "value": "now"},
                    on_update={"kind": "generator", "value": "now"},
                ),
                "update": _column(
                    "string",
                    field="update_",
                    params={"length": 5, "fixed": True},
                    default={"kind": "service", "value": "why"},
                ),
                "state": _column(
                    "enum",
                    params={"values": ["a", "b"], "enum": "m:E", "members": {"a": "A"}},
                    default={"kind": "literal", "value": "a"},
                ),
                "tags": _column("array", params={"item": {"type": "string", "params": {"length": 9}}}),
                "total": _column("float", params={"digits": 6, "single": True}, default={"kind": "computed"}),
                "day": _column("date", default={"kind": "literal", "value": "2026-01-31"}),
            },
            "primary_key": ["id"],
            "constraints": {"pk": {"kind": "primary_key", "columns": ["id"]}},
            "foreign_keys": [
                {
                    "columns": ["count"],
                    "schema": None,
                    "table": "counts",
                    "references": ["id"],
                    "on_delete": "CASCADE",
                    "on_update": "CASCADE",
                }
            ],
            "verbs": {
                "select": {
                    "scope": [
                        {
                            "count": {"equals": 3, "type": "smallint"},
                            "paid": {"null": True, "type": "boolean"},
                        },
                        {
                            "count": {"in": [1, 2], "type": "smallint"},
                            "at": {"bound": "tenant", "type": "datetime", "params": {"timezone": True}},
                        },
                    ],
                    "relations": {"mariadb": "sale_till"},
                },
                "insert": {},
            },
        },
        "sums": {
            "kind": "view",
            "schema": None,
            "name": "sums",
            "columns": {"sum": _column("integer")},
            "primary_key": [],
            "constraints": {},
            "foreign_keys": [],
            "verbs": {"select": {"binds": ["tenant"]}},
        },
    },
}
MIRRORS = [RICH] + [
    json.loads(path.read_text()) for path in sorted((REPOSITORY / "services/mirrors").glob("*.json"))
]


def paths(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, *path, key)


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def changed(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.deepcopy(document)
    at(made, path[:-1])[path[-1]] = value
    return made


def other_types(value: Any) -> list[Any]:
    """The value as each other type of JSON would say it."""
    made: list[Any] = [
        None,
        True,
        False,
        0,
        1,
        1.0,
        2.5,
        "",
        "no",
        "true",
        [],
        {},
        [value],
        {"x": value},
        str(value),
    ]
    if isinstance(value, bool | int):
        made += [int(value), float(value)]
    return [item for item in made if type(item) is not type(value)]


def refused(document: Any) -> str | None:
    """Why a mirror is refused; None where it is read."""
    try:
        Mirror.parse(document, "till.json")
    except BadMirror as error:
        return str(error)
    return None


PATHS = [(number, path) for number, document in enumerate(MIRRORS) for path in paths(document)]


def test_every_parameter_of_a_type_is_looked_at() -> None:
    for kind, names in TYPES.items():
        for name in names:
            column = _column(kind, params={name: 2.5})
            why = refused(changed(RICH, ("tables", "sale", "columns", "more"), column))
            assert why is not None, (kind, name)
            assert f"columns.more.params.{name}" in why


def test_the_mirrors_that_there_are_are_read_as_they_are() -> None:
    for document in MIRRORS:
        assert json.loads(Mirror.parse(document).to_json()) == document


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PATHS), st.data())
def test_a_value_of_another_type_is_refused_or_means_the_same(where: Any, data: st.DataObject) -> None:
    number, path = where
    document = MIRRORS[number]
    before = at(document, path)
    after = data.draw(st.sampled_from(other_types(before)))
    why = refused(changed(document, path, after))
    if why is not None:
        assert why.startswith("till.json: ")
        assert "make it again with `ringfence mirror`" in why
        return
    if path[-1] in ("revision", "schema"):
        assert after is None or (before is None)
        return
    # A literal or a constant is fitted to its column's type as a program's value is: 1 is true there, and "3" is 3.
    assert path[-1] in ("value", "equals") or path[-2] == "in"
    assert isinstance(after, bool | int | float | str)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("format", 1.0, "format: is the number 1.0, and this runtime reads 1"),
        ("format", True, "format: is true, and this runtime reads 1"),
        ("login", 7, "login: must be a text, and is the number 7"),
        ("service", "", "service: must be a text, and is empty"),
        ("login", "ti\0ll", "login: holds a NUL character or half of a surrogate pair"),
        ("tables.sale.name", "\ud800", "tables.sale.name: holds a NUL character or half of a surrogate pair"),
        ("tables.sale.primary_key", ["a\0"], r"tables.sale.primary_key\[0\]: holds a NUL character"),
        ("scopes", {"a\0": {}}, "scopes.*: holds a NUL character"),
        ("tables", {}, "tables: is empty: the manifest gives this service no table and no view"),
        ("engines", [], "engines: must name the engines"),
        ("color", 1, "top: has keys this runtime does not know: color"),
        (
            "tables.sale.columns.paid.nullable",
            "no",
            "tables.sale.columns.paid.nullable: must be true or false, and is the text 'no'",
        ),
        (
            "tables.sale.columns.paid.color",
            1,
            "tables.sale.columns.paid: has keys this runtime does not know: color",
        ),
        (
            "tables.sale.columns.paid.default.value",
            "yes",
            "tables.sale.columns.paid.default.value: is no value of the type boolean",
        ),
        (
            "tables.sale.columns.count.params.bits",
            True,
            "tables.sale.columns.count.params.bits: must be a whole number from 1 on, and is true",
        ),
        (
            "tables.sale.columns.count.params.color",
            1,
            "tables.sale.columns.count.params: has parameters that smallint does not take: color",
        ),
        (
            "tables.sale.columns.tags.params.item.params.length",
            "9",
            "columns.tags.params.item.params.length: must be a whole number",
        ),
        (
            "tables.sale.columns.day.default.value",
            "2026-02-30",
            "columns.day.default.value: is no value of the type date",
        ),
        (
            "tables.sale.columns.at.default.value",
            "soon",
            "generator this runtime does not know: the text 'soon'; upgrade",
        ),
        ("tables.sale.columns.total.default.value", 1, "columns.total.default.value: must be left out"),
        ("tables.sale.columns.update.field", "paid", "tables.sale.columns: has two columns of one field"),
        ("tables.sale.columns.state.params.values", ["a", "a"], "params.values: has a label twice"),
        (
            "tables.sale.kind",
            "matview",
            "tables.sale.kind: must be one of table, view, and is the text 'matview'",
        ),
        ("tables.sale.verbs", {}, "tables.sale.verbs: is empty: the service may do nothing"),
        (
            "tables.sale.verbs.select.scope",
            [],
            "tables.sale.verbs.select.scope: must be a list of alternatives",
        ),
        ("tables.sale.verbs.select.scope", [{}], r"tables.sale.verbs.select.scope\[0\]: must be an object"),
        ("tables.sale.verbs.select.relations.mariadb", 1, "verbs.select.relations.mariadb: must be a text"),
        (
            "tables.sale.foreign_keys",
            [1],
            r"tables.sale.foreign_keys\[0\]: must be an object, and is the number 1",
        ),
        (
            "tables.sale.constraints.pk.kind",
            "primary",
            "tables.sale.constraints.pk.kind: is a kind this runtime does not know",
        ),
        ("scopes.tenant.unset", "never", "scopes.tenant.unset: must be one of none, error"),
    ],
)
def test_an_error_is_reported_with_its_path(path: str, value: Any, told: str) -> None:
    with pytest.raises(BadMirror, match=f"^till.json: .*{told}"):
        Mirror.parse(changed(RICH, tuple(path.split(".")), value), "till.json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"format": 1, "format": 1}', "the key 'format' occurs twice in one object"),
        (b'{"format": NaN}', "holds NaN, which is no JSON"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "top: must be an object, and is a list"),
    ],
)
def test_a_file_that_is_no_mirror(text: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "till.json"
    path.write_bytes(text)
    with pytest.raises(BadMirror, match=f"^{path}: {told}.*; make it again with `ringfence mirror`$"):
        Mirror.load(path)


def test_a_path_that_no_file_can_have() -> None:
    with pytest.raises(BadMirror, match="cannot be read: no file can have that name"):
        Mirror.load("till\0.json")


def test_a_mirror_for_another_engine() -> None:
    mirror = Mirror.parse(RICH)
    with pytest.raises(BadMirror, match="the mirror of till is for postgresql, sqlite, and DB_TYPE is mysql"):
        Database(Settings.from_env({"DATABASE_URL": "mysql://till@db/shop"}), mirror)
    Database(Settings.from_env({"DATABASE_URL": "postgresql://till@db/shop"}), mirror).close()
