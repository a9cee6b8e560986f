"""Fields of a mirror that no database is needed for: names that differ in case alone, and those of columns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringfence.runtime import Database, Settings, UnknownName
from support.runtime_shop import mirror


@pytest.fixture
def shelf(tmp_path: Path) -> Any:
    """A table whose columns differ in case alone, with one that begins with an underscore."""
    given = mirror()
    item = given.tables["item"]
    name = item.columns["name"]
    more = {
        "Name": replace(name, name="Name", field="Name"),
        "_settings": replace(name, name="_settings", field="settings_", nullable=True),
    }
    tables = {"item": replace(item, columns=item.columns | more)}
    with Database(
        Settings.from_env({"DB_TYPE": "sqlite", "DB_NAME": str(tmp_path / "shelf.db")}),
        replace(given, tables=tables),
    ) as database:
        yield database.dal


def test_columns_that_differ_in_case_alone_are_fields_of_their_own(shelf: Any) -> None:
    assert shelf.item.fields == ["id", "name", "amount", "Name", "settings_"]
    assert shelf.item.name is not shelf.item.Name
    assert (str(shelf.item.name), str(shelf.item.Name)) == ("item.name", "item.Name")


def test_a_name_with_a_leading_underscore_suggests_the_public_name(shelf: Any) -> None:
    with pytest.raises(AttributeError, match=r"item\._settings is settings_ here"):
        shelf.item._settings  # noqa: B018, SLF001 - the column is called so
    with pytest.raises(KeyError, match="did you mean settings_"):
        shelf.item["_settings"]
    with pytest.raises(UnknownName, match="did you mean settings_"):
        shelf.item.insert(_settings="x")
    with pytest.raises(AttributeError):
        shelf.item._nothing  # noqa: B018, SLF001 - see above
