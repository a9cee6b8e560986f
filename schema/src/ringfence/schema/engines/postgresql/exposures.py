"""All exposures on PostgreSQL: ways beside grants and row scopes by which accounts or other roles reach more."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql import default_privileges as everybody
from ringfence.schema.engines.postgresql import exposures_calls as calling
from ringfence.schema.engines.postgresql import exposures_functions as functions
from ringfence.schema.engines.postgresql import exposures_others as outside
from ringfence.schema.engines.postgresql import exposures_owners as owners
from ringfence.schema.engines.postgresql import exposures_rights as rights
from ringfence.schema.engines.postgresql import exposures_roles as roles
from ringfence.schema.engines.postgresql import exposures_rows as rows
from ringfence.schema.engines.postgresql import exposures_settings as settings
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
    ours = sorted(logins)
    called = calls(connection)
    known = {
        *ours,
        *(account.login for account in deployment.accounts.values()),
        *deployment.policy.protected,
    }
    return [
        *roles.outsiders(connection, ours),
        *outside.others(connection, deployment, ours),
        *roles.memberships(connection, ours),
        *roles.attributes(connection, ours),
        *settings.settings(connection, deployment, ours),
        *rights.rights(connection, deployment, ours),
        *owners.owners(connection, deployment, ours, called),
        *calling.lacking(connection, deployment, ours, called),
        *rows.blind(connection, deployment, ours),
        *everybody.exposures(connection, ours, deployment.policy.public),
        *functions.losing(connection, known, deployment.policy.public),
    ]
