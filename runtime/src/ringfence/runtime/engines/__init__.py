"""The engines of the service side: one folder per engine. `backend_for` turns `DB_TYPE` into code.

It imports only the driver of that engine. In each folder, `backend` implements the protocol of `base`, `features` says
what the engine can do, `connection` opens connections, `codecs` converts values, `errors` translates errors,
and `streaming` reads large results. What is used of a driver beside its public face is in `pymysql_compat` and
`psycopg2_compat`.
"""

import importlib

from ringfence.runtime.engines.base import (
    NO_CONTEXT,
    NO_SCOPE,
    Backend,
    Features,
    Limits,
    Mode,
    RowSource,
    StatementContext,
)
from ringfence.runtime.errors import BadMirror, BadSettings
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.settings import Settings

__all__ = [
    "NO_CONTEXT",
    "NO_SCOPE",
    "Backend",
    "Features",
    "Limits",
    "Mode",
    "RowSource",
    "StatementContext",
    "backend_for",
]

# DB_TYPE -> module, class and the extra that installs its driver; imported when used, as a service has one driver.
_BACKENDS = {
    "postgresql": (
        "ringfence.runtime.engines.postgresql.backend",
        "PostgreSQL",
        "ringfence-runtime[postgresql]",
    ),
    "mysql": ("ringfence.runtime.engines.mysql.backend", "MySQL", "ringfence-runtime[mysql]"),
    "sqlite": ("ringfence.runtime.engines.sqlite.backend", "SQLite", None),
}
# DB_TYPE -> the engines it covers, by their names in a mirror.
_ENGINES = {"postgresql": ("postgresql",), "mysql": ("mysql", "mariadb", "galera"), "sqlite": ("sqlite",)}


def backend_for(settings: Settings, mirror: Mirror) -> Backend:
    """Return the backend for these settings.

    Args:
        settings: the service's settings, with `DB_TYPE`.
        mirror: the service's mirror.

    Raises:
        BadMirror: when the mirror was generated for other engines.
        BadSettings: when the engine's driver is not installed; names the extra that installs it.
    """
    if not set(_ENGINES[settings.db_type]) & set(mirror.engines):
        raise BadMirror(
            f"the mirror of {mirror.service} is for {', '.join(mirror.engines)}, and DB_TYPE is {settings.db_type}: add"
            " the engine to ringfence.toml, so that models and manifest are checked for it, and make the mirror again"
            " with `ringfence mirror`"
        )
    module, attribute, extra = _BACKENDS[settings.db_type]
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise BadSettings(
            f"DB_TYPE={settings.db_type} needs a driver that is not installed: pip install '{extra}'"
        ) from error
    backend: Backend = found(settings, mirror)
    return backend
