"""The common part of every web service: a Flask application on the shared database, under its own account."""

from pathlib import Path

from flask import Flask

from platform_web import problems
from ringfence.runtime.flask import Ringfence

MAX_BODY = 1024 * 1024
"""The largest request body in bytes."""


def make_app(name: str, mirror: Path) -> tuple[Flask, Ringfence]:
    """Make the application and its door to the database.

    Args:
        name: the import name of the service's package.
        mirror: the service's mirror file.

    Raises:
        BadSettings: when the environment does not describe a database.
        BadMirror: when the mirror cannot be read.
    """
    app = Flask(name, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    problems.register(app)
    return app, Ringfence(app, mirror=mirror)
