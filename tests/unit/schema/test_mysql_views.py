"""Which views stand before a table on the MySQL family: as few as may be, under names that stay."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from ringfence.schema.engines import relations
from ringfence.schema.engines.mysql.row_security import View, view_name, views
from ringfence.schema.manifest.model import Account, Condition, Grant, Origin, Scope

HERE = Origin("access.yaml", 1)
TABLES = {
    "user": sa.Table(
        "user",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.String(9)) for name in ("email", "word", "kind")),
    )
}
MINE: Scope = ((Condition("kind", "equals", "mine"),),)
OTHER: Scope = ((Condition("kind", "equals", "other"),),)


def account(**verbs: tuple[tuple[str, ...] | None, Scope]) -> Account:
    """One account with some verbs on the table: columns and rows of each."""
    grants = tuple(
        Grant(verb, None, "user", columns, HERE, scope=scope) for verb, (columns, scope) in verbs.items()
    )
    return Account("shop", "shop", grants, HERE)


def shown(found: list[View]) -> list[tuple[str, set[str]]]:
    """The columns of each view, and the verbs that are granted on it."""
    return [(" ".join(view.columns), set(view.rights)) for view in found]


ALL = "id email word kind"


@pytest.mark.parametrize(
    ("verbs", "expected"),
    [
        ({"select": (None, None), "update": (("email",), None)}, []),
        ({"update": (("email",), None), "insert": (None, None)}, []),
        ({"select": (("id", "email", "word", "kind"), None)}, []),  # every column, each by its name
        ({"select": (("id", "email"), None), "delete": (None, None)}, [("id email", {"select", "delete"})]),
        (
            {"select": (("id", "email"), None), "update": (("email",), None), "insert": (("email",), None)},
            [("id email", {"select", "update", "insert"})],
        ),
        # What is only written stands in no view that is read, but in the one that is updated.
        (
            {"select": (("id", "email"), None), "update": (("word",), None), "insert": (("kind",), None)},
            [("id email", {"select"}), ("id email word", {"select", "update"}), ("id kind", {"insert"})],
        ),
        (
            dict.fromkeys(("select", "insert", "update", "delete"), (None, MINE)),
            [(ALL, {"select", "insert", "update", "delete"})],
        ),
        (
            {"select": (None, MINE), "update": (("word",), OTHER), "delete": (None, OTHER)},
            [(ALL, {"select"}), (ALL, {"select", "update", "delete"})],
        ),
        ({"insert": (None, MINE)}, [(ALL, {"insert"})]),
        ({"delete": (None, MINE)}, [("id", {"delete"})]),
    ],
)
def test_there_are_as_few_as_may_be(verbs, expected):
    assert shown(views(account(**verbs), TABLES)) == expected


def test_a_name_stays_when_columns_and_rows_change_and_is_the_same_on_every_engine():
    before = account(select=(("id", "email"), MINE))
    after = account(select=(("id", "word"), OTHER))
    assert [v.name for v in views(before, TABLES)] == [v.name for v in views(after, TABLES)]
    (routed,) = relations(("postgresql", "mysql", "mariadb", "galera", "sqlite"), before, TABLES).values()
    assert routed == dict.fromkeys(("mysql", "mariadb", "galera"), view_name("shop", "user", "select"))


def test_names_are_short_plain_and_apart():
    long = replace(account(select=(None, MINE)), service="Ein-Dienst mit `Namen`" * 9)
    (view,) = views(long, TABLES)
    assert len(view.name) <= 64
    assert view.name.replace("_", "").isalnum()
    assert view_name("a-b", "c", "select") != view_name("a", "b-c", "select")
