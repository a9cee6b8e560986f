"""A column that the models mark as a password keeps a hash of any, or is refused by name with how to resolve it."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ringfence.runtime import Mirror
from ringfence.schema.models import LongText
from ringfence.schema.models.source_lines import SourceLines
from ringfence.schema.portability import check_models

ENGINES = ["postgresql", "mariadb", "galera", "mysql", "sqlite"]


def _mistakes(column: sa.Column[Any], engines: list[str]) -> list[str]:
    metadata = sa.MetaData()
    sa.Table("door", metadata, sa.Column("id", sa.Integer, primary_key=True), column)
    return [str(each) for each in check_models(metadata.tables, engines, SourceLines(Path.cwd()))]


@pytest.mark.parametrize(
    ("type_", "mark", "said"),
    [
        (sa.String(255), True, ""),
        (sa.String(80), True, ""),
        (LongText(), True, ""),
        (sa.Integer(), False, ""),
        (sa.String(79), True, "80 characters or more, where the column has 79: use String(255)"),
        (sa.CHAR(255), True, "cannot store a hash unchanged: use String(255)"),
        (sa.Integer(), True, "Integer() cannot store a hash unchanged: use String(255)"),
        (sa.LargeBinary(100), True, "cannot store a hash unchanged: use String(255)"),
        (
            sa.String(255),
            "yes",
            "door.key: info={\"password\": 'yes'} is not a mark: write True, or leave it out",
        ),
        (sa.String(255), 1, 'door.key: info={"password": 1} is not a mark: write True, or leave it out'),
        (
            sa.String(255),
            None,
            'door.key: info={"password": None} is not a mark: write True, or leave it out',
        ),
    ],
)
def test_a_mark_is_taken_on_a_column_that_keeps_a_hash(type_: Any, mark: object, said: str) -> None:
    found = _mistakes(sa.Column("key", type_, info={"password": mark}), ENGINES)
    assert len(found) == bool(said), found
    assert all(said in text and "door.key" in text for text in found)


def test_a_key_is_no_password() -> None:
    column = sa.Column("key", sa.String(255), sa.ForeignKey("door.id"), info={"password": True})
    assert any(
        "hashes of one password differ: take the mark away" in text for text in _mistakes(column, ["sqlite"])
    )


def test_a_mirror_that_marks_another_type_is_refused() -> None:
    column = {"type": "integer", "params": {"password": True}, "nullable": True}
    rights = {"selectable": True, "insertable": True, "updatable": True}
    table = {
        "schema": None,
        "name": "door",
        "columns": {"key": column | rights},
        "primary_key": [],
        "verbs": {},
    }
    top = {
        "format": 1,
        "deployment": "d",
        "service": "s",
        "login": "s",
        "revision": None,
        "engines": ["sqlite"],
    }
    with pytest.raises(
        Exception, match=r"door\.columns\.key\.params: has parameters that integer does not take: password"
    ):
        Mirror.parse(top | {"tables": {"door": table}})
