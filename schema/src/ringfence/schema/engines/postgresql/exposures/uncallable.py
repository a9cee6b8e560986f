"""Functions and sequences that an account's verbs call, and that neither the account nor the admin can use or grant."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.postgresql.function_calls import Call
from ringfence.schema.engines.postgresql.privileges import required_calls
from ringfence.schema.engines.postgresql.quoting import quoted
from ringfence.schema.grants.difference import table_privileges

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_RIGHTS = {"function": "EXECUTE ON ROUTINE", "sequence": "USAGE ON SEQUENCE"}


def uncallable(
    connection: sa.Connection, deployment: "Deployment", logins: Iterable[str], called: Iterable[Call]
) -> Iterator[Exposure]:
    """Yield an exposure for each function or sequence that an account needs and that only its owner can grant.

    Args:
        connection: a connection of the admin account.
        deployment: the accounts of the manifest, including those that do not exist yet.
        logins: managed logins that exist on the server.
        called: what each verb on each table calls.

    Yields:
        One exposure per account and function or sequence, with the tables; it has no repair.
    """
    default, me = connection.exec_driver_sql("SELECT current_schema(), current_user").one()
    found = table_privileges(deployment.accounts.values(), default)
    uses: dict[tuple[str, Call], set[str]] = {}
    first_calls: dict[tuple[str, str, tuple[str, str]], Call] = {}
    for login, call in required_calls(deployment, found, called, default):
        if call.lacks(login):
            first = first_calls.setdefault((login, call.kind, call.callee), call)
            verb = "compare" if call.verb == "type" else call.verb
            uses.setdefault((login, first), set()).add(f"{verb} {call.schema}.{call.table}")
    existing = set(logins)
    for (login, call), tables in sorted(uses.items(), key=lambda one: (one[0][0], one[0][1].callee)):
        schema, name = call.callee
        written = f"{quoted(schema)}.{name if call.kind == 'function' else quoted(name)}"
        right = f"GRANT {_RIGHTS[call.kind]} {written} TO"
        granted_to_admin = f"{right} {quoted(me)} WITH GRANT OPTION, and the next apply grants it"
        statements = [f"{right} {quoted(login)}"] if login in existing else []
        yield Exposure(
            "call",
            login,
            f"the account {login} cannot {', '.join(sorted(tables))}: that calls the {call.kind} {schema}.{name}, which"
            f" belongs to {call.owner} and neither {login} nor the admin may use",
            resolution=f"as {call.owner}: {', or '.join([*statements, granted_to_admin])}",
            refuses=True,
            finding="missing",
        )
