"""One file per engine; the registry is the only place that turns `DB_TYPE` into code."""

import importlib

from ringfence.runtime.engines.base import NO_SCOPE, Backend, Doing, Limits, Mode, Source
from ringfence.runtime.errors import BadMirror, BadSettings
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.settings import Settings

__all__ = ["NO_SCOPE", "Backend", "Doing", "Limits", "Mode", "Source", "backend_for"]

# DB_TYPE -> module, class and the extra that brings its driver; imported when used, for a service has one driver.
_BACKENDS = {
    "postgresql": (
        "ringfence.runtime.engines.postgresql.backend",
        "PostgreSQL",
        "ringfence-runtime[postgresql]",
    ),
    "mysql": ("ringfence.runtime.engines.mysql.backend", "MySQL", "ringfence-runtime[mysql]"),
    "sqlite": ("ringfence.runtime.engines.sqlite.backend", "SQLite", None),
}
# DB_TYPE -> the engines behind it, as a mirror calls them.
_ENGINES = {"postgresql": ("postgresql",), "mysql": ("mysql", "mariadb", "galera"), "sqlite": ("sqlite",)}


def backend_for(settings: Settings, mirror: Mirror) -> Backend:
    """The backend for these settings.

    Raises:
        BadMirror: when the mirror's types were checked for other engines.
        BadSettings: when its driver is not installed, naming the extra that brings it.
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
