"""The application: which address leads where."""

from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask

from backend_api import MIRROR, events, users
from platform_web.application import make_app
from ringfence.runtime.flask import Ringfence

if TYPE_CHECKING:
    from mirrors.backend_api import DAL


def create_app(mirror: Path = MIRROR) -> Flask:
    """Make the service; where its database is, the environment says (DB_TYPE and its like)."""
    app = make_app("backend_api")
    ringfence: Ringfence[DAL] = Ringfence(app, mirror=mirror)
    app.register_blueprint(users.blueprint(ringfence))
    app.register_blueprint(events.blueprint(ringfence))
    return app
