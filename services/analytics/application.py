"""The application: which address leads where."""

from pathlib import Path

from flask import Flask

from analytics import MIRROR, activity
from platform_web.application import make_app


def create_app(mirror: Path = MIRROR) -> Flask:
    """Make the service; where its database is, the environment says (DB_TYPE and its like)."""
    app, ringfence = make_app("analytics", mirror)
    app.register_blueprint(activity.blueprint(ringfence))
    return app
