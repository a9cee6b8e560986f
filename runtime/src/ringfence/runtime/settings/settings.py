"""The settings of a database connection as one immutable value, in which secrets are masked when it is shown."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings.addresses import Host
from ringfence.runtime.settings.environment import Environment
from ringfence.runtime.settings.secret import Credentials, Login, Secret, invalid_text, read_secret

__all__ = ["Credentials", "Host", "Login", "Secret", "Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the database is, the login, and the pool size, retries and timeouts; times are in seconds.

    `name` is the database's name, or the path of the file for SQLite. `credentials` replaces `password` and
    `password_file`.
    """

    db_type: str
    name: str
    hosts: tuple[Host, ...] = ()
    user: str | None = None
    password: Secret | None = None
    password_file: Path | None = None
    sslmode: str | None = None
    sslrootcert: str | None = None
    connect_timeout: float | None = None
    pool_size: int = 10
    workers: int = 1
    max_retries: int = 5
    retry_delay: float = 5.0
    ready_timeout: float = 300.0
    tcp_timeout: float = 10.0
    credentials: Credentials | None = field(default=None, compare=False, repr=False)
    source: str = field(default="environment", compare=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings from the variables `DB_*`, or `DATABASE_URL`.

        Args:
            env: the variables; the process's own when None.

        Raises:
            BadSettings: there are mistakes; the message lists all, each with its variable and without its value.
        """
        return cls(**Environment(os.environ if env is None else env).read())

    def login(self) -> Login:
        """Return the current login, from `credentials` or the password file, which are read at each call.

        Raises:
            BadSettings: the file cannot be read, or `credentials` returns text that no database accepts. Exceptions of
                `credentials` are passed on.
        """
        if self.credentials is not None:
            given = self.credentials()
            login = given if isinstance(given, Login) else Login(self.user, Secret(given))
            for text in (login.user, login.password and login.password.reveal()):
                if text and (why := invalid_text(text)):
                    raise BadSettings(f"what `credentials` gives {why}")
            return login
        if self.password_file is None:
            return Login(self.user, self.password)
        return Login(self.user, read_secret("DB_PASS_FILE", self.password_file))

    def secret(self) -> str | None:
        """Return the current password; raises like `login`."""
        password = self.login().password
        return password.reveal() if password else None

    def __str__(self) -> str:
        if not self.hosts:
            return f"{self.db_type}:{self.name}"
        return f"{self.db_type}://{self.user}@{','.join(map(str, self.hosts))}/{self.name}"
