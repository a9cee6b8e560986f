"""What services must know of models that others wrote: values that they give themselves, and forms that they see."""

from collections.abc import Iterator

import sqlalchemy as sa

from ringfence.schema.access.finding import NOTE, Finding, finding
from ringfence.schema.access.manifest import Account, Grant
from ringfence.schema.defaults import SERVICE, default, on_update
from ringfence.schema.deployment import Deployment
from ringfence.schema.types import portable


def values_to_give(
    deployment: Deployment, account: Account, grant: Grant, table: sa.Table
) -> Iterator[Finding]:
    """Columns whose value the models' own programs make with code that services do not run."""
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
            "value-to-give",
            NOTE,
            grant.origin,
            f"{account.service!r} has {grant.verb} on {grant.key!r}, and gives itself {', '.join(lacking)}",
            "name it in each such statement, or declare a `server_default`, or a default of Python that is known by its"
            " meaning: a constant, uuid4, now",
        )


def notes(deployment: Deployment) -> Iterator[Finding]:
    """What was noted when the deployment was loaded."""
    for note in deployment.notes:
        yield Finding(
            "models-note",
            NOTE,
            note.file,
            note.line or 1,
            note.message,
            "nothing need be done where that is meant",
        )
