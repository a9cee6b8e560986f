"""The part of the manifest's lint about values: defaults that services must give themselves, unmarked passwords."""

from collections.abc import Iterator

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.models.defaults import SERVICE, default, on_update
from ringfence.schema.models.password_columns import is_unmarked_password
from ringfence.schema.models.types import portable
from ringfence.schema.review.finding import NOTE, Finding, finding


def service_defaults(
    deployment: Deployment, account: Account, grant: Grant, table: sa.Table
) -> Iterator[Finding]:
    """Report columns whose default is Python code of the models that services do not run.

    Args:
        deployment: its engines.
        account: has the grant.
        grant: of insert or update; any other has no finding.
        table: that the grant is on.

    Yields:
        At most one note, which names all such columns.
    """
    read = {"insert": default, "update": on_update}.get(grant.verb)
    if read is None:
        return
    lacking = []
    for column in table.columns:
        if grant.columns is None or column.name in grant.columns:
            arises = read(column, portable(column.type, deployment.engines), deployment.engines)
            if arises is not None and arises.kind == SERVICE:
                lacking.append(f"{column.name} ({arises.value})")
    if lacking:
        yield finding(
            "service-default",
            NOTE,
            grant.origin,
            f"{account.service!r} has {grant.verb} on {grant.key!r}, and gives itself {', '.join(lacking)}",
            "name it in each such statement, or declare a `server_default`, or a default of Python that is known by its"
            " meaning: a constant, uuid4, now",
        )


def plain_passwords(account: Account, grant: Grant, table: sa.Table) -> Iterator[Finding]:
    """Report columns of which PyDAL forms would store a password in plain text.

    Args:
        account: has the grant.
        grant: of insert or update; any other has no finding.
        table: that the grant is on.

    Yields:
        A note for each text column that is named like a password and has no `info={"password": …}`.
    """
    if grant.verb not in ("insert", "update"):
        return
    for column in table.columns:
        granted = grant.columns is None or column.name in grant.columns
        if granted and is_unmarked_password(column):
            yield finding(
                "plain-password",
                NOTE,
                grant.origin,
                f"{account.service!r} has {grant.verb} on {grant.key}.{column.name}, which is no password to PyDAL:"
                " what a form or py4web's Auth is given is stored as it is",
                'mark it info={"password": True}, or {"password": False} where the program stores a hash itself',
            )


def notes(deployment: Deployment) -> Iterator[Finding]:
    """The notes of loading the deployment, as findings."""
    for note in deployment.notes:
        yield Finding(
            "models-note",
            NOTE,
            note.file,
            note.line or 1,
            note.message,
            "nothing need be done where that is meant",
        )
