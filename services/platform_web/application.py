"""The common part of every web service: a Flask application that answers errors with problem documents."""

from flask import Flask

from platform_web import problems

MAX_BODY = 1024 * 1024
"""The largest request body in bytes."""


def make_app(name: str) -> Flask:
    """Make the application, without its database.

    Args:
        name: the import name of the service's package.
    """
    app = Flask(name, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    problems.register(app)
    return app
