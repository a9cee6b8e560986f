"""Statements that test a privilege without using it, the same on every server."""

from collections.abc import Sequence


def probes(verb: str, relation: str, columns: Sequence[str]) -> list[str]:
    """Return EXPLAIN statements: they need the privileges of the explained statement and run nothing.

    Args:
        verb: select, insert, update or delete.
        relation: the quoted relation.
        columns: the quoted columns; may be empty for a select.
    """
    if verb == "select":
        return [f"EXPLAIN SELECT {', '.join(columns) or '1'} FROM {relation} WHERE 1 = 0"]
    if verb == "delete":
        return [f"EXPLAIN DELETE FROM {relation}"]  # a WHERE would require SELECT as well
    if not columns:
        return []
    if verb == "insert":
        defaults = ", ".join(["DEFAULT"] * len(columns))
        return [f"EXPLAIN INSERT INTO {relation} ({', '.join(columns)}) VALUES ({defaults})"]
    return [f"EXPLAIN UPDATE {relation} SET {', '.join(f'{column} = DEFAULT' for column in columns)}"]
