"""The application: which address leads where."""

from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask

from analytics import MIRROR, activity
from platform_web.application import make_app
from ringfence.runtime.flask import Ringfence

if TYPE_CHECKING:
    from mirrors.analytics import DAL


def create_app(mirror: Path = MIRROR) -> Flask:
    """Make the service; where its database is, the environment says (DB_TYPE and its like)."""
    app = make_app("analytics")
    ringfence: Ringfence[DAL] = Ringfence(app, mirror=mirror)
    app.register_blueprint(activity.blueprint(ringfence))
    return app
