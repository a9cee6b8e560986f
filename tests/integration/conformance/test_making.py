"""Tables are made when they are asked for, and nobody can tell."""

import pytest

from ringfence.runtime import Database, NotSupportedError
from support.runtime_shop import in_threads


def test_many_threads_ask_first_at_once(shop: Database) -> None:
    def ask(number: int) -> object:
        with shop.session(read_only=True) as dal:
            names = list(dal.tables)
            turned = names[number:] + names[:number]
            tables = {name: dal[name] for name in turned}
            assert all(table.fields for table in tables.values())
            assert [field.name for field in tables["pet"]._referenced_by] == ["mother"]
            return [id(tables[name]) for name in names]

    made = in_threads(8, ask)
    assert all(each == made[0] for each in made), made


def test_all_tables_exist(shop: Database) -> None:
    dal = shop.dal
    assert {"owner", "pet", "seat"} <= set(dal.tables)
    assert "pet" in dal
    assert "nothing" not in dal
    with pytest.raises(AttributeError):
        dal.nothing  # noqa: B018
    assert {table._tablename for table in dal} == set(dal.tables)
    with pytest.raises(NotSupportedError, match="cannot be defined"):
        dal.define_table("another")


def test_references_reach_tables_that_were_not_accessed(shop: Database) -> None:
    with shop.session() as dal:
        rex = dal.pet.insert(name="Rex")
        dal.pet.insert(name="Pup", mother=rex)
        assert dal.pet(name="Pup").mother.name == "Rex"
