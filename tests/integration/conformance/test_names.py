"""Columns and tables of any name work at every verb."""

import pytest

from ringfence.runtime import Database

TABLES = {
    "update_": ("id", ["update_", "keys_", "class_", "select"]),
    "order": ("no", ["id", "group", "user", "from_", "MixedCase", "hidden_", "two_words", "n2nd", "n100_"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_verb(shop: Database, name: str) -> None:
    key_name, names = TABLES[name]
    with shop.session() as dal:
        table = dal[name]
        assert set(table.fields) == {key_name, *names}
        key = table.insert(**{field: f"a{n}" for n, field in enumerate(names)})
        table.bulk_insert([dict.fromkeys(names, "bulk")])
        for n, field in enumerate(names):
            row = dal(table[field] == f"a{n}").select().first()
            assert row[key_name] == key
            assert row[field] == f"a{n}"
            assert getattr(row, field) == f"a{n}"
            assert dal(table[field].startswith("a")).select(table[field]).first()[field] == f"a{n}"
            assert dal(table[field].belongs([f"a{n}"])).update(**{field: "b"}) == 1
            assert dal(table).select(table[field].max()).first()[table[field].max()] == "bulk"
            assert [each[field] for each in dal(table).select(table[field], orderby=table[field])] == [
                "b",
                "bulk",
            ]
            counted = table[field].count()
            rows = dal(table).select(table[field], counted, groupby=table[field], orderby=~table[field])
            assert [(each[name][field], each[counted]) for each in rows] == [("bulk", 1), ("b", 1)]
        other = table.with_alias("other")
        joined = dal(table[names[0]] == other[names[0]]).select(table[names[1]], other[names[2]])
        assert len(joined) == 2
        assert table[key].as_dict()[names[0]] == "b"
        assert dal(table[names[0]] == "b").delete() == 1
        assert dal(table).count() == 1
