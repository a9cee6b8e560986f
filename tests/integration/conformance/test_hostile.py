"""100,000 hostile strings go in, are found, and come out as they went in, on every engine."""

import random

import pytest

from ringfence.runtime import Database
from servers.base import Server

COUNT, BATCH = 100_000, 2_000
PIECES = [
    "'", '"', "`", "\\", "\\\\", "\\'", "''", "%", "%s", "%(a)s", "%%", "?", ":a", "$1", "$$", "--", "/*", "*/", "#",
    ";", "\n", "\r", "\t", "\x08", "\x1a", "\x7f", "\x01", "\u200b", "\u202e", "\ufeff", "\u0130", "ß", "é", "e\u0301",
    "😀", "𝄞", "\U0010ffff", "\uffff", "' OR '1'='1", "'); DROP TABLE specimen; --", "NULL", "{}", "{0}", "\\u0000",
    "\\x00", "E'", "N'", "X'", "_utf8'", "a", "A", " ", "  ", "0", "true", "中", "ي", "\u2028",
]  # fmt: skip


def hostile(number: int) -> str:
    """A string of hostile pieces, no two alike, the same in every run."""
    dice = random.Random(number)  # noqa: S311  # the same in every run is what is wanted
    made = "".join(dice.choice(PIECES) for _ in range(dice.randint(0, 6)))
    return f"{made[:28]}{number:x}{dice.choice(PIECES)[:5]}"


@pytest.mark.slow
def test_a_hundred_thousand(shop: Database, server: Server) -> None:
    count = (
        COUNT // 10 if server.engine == "galera" else COUNT
    )  # a node is the program that MariaDB's test runs
    texts = [hostile(number) for number in range(count)]
    assert len(set(texts)) == count
    for start in range(0, count, BATCH):
        part = texts[start : start + BATCH]
        with shop.session() as dal:
            table = dal.specimen
            table.bulk_insert(
                [{"name": text, "story": text, "whole": start + n} for n, text in enumerate(part)]
            )
            rows = dal((table.whole >= start) & (table.whole < start + BATCH)).select(
                table.id, table.name, table.story, orderby=table.whole
            )
            assert [(row.name, row.story) for row in rows] == [(text, text) for text in part]
            mine = table.id >= min(row.id for row in rows)
            found = dal(mine & table.name.belongs(part)).select(table.whole)
            assert len(found) == BATCH
            for n in range(0, BATCH, 500):  # and each verb, with a string of its own
                text = part[n]
                asked = mine & (table.name == text)
                assert [row.whole for row in dal(asked).select(table.whole)] == [start + n]
                assert dal(mine & table.name.contains(text, case_sensitive=True)).count() >= 1
                assert dal(asked).update(story=text * 3) == 1
                assert dal(asked & (table.story == text * 3)).delete() == 1
                table.insert(name=text, whole=start + n)
    with shop.session() as dal:
        assert dal(dal.specimen).count() == count
