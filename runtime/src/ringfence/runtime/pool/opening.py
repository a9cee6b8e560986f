"""Open the connections of a pool: try the hosts in turn, with the current login."""

import random
import time

from ringfence.runtime.engines import Backend
from ringfence.runtime.errors import NotReady, RingfenceError, Unavailable
from ringfence.runtime.interrupts import reraise_interrupt
from ringfence.runtime.pool.lease import Lease, Pooled
from ringfence.runtime.settings import Login, Settings

ROTATION_GRACE_SECONDS = 3.0
"""How long to wait for a new login when one that worked is refused: server and file cannot change at one moment."""


class Opener:
    """Opens connections, beginning with the host that answered last.

    Args:
        backend: opens a connection to one host.
        settings: the login, which is read anew for each connection.
        max_lifetime: the age at which a connection is replaced, in seconds.
    """

    def __init__(self, backend: Backend, settings: Settings, max_lifetime: float) -> None:
        self._backend = backend
        self._settings = settings
        self._max_lifetime = max_lifetime
        self._host_index = 0
        self.generation = 0
        """The number of the current login, increased at each change."""
        self.logged_in = False

    def open(self, lease: Lease) -> Pooled:
        """Open a connection.

        If a login that worked before is refused, a password rotation may be under way: then wait for a new login, up to
        `ROTATION_GRACE_SECONDS`.

        Args:
            lease: gets the connection as soon as it is open.

        Raises:
            Unavailable: no server can be reached.
            NotReady: a server refused the connection, or is not ready yet.
        """
        until = time.monotonic() + ROTATION_GRACE_SECONDS
        while True:
            generation, login = self.generation, self._settings.login()
            try:
                return self._open_as(login, generation, lease)
            except NotReady as error:
                if error.state != "login" or not self.logged_in:
                    raise
                while self._settings.login() == login:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)

    def _open_as(self, login: Login, generation: int, lease: Lease) -> Pooled:
        """Try each host in turn, starting with the one that answered last."""
        hosts = self._backend.hosts()
        failures: list[RingfenceError] = []
        secret = login.password.reveal() if login.password else None
        turns = [(self._host_index + step) % len(hosts) for step in range(len(hosts))]
        for index in sorted(turns, key=lambda turn: self._backend.recently_unresponsive(hosts[turn])):
            try:
                connection = self._backend.connect(hosts[index], login.user, secret)
            except (Unavailable, NotReady) as error:
                reraise_interrupt(error.__cause__, self._backend.driver_error)
                failures.append(error)
                continue
            try:
                now = time.monotonic()
                # Random, so that connections opened at the same time do not all expire at the same time.
                lifetime = self._max_lifetime * random.uniform(0.9, 1.0)
                pooled = Pooled(connection, now + lifetime, now, generation, hosts[index], now, lease)
                lease.pooled = pooled
            except BaseException:  # the traceback would otherwise keep the connection open
                self._backend.abort(connection)
                raise
            self._host_index = index
            return pooled
        # Report first what waiting cannot resolve, then a refusal of a node that answered, then an unreachable one.
        answered = [each for each in failures if isinstance(each, NotReady)]
        lasting = [each for each in answered if each.state not in ("joining", "starting")]
        raise (lasting or answered or failures)[0]

    def outdated(self, pooled: Pooled, now: float) -> bool:
        """Whether the connection has expired, or was opened with an earlier login."""
        return now >= pooled.expires or pooled.generation != self.generation

    def fork(self) -> None:
        """Reset the login's state in a forked child; the host that answered last is kept."""
        self.generation, self.logged_in = 0, False
