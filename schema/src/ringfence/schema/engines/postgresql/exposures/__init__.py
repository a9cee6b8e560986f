"""Exposures on PostgreSQL: ways beside grants and row security by which accounts or other roles reach more."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql import default_privileges
from ringfence.schema.engines.postgresql.exposures.missing_policies import missing_policies
from ringfence.schema.engines.postgresql.exposures.object_privileges import object_privileges
from ringfence.schema.engines.postgresql.exposures.owners import owners
from ringfence.schema.engines.postgresql.exposures.roles import attributes, members, memberships
from ringfence.schema.engines.postgresql.exposures.settings import settings
from ringfence.schema.engines.postgresql.exposures.uncallable import uncallable
from ringfence.schema.engines.postgresql.exposures.unmanaged_logins import unmanaged_logins
from ringfence.schema.engines.postgresql.function_calls import calls

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment


def exposures(connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]) -> list[Exposure]:
    """Return the exposures of the server; each kind takes one query, however many objects there are.

    Args:
        connection: a connection of the admin account.
        deployment: the accounts, tables and policy of the manifest.
        logins: managed logins that exist on the server.
    """
    managed = sorted(logins)
    called = calls(connection)
    known = {
        *managed,
        *(account.login for account in deployment.accounts.values()),
        *deployment.policy.protected,
    }
    public = deployment.policy.public
    return [
        *members(connection, managed),
        *unmanaged_logins(connection, deployment, managed),
        *memberships(connection, managed),
        *attributes(connection, managed),
        *settings(connection, deployment, managed),
        *object_privileges(connection, deployment, managed),
        *owners(connection, deployment, managed, called),
        *uncallable(connection, deployment, managed, called),
        *missing_policies(connection, deployment, managed),
        *default_privileges.exposures(connection, managed, public),
        *default_privileges.losing_execute(connection, known, public),
    ]
