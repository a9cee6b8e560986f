"""DDL statements that the server must refuse to a service's account; the proof sends them."""

from collections.abc import Iterable, Iterator

Attempt = tuple[str, str | None, str]
"""What is attempted, the key of the table it is attempted on or None, and the statement."""

NEW = "ringfence_try"
"""A name that no object has."""


def transactional_attempts(tables: Iterable[tuple[str, str]]) -> Iterator[Attempt]:
    """Yield DDL statements for engines that can roll DDL back; each would succeed if it were allowed.

    Args:
        tables: The key and the quoted name of each table.
    """
    yield "create table", None, f"CREATE TABLE {NEW} (id INTEGER)"
    yield "create view", None, f"CREATE VIEW {NEW} AS SELECT 1 AS one"
    for key, name in tables:
        yield "alter", key, f"ALTER TABLE {name} ADD COLUMN {NEW} INTEGER"
        yield "drop", key, f"DROP TABLE {name}"


def ineffective_attempts(tables: Iterable[tuple[str, str]], existing: str) -> Iterator[Attempt]:
    """Yield DDL statements for engines where each one commits; each would fail for another reason if it were allowed.

    Args:
        tables: The key and the quoted name of each table.
        existing: The quoted name of a table that exists.
    """
    yield "create table", None, f"CREATE TABLE {existing} (id INTEGER)"
    yield "create view", None, f"CREATE VIEW {existing} AS SELECT 1 AS one"
    for key, name in tables:
        yield "alter", key, f"ALTER TABLE {name} DROP COLUMN {NEW}"
        yield "drop", key, f"DROP VIEW {name}"
        yield "create index", key, f"CREATE INDEX {NEW} ON {name} ({NEW})"
