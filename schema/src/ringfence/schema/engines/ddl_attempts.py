"""Statements of DDL that a service's account must be refused, for a proof that tries them."""

from collections.abc import Iterable, Iterator

Try = tuple[str, str | None, str]
"""What is tried, the table it is tried on where there is one, and the statement."""

NEW = "ringfence_try"
"""A name that nothing has."""


def taken_back(tables: Iterable[tuple[str, str]]) -> Iterator[Try]:
    """Where DDL can be rolled back: what would really be done, were it allowed.

    Args:
        tables: key and quoted name of each.
    """
    yield "create table", None, f"CREATE TABLE {NEW} (id INTEGER)"
    yield "create view", None, f"CREATE VIEW {NEW} AS SELECT 1 AS one"
    for key, name in tables:
        yield "alter", key, f"ALTER TABLE {name} ADD COLUMN {NEW} INTEGER"
        yield "drop", key, f"DROP TABLE {name}"


def without_effect(tables: Iterable[tuple[str, str]], there: str) -> Iterator[Try]:
    """Where each statement of DDL commits: what fails for another reason, were it allowed, and leaves nothing.

    Args:
        tables: key and quoted name of each.
        there: the quoted name of a table that is there.
    """
    yield "create table", None, f"CREATE TABLE {there} (id INTEGER)"
    yield "create view", None, f"CREATE VIEW {there} AS SELECT 1 AS one"
    for key, name in tables:
        yield "alter", key, f"ALTER TABLE {name} DROP COLUMN {NEW}"
        yield "drop", key, f"DROP VIEW {name}"
        yield "create index", key, f"CREATE INDEX {NEW} ON {name} ({NEW})"
