"""The parts of a schema that are compared between Galera nodes: columns, indexes, tables and events."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

# row_format is that of the file, so it shows a node with another innodb_default_row_format.
_SHAPE = """
    SELECT IF(table_schema = DATABASE(), NULL, table_schema), 'column', table_name, column_name,
           CONCAT_WS(' ', column_type, collation_name, IF(is_nullable = 'YES', 'NULL', 'NOT NULL'), column_default,
                     extra, generation_expression)
    FROM information_schema.columns
    WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
    UNION ALL
    SELECT IF(table_schema = DATABASE(), NULL, table_schema), 'index', table_name, index_name,
           GROUP_CONCAT(column_name ORDER BY seq_in_index)
    FROM information_schema.statistics
    WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
    GROUP BY table_schema, table_name, index_name
    UNION ALL
    SELECT IF(table_schema = DATABASE(), NULL, table_schema), 'table', table_name, NULL,
           CONCAT_WS(', ', CONCAT('ENGINE=', engine), CONCAT('ROW_FORMAT=', row_format), NULLIF(create_options, ''),
                     table_collation, NULLIF(LOWER(table_type), 'base table'))
    FROM information_schema.tables
    WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
          AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE')
    UNION ALL
    SELECT IF(event_schema = DATABASE(), NULL, event_schema), 'event', event_name, NULL,
           CONCAT_WS(' ', event_type, interval_value, interval_field, 'of server', originator, 'as', definer, 'with',
                     sql_mode, MD5(event_definition))
    FROM information_schema.events
    WHERE event_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
"""
_STATUS = """
    SELECT IF(event_schema = DATABASE(), NULL, event_schema), event_name, status, originator, @@server_id
    FROM information_schema.events
    WHERE event_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
"""


class Events:
    """The status of each event on the nodes; it differs by design, because an event is enabled on one node only."""

    def __init__(self) -> None:
        self._enabled: dict[str, int] = defaultdict(int)
        self._asleep: dict[str, int] = defaultdict(int)
        self._origin: dict[str, int] = {}
        self._servers: set[int] = set()
        self._nodes = 0

    def add(self, node: sa.Connection, schemas: Collection[str | None]) -> None:
        """Add the status of events on one node.

        Args:
            node: a connection to it.
            schemas: those that are compared; None for the default schema of the connection.
        """
        self._nodes += 1
        for schema, name, status, originator, server in node.exec_driver_sql(_STATUS).all():
            if schema in schemas:
                event = ".".join(filter(None, (schema, name)))
                self._enabled[event] += status == "ENABLED"
                self._asleep[event] += status == "SLAVESIDE_DISABLED"
                self._origin[event] = originator
                self._servers.add(server)

    def wrong(self) -> list[str]:
        """Return the events that run on no node, or on several; call this after `add` for every node."""
        found = []
        for event in sorted(self._origin):
            if self._enabled[event] > 1:
                found.append(
                    f"the event {event} is enabled on {self._enabled[event]} nodes, and each runs it: ALTER EVENT"
                    f" {event} ENABLE on the one that is to, which disables it on the others"
                )
            # An event with another originator was replicated from a primary outside the cluster, which runs it itself.
            elif self._asleep[event] == self._nodes and self._origin[event] in self._servers:
                found.append(
                    f"the event {event} is SLAVESIDE_DISABLED on every node, as ALTER EVENT on another node than its"
                    f" own leaves it: ALTER EVENT {event} ENABLE on the node that is to run it, or DISABLE for none"
                )
        return found


def schema_items(node: sa.Connection, schemas: Collection[str | None]) -> set[str]:
    """Return one text for each column, index, table and event of a node, with all that must be equal on all nodes.

    Args:
        node: a connection to it.
        schemas: those that are compared; None for the default schema of the connection.
    """
    rows: Iterable[Sequence[Any]] = node.exec_driver_sql(_SHAPE).all()
    return {
        f"the {kind} {'.'.join(filter(None, (schema, table, name)))} as {made}"
        for schema, kind, table, name, made in rows
        if schema in schemas
    }
