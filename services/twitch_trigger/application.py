"""The application: which address leads where."""

from pathlib import Path

from flask import Flask

from platform_web import integrations
from platform_web.application import make_app
from twitch_trigger import MIRROR


def create_app(mirror: Path = MIRROR) -> Flask:
    """Make the service; where its database is, the environment says (DB_TYPE and its like)."""
    app, ringfence = make_app("twitch_trigger", mirror)
    app.register_blueprint(integrations.blueprint(ringfence))
    return app
