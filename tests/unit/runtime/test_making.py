"""Tables that refer to each other in any way, circles included, are made whichever is asked for first."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.runtime import BadMirror, Database, Mirror, Settings
from ringfence.runtime.dal import define_all
from ringfence.runtime.dal.lazy_tables import in_order, references

NAMES = ("a", "b", "c", "d", "e")
VERBS: dict[str, Any] = {verb: {} for verb in ("select", "insert", "update", "delete")}


def column(**more: Any) -> dict[str, Any]:
    rights = dict.fromkeys(("selectable", "insertable", "updatable"), True)
    return {"type": "integer", "nullable": True, **rights, **more}


def opened(references: dict[str, list[str]], **more: dict[str, Any]) -> Database:
    """A database whose tables refer to those named, each by a column of its own; it is connected to nowhere."""
    tables = {
        name: {
            "schema": None,
            "name": name,
            "columns": {
                "id": column(),
                **{f"{other}_id": column() for other in others},
                **more.get(name, {}),
            },
            "primary_key": ["id"],
            "foreign_keys": [
                {"columns": [f"{other}_id"], "schema": None, "table": other, "references": ["id"]}
                for other in others
            ],
            "verbs": VERBS,
        }
        for name, others in references.items()
    }
    heading = {"format": 1, "deployment": "d", "service": "s", "login": "s", "revision": None}
    mirror = Mirror.parse({**heading, "engines": ["sqlite"], "tables": tables})
    return Database(Settings.from_env({"DB_TYPE": "sqlite", "DB_NAME": "nowhere.sqlite"}), mirror)


@given(
    st.fixed_dictionaries({name: st.lists(st.sampled_from(NAMES), unique=True) for name in NAMES}),
    st.permutations(NAMES),
)
def test_each_is_made_once_and_knows_who_refers_to_it(
    references: dict[str, list[str]], order: list[str]
) -> None:
    dal = opened(references).dal
    asked = {name: dal[name] for name in order}
    for name, table in asked.items():
        assert dal[name] is table
        assert {field.name: field.referent.table for field in table if field.referent is not None} == {
            f"{other}_id": asked[other] for other in references[name]
        }
        found = sorted(str(field) for field in table._referenced_by)
        assert found == sorted(f"{other}.{name}_id" for other in NAMES if name in references[other])


def test_all_are_made_at_once_and_the_one_that_cannot_be_is_named() -> None:
    dal = opened({"a": ["b"], "b": ["a"], "c": ["a"]}).dal
    define_all(dal)
    assert {name for name in NAMES if name in dal.__dict__} == {"a", "b", "c"}
    bad = opened({"a": [], "b": ["c"], "c": []}, c={"odd": column(field="class")}).dal
    for _ in range(2):  # nothing is left half made
        with pytest.raises(BadMirror, match=r"^c: PyDAL cannot define this table: SyntaxError: .*class"):
            define_all(bad)
    assert bad.a.fields == ["id"]


def test_referenced_tables_are_in_the_order_of_the_mirror() -> None:
    # The order of an exported file follows from it, and must not differ from process to process.
    mirror = opened({"a": ["e", "b", "d", "c"], "b": [], "c": ["e"], "d": ["e"], "e": []}).mirror
    targets, referrers = references(mirror.tables)
    assert list(targets["a"]) == ["e", "b", "d", "c"]
    assert list(referrers["e"]) == ["a", "c", "d"]
    assert in_order(["a"], targets) == ["e", "c", "d", "b", "a"]
