"""The names that PyDAL reserves are known, all of them: read off PyDAL itself."""

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydal import DAL, Field
from pydal.objects import Row, Table

from ringfence.runtime.errors import BadMirror
from ringfence.runtime.mirror.names import FIELD_NAMES_TAKEN, TABLE_NAMES_TAKEN, field_name, table_name

dal = DAL(None)
dal.define_table("sample", Field("x"))


def public(*things: object) -> set[str]:
    return {name for thing in things for name in dir(thing) if not name.startswith("_")}


def test_the_fields_taken_are_what_tables_and_rows_have() -> None:
    assert public(Table, Row, dal.sample) - {"x", "id"} == FIELD_NAMES_TAKEN - {
        "delete_record",
        "update_record",
    }


def test_the_tables_taken_are_what_a_dal_has() -> None:
    assert public(DAL, dal) - {"sample"} == TABLE_NAMES_TAKEN


@pytest.mark.parametrize("name", sorted(TABLE_NAMES_TAKEN))
def test_each_taken_table_name_can_be_had_by_its_safe_form(name: str) -> None:
    made = DAL(None)
    assert made.define_table(table_name(name), Field("x"), rname=name) is made[f"{name}_"]


@pytest.mark.parametrize("name", sorted(FIELD_NAMES_TAKEN))
def test_each_taken_field_name_can_be_had_by_its_safe_form(name: str) -> None:
    made = DAL(None).define_table("t", Field(field_name(name), rname=name))
    assert made[f"{name}_"].name == f"{name}_"


@given(st.text(min_size=1, max_size=30))
def test_a_safe_name_is_a_name_of_python(name: str) -> None:
    try:
        field, table = field_name(name), table_name(name)
    except BadMirror:
        return
    for safe, taken in ((field, FIELD_NAMES_TAKEN), (table, TABLE_NAMES_TAKEN)):
        assert safe.isidentifier()
        assert not keyword.iskeyword(safe)
        assert not safe.startswith("_")
        assert safe not in taken


@pytest.mark.parametrize(
    ("given_", "safe"),
    [
        ("email", "email"),
        ("update", "update_"),
        ("class", "class_"),
        ("_hidden", "hidden_"),
        ("2fa", "n2fa"),
        ("first name", "first_name"),
        ("None", "None_"),
        ("select", "select"),
    ],
)
def test_examples(given_: str, safe: str) -> None:
    assert field_name(given_) == safe


def test_the_schema_leads_the_name() -> None:
    assert table_name("users", "audit") == "audit_users"
