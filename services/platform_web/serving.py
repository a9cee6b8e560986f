"""How gunicorn runs each web service: `gunicorn --config python:platform_web.serving backend_api.wsgi:app`.

The variables it reads are in services/README.md.
"""

import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

from ringfence.runtime import Database
from ringfence.runtime.errors import NotReady, RingfenceError

FAILED, NOT_READY = 3, 4
"""Exit statuses: the settings or the mirror are wrong; the database is not what the service needs."""


def _whole(*names: str, default: int) -> int:
    """Return the first of the variables that is set; exit if it is not a positive integer."""
    for name in names:
        if text := os.environ.get(name):
            number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
            if number > 0:
                return number
            sys.stderr.write(f"{name} is not a positive integer\n")
            sys.exit(FAILED)
    return default


bind = os.environ.get("WEB_BIND") or "127.0.0.1:8000"
worker_class = "gthread"
workers = _whole("DB_WORKERS", default=1)
threads = _whole("WEB_THREADS", "DB_POOL_SIZE", default=10)
graceful_timeout = _whole("WEB_GRACE", default=30)
control_socket_disable = True  # its path is shared by all services of a user


def on_starting(server: Any) -> None:
    """Wait until the database is what the service needs, before the address is opened and a worker begins.

    A service whose database will never do ends here with a reason, and not in a loop of dying workers.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    package = server.app.app_uri.partition(".")[0]
    mirror: Path = importlib.import_module(package).MIRROR
    try:
        database = Database.from_env(mirror)
        try:
            database.wait_until_ready()
        finally:
            database.close()
    except RingfenceError as error:
        sys.stderr.write(f"{package} does not start: {error}\n")
        sys.exit(NOT_READY if isinstance(error, NotReady) else FAILED)
