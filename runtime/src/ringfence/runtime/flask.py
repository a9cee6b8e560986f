"""A Flask extension: one session per request, committed before the response is sent, and health checks."""

import asyncio
import importlib.util
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from flask import Blueprint, Flask, Response, g, has_request_context, jsonify

from ringfence.runtime.dal import DALType
from ringfence.runtime.database import Database
from ringfence.runtime.errors import ArgumentError, InterfaceError
from ringfence.runtime.unit import Unit

if TYPE_CHECKING:
    from ringfence.runtime.metrics import PoolMetrics

log = logging.getLogger("ringfence.flask")

_SESSION, _DONE, _SCOPE = "_ringfence_session", "_ringfence_done", "_ringfence_scope"
_ASKED = object()


class _RolledBack(Exception):
    """Passed to `__exit__` to roll a session back without an exception."""


class Ringfence(Generic[DALType]):
    """The Flask extension: `ringfence.dal` is PyDAL in the session of the current request.

    The session opens at its first use. If the view returns a status below 400, it is committed before the first byte is
    sent, so that the application's error handlers see errors of the commit. It is rolled back on an exception and on a
    status of 400 or more. After that, in error handlers, `after_request` functions and streamed bodies, `dal` uses a
    new read-only session.

    Args:
        app: the application; or call `init_app` later.
        mirror: the path of the service's mirror; the environment says where the database is.
        database: an existing Database, in place of `mirror`.
        health: the URL prefix of `/livez`, `/readyz` and `/metrics`; None to not register them.
        metrics: whether to serve `/metrics`; when None, if prometheus-client is installed.
        scope: called once in each request that uses `dal`, before its session opens; returns the scopes to bind, as
            for `session(scope=…)`, or None. To read from the database it opens its own session, with
            `with ringfence.database.session():`.

    Raises:
        ArgumentError: both or neither of `mirror` and `database` are given.
    """

    _metrics: "PoolMetrics | None" = None

    def __init__(
        self,
        app: Flask | None = None,
        mirror: str | Path | None = None,
        *,
        database: Database[DALType] | None = None,
        health: str | None = "",
        metrics: bool | None = None,
        scope: Callable[[], Mapping[str, Any] | None] | None = None,
    ) -> None:
        if (mirror is None) == (database is None):
            raise ArgumentError("give Ringfence either mirror= or database=")
        self.database: Database[DALType] = database or Database.from_env(mirror or "")
        self._health = health
        self._scope = scope
        if metrics or (metrics is None and importlib.util.find_spec("prometheus_client")):
            from ringfence.runtime.metrics import PoolMetrics

            self._metrics = PoolMetrics(self.database.pool, self.database.mirror.service)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Register the extension and its health checks with an application."""
        app.extensions["ringfence"] = self
        self._wrap(app, "dispatch_request")
        self._wrap(app, "preprocess_request")
        app.teardown_request(self._teardown)
        if self._health is not None:
            app.register_blueprint(self._blueprint(), url_prefix=self._health or None)

    @property
    def dal(self) -> DALType:
        """PyDAL in the session of the current request, which opens at the first use.

        Raises:
            InterfaceError: used outside a request, or in an `async def` view, which runs in another thread.
        """
        if not has_request_context():
            raise InterfaceError(
                "there is no request here: outside one, use `with ringfence.database.session() as dal:`"
            )
        if asyncio._get_running_loop() is not None:
            raise InterfaceError(
                "an `async def` view runs in another thread: use ringfence.runtime.aio.AsyncDatabase there"
            )
        if _SESSION not in g:
            session = self.database.session(read_only=g.get(_DONE, False), scope=self._bound())
            setattr(g, _SESSION, session)  # before entering it: a signal's exception may come at any point
            try:
                session.__enter__()
            except BaseException:
                session.abandon()
                g.pop(_SESSION)
                raise
        return self.database.dal

    def _bound(self) -> Mapping[str, Any] | None:
        """Return the scopes of this request; asked for once, so that a streamed body has those of its view."""
        if self._scope is None:
            return None
        if _SCOPE not in g:
            setattr(g, _SCOPE, _ASKED)
            try:
                bound = self._scope()
            except BaseException:
                g.pop(_SCOPE)
                raise
            setattr(g, _SCOPE, bound)
        if (known := g.get(_SCOPE)) is _ASKED:
            raise InterfaceError(
                "the function given as scope= uses `ringfence.dal`, whose session waits for it: read what it needs in"
                " `with ringfence.database.session() as dal:`"
            )
        bound_now: Mapping[str, Any] | None = known
        return bound_now

    def _wrap(self, app: Flask, name: str) -> None:
        """Replace a method of the application, so that its end commits or rolls back, inside Flask's error handling.

        Flask documents these methods as points to override. An error of COMMIT must reach the application's error
        handlers, and an `after_request` function is called too late for that.
        """
        original = getattr(app, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            try:
                returned = original(*args, **kwargs)
                if name == "preprocess_request" and returned is None:
                    return None  # the view runs next, and ends the session
                response: Response = app.make_response(returned)
            except BaseException as error:
                setattr(g, _DONE, True)
                self._leave(error)
                raise
            setattr(g, _DONE, True)  # also if the commit fails: later writes would be lost
            self._leave(_RolledBack() if response.status_code >= 400 else None)
            return response

        setattr(app, name, wrapped)

    def _leave(self, error: BaseException | None) -> None:
        session: Unit[DALType] | None = g.get(_SESSION)
        if session is None:
            return
        try:
            if error is None:
                session.__exit__(None, None, None)
            else:
                session.__exit__(type(error), error, error.__traceback__)
        finally:
            session.abandon()  # does nothing unless an exception interrupted the end of the session
            g.pop(_SESSION, None)

    def _teardown(self, error: BaseException | None) -> None:
        # Ends the session of a streamed body or of an error handler; these are read-only.
        self._leave(error or _RolledBack())
        if self._metrics is not None:
            self._metrics.refresh()  # several workers share the values through files

    def _blueprint(self) -> Blueprint:
        health = Blueprint("ringfence", __name__)

        @health.get("/livez")
        def livez() -> Response:
            """Report that the process responds, without using the database."""
            return jsonify(live=True)

        @health.get("/readyz")
        def readyz() -> tuple[Response, int]:
            """Report whether the database is what this service's mirror needs, with status 200 or 503."""
            report = self.database.readiness()
            return jsonify(report.as_dict()), 200 if report.ready else 503

        if (metrics := self._metrics) is not None:
            from ringfence.runtime.metrics import CONTENT_TYPE

            @health.get("/metrics")
            def pool_metrics() -> Response:
                """Return the pool's statistics and all other metrics of the registry, for Prometheus."""
                return Response(metrics.page(), content_type=CONTENT_TYPE)

        return health
