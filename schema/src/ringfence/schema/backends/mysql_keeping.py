"""What views keep until a contract has run: the columns that it retires, for services that still use them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.backends.base import Going
from ringfence.schema.backends.mysql_views import View, view_name

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

Place = tuple[str, str]
"""A schema and a name."""


@dataclass
class Kept:
    """Views before tables that a contract to come takes columns from."""

    unasked: dict[Place, Place] = field(default_factory=dict)
    """A view that new services go without -> its table: those that run go through it."""
    before: dict[Place, Place] = field(default_factory=dict)
    """Every view before such a table -> the table."""


def keep(
    connection: sa.Connection,
    deployment: "Deployment",
    database: str,
    views: Iterable[View],
    going: Going,
) -> Kept:
    """Let views have the columns that go where they have them now, and tell which views stay unasked for.

    A column is kept with who has it: a view that does not show it yet never will. A view stays for a verb that its
    account still has on the table; what is taken from the account itself is gone at once.
    """
    kept = Kept()
    if not going:
        return kept
    shown = _shown(connection, {schema or database for schema, _ in going})
    for view in views:
        place = (view.schema or database, view.name)
        if gone := going.get((view.schema, view.table)):
            kept.before[place] = (place[0], view.table)
            view.columns += tuple(name for name in shown.get(place, ()) if name in gone)
    for account in deployment.accounts.values():
        for grant in account.grants:
            if (grant.schema, grant.table) not in going:
                continue
            place = (grant.schema or database, view_name(account.service, grant.key, grant.verb))
            if place in shown and place not in kept.before:
                kept.unasked[place] = (place[0], grant.table)
    kept.before |= kept.unasked
    return kept


def _shown(connection: sa.Connection, schemas: Iterable[str]) -> dict[Place, list[str]]:
    """The columns of each view of ours."""
    rows = connection.exec_driver_sql(
        "SELECT c.table_schema, c.table_name, c.column_name FROM information_schema.columns c"
        " JOIN information_schema.views v ON v.table_schema = c.table_schema AND v.table_name = c.table_name"
        " WHERE c.table_schema IN %(schemas)s AND LEFT(c.table_name, 10) = 'ringfence_' ORDER BY c.ordinal_position",
        {"schemas": tuple(schemas)},
    )
    found: dict[Place, list[str]] = {}
    for schema, name, column in rows:
        found.setdefault((schema, name), []).append(column)
    return found
