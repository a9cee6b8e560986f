"""A statement that the server refused, in words: what it said, what was sent, and which rights the admin lacks."""

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
_RIGHTS = 4  # in a message


def refusal(
    error: sa.exc.DBAPIError, deployment: Deployment, env: Mapping[str, str] | None = None
) -> RingfenceError:
    """What to raise instead of a driver's error that nothing expected.

    Args:
        error: the driver's.
        deployment: the deployment, for the rights that it takes.
        env: the admin's login (`DB_*`); the process's own environment when None.

    Returns:
        Unavailable where the connection broke; else JobFailed. No value of a row and no secret is in its message.
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
            rights = _named(backend.preflight(connection, deployment).errors, first_line(error))
    return JobFailed(message + (rights or explanation(error)))


def _named(errors: list[str], said: str) -> str:
    """The missing rights, those of what the server named first; a job's own message holds all of them."""
    about = [word for word in re.findall(r"\w+", said) if "_" in word]
    ordered = sorted(errors, key=lambda text: not any(word in text for word in about))
    lines = [*ordered[:_RIGHTS]]
    if len(errors) > _RIGHTS:
        lines.append(f"and {len(errors) - _RIGHTS} more, which `ringfence plan` names")
    return "".join(f"\n  {line}" for line in lines)
