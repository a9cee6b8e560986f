"""Opens the connections of a pool: one host after the other, with the login of the moment."""

import random
import time

from ringfence.runtime.engines import Backend
from ringfence.runtime.errors import NotReady, RingfenceError, Unavailable
from ringfence.runtime.interrupts import let_through
from ringfence.runtime.pool.lease import Lease, Pooled
from ringfence.runtime.settings import Login, Settings

ROTATION_GRACE_SECONDS = 3.0
"""How long a refused login is tried again when it worked before: server and file cannot change at one moment."""


class Opener:
    """Remembers which host answered last, and whether the login ever worked.

    Args:
        backend, settings: as for `Pool`.
        max_lifetime: the age at which a connection is replaced, in seconds.
    """

    def __init__(self, backend: Backend, settings: Settings, max_lifetime: float) -> None:
        self._backend = backend
        self._settings = settings
        self._max_lifetime = max_lifetime
        self._host_index = 0
        self.generation = 0
        """Which login is the present one, counted up as it changes."""
        self.logged_in = False

    def open(self, lease: Lease) -> Pooled:
        """Open a connection; a login that worked before and is refused now may be a rotation under way.

        Args:
            lease: whose it is, from the moment that it is open.

        Raises:
            Unavailable, NotReady: as the servers, or their absence, say.
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
        for index in sorted(turns, key=lambda turn: self._backend.silent(hosts[turn])):
            try:
                connection = self._backend.connect(hosts[index], login.user, secret)
            except (Unavailable, NotReady) as error:
                let_through(error.__cause__, self._backend.driver_error)
                failures.append(error)
                continue
            try:
                now = time.monotonic()
                # Jitter, so that those opened together do not all end together.
                lifetime = self._max_lifetime * random.uniform(0.9, 1.0)
                pooled = Pooled(connection, now + lifetime, now, generation, hosts[index], now, lease)
                lease.pooled = pooled
            except BaseException:  # the traceback would keep it open
                self._backend.abort(connection)
                raise
            self._host_index = index
            return pooled
        # What waiting cannot mend is the more important news, and a node that answers the next.
        answered = [each for each in failures if isinstance(each, NotReady)]
        lasting = [each for each in answered if each.state not in ("joining", "starting")]
        raise (lasting or answered or failures)[0]

    def outdated(self, pooled: Pooled, now: float) -> bool:
        """Whether it is too old, or logged in with an older password."""
        return now >= pooled.expires or pooled.generation != self.generation

    def fork(self) -> None:
        """In a forked child: begin anew, but with the host that answered last."""
        self.generation, self.logged_in = 0, False
