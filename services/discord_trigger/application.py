"""The application: which address leads where."""

from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask

from discord_trigger import MIRROR
from platform_web import integrations
from platform_web.application import make_app
from ringfence.runtime.flask import Ringfence

if TYPE_CHECKING:
    from mirrors.discord_trigger import DAL


def create_app(mirror: Path = MIRROR) -> Flask:
    """Make the service; where its database is, the environment says (DB_TYPE and its like)."""
    app = make_app("discord_trigger")
    ringfence: Ringfence[DAL] = Ringfence(app, mirror=mirror)
    app.register_blueprint(integrations.blueprint(ringfence))
    return app
