"""The application: which address leads where."""

from pathlib import Path

from flask import Flask

from backend_api import MIRROR, events, users
from platform_web.application import make_app


def create_app(mirror: Path = MIRROR) -> Flask:
    """Make the service; where its database is, the environment says (DB_TYPE and its like)."""
    app, ringfence = make_app("backend_api", mirror)
    app.register_blueprint(users.blueprint(ringfence))
    app.register_blueprint(events.blueprint(ringfence))
    return app
