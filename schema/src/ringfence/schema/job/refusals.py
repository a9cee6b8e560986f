"""Turns a driver's error into a message with the server's error, the statement and the admin's missing privileges."""

import contextlib
import re
from collections.abc import Mapping

import sqlalchemy as sa

from ringfence.runtime.engines.mysql.transaction_size import too_large
from ringfence.runtime.errors import RingfenceError, Unavailable
from ringfence.runtime.settings import Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import first_line, reach
from ringfence.schema.engines.dependent_views import explanation
from ringfence.schema.errors import JobFailed

_SECRET = re.compile(r"PASSWORD|IDENTIFIED", re.IGNORECASE)
_SHOWN = 400  # characters of a statement
_RIGHTS = 4  # missing privileges that a message names


def refusal(
    error: sa.exc.DBAPIError, deployment: Deployment, env: Mapping[str, str] | None = None
) -> RingfenceError:
    """Return the error to raise instead of an unexpected error of the driver.

    Args:
        error: the driver's error.
        deployment: the deployment, which determines the privileges that the admin needs.
        env: environment variables with the admin's login (`DB_*`); the process's own environment when None.

    Returns:
        Unavailable if the connection broke, otherwise JobFailed. Its message contains no value of a row and no secret.
    """
    if error.connection_invalidated and not too_large(error.orig):
        return Unavailable(f"the connection to the database broke: {first_line(error)}")
    statement = " ".join((error.statement or "").split())[:_SHOWN]
    message = f"the server refused a statement: {first_line(error)}"
    if statement and not _SECRET.search(statement):
        message += f"\n  in: {statement}"
    if too_large(error.orig):
        return JobFailed(message + explanation(error))
    rights = ""
    with contextlib.suppress(RingfenceError, sa.exc.SQLAlchemyError):
        settings = Settings.from_env(env)
        backend = reach(settings, existing=True)
        with backend.engine().connect() as connection:
            rights = _named(backend.checks.admin(connection, deployment).errors, first_line(error))
    return JobFailed(message + (rights or explanation(error)))


def _named(errors: list[str], said: str) -> str:
    """Return lines with the missing privileges, first those on objects that the server's message names."""
    about = [word for word in re.findall(r"\w+", said) if "_" in word]
    ordered = sorted(errors, key=lambda text: not any(word in text for word in about))
    lines = [*ordered[:_RIGHTS]]
    if len(errors) > _RIGHTS:
        lines.append(f"and {len(errors) - _RIGHTS} more, which `ringfence plan` names")
    return "".join(f"\n  {line}" for line in lines)
