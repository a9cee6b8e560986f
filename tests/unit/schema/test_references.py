"""A foreign key to columns that are not unique together is refused for the engines that cannot make it."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ringfence.schema.models.source_lines import SourceLines
from ringfence.schema.portability import check_models

BOTH = ["sqlite", "postgresql"]


@pytest.mark.parametrize(
    ("engines", "more", "refused"),
    [
        ([*BOTH, "mariadb"], [], "sqlite, postgresql"),
        (["mariadb", "mysql"], [], ""),
        (BOTH, [sa.UniqueConstraint("id")], ""),
        (BOTH, [sa.Index("one", "id", unique=True)], ""),
        (BOTH, [sa.Index("one", "id")], "sqlite, postgresql"),
        (BOTH, [sa.Index("one", "id", "other", unique=True)], "sqlite, postgresql"),
        (BOTH, [sa.Index("one", "id", unique=True, sqlite_where=sa.text("id > 1"))], "sqlite"),
    ],
)
def test_what_is_not_unique_cannot_be_referred_to(engines: list[str], more: list[Any], refused: str) -> None:
    metadata = sa.MetaData()
    keys = (sa.Column(name, sa.Integer, primary_key=True) for name in ("id", "other"))
    sa.Table("parts", metadata, *keys, *more)
    sa.Table("pieces", metadata, sa.Column("part", sa.Integer, sa.ForeignKey("parts.id")))
    found = [str(each) for each in check_models(metadata.tables, engines, SourceLines(Path.cwd()))]
    assert bool(found) == bool(refused), found
    for text in found:
        assert "pieces.part refers to parts (id), and nothing makes that unique" in text
        assert f": {refused} cannot make" in text
        assert 'leave_out = ["pieces"]' in text
    whole = sa.ForeignKeyConstraint(["id", "other"], ["parts.other", "parts.id"])
    sa.Table("wholes", metadata, sa.Column("id", sa.Integer), sa.Column("other", sa.Integer), whole)
    assert not [
        each
        for each in check_models(metadata.tables, engines, SourceLines(Path.cwd()))
        if "wholes" in str(each)
    ]
