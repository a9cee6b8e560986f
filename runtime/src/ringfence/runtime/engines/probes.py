"""Statements that ask a server for a right without using it, alike on every server."""

from collections.abc import Sequence


def probes(verb: str, relation: str, columns: Sequence[str]) -> list[str]:
    """EXPLAIN asks for the rights of the statement behind it, and runs nothing.

    Args:
        verb: select, insert, update or delete.
        relation, columns: quoted names; of a select they may be none.
    """
    if verb == "select":
        return [f"EXPLAIN SELECT {', '.join(columns) or '1'} FROM {relation} WHERE 1 = 0"]
    if verb == "delete":
        return [f"EXPLAIN DELETE FROM {relation}"]  # a WHERE would ask for the right to read as well
    if not columns:
        return []
    if verb == "insert":
        defaults = ", ".join(["DEFAULT"] * len(columns))
        return [f"EXPLAIN INSERT INTO {relation} ({', '.join(columns)}) VALUES ({defaults})"]
    return [f"EXPLAIN UPDATE {relation} SET {', '.join(f'{column} = DEFAULT' for column in columns)}"]
