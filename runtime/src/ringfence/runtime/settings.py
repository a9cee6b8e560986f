"""The environment, read once into one checked value; secrets are masked wherever it is shown."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ringfence.runtime.errors import BadSettings

# DB_TYPE -> the port its servers listen on; None for one that is a file and has neither host nor login.
DEFAULT_PORTS: Mapping[str, int | None] = {"postgresql": 5432, "mysql": 3306, "sqlite": None}
DB_TYPES = tuple(DEFAULT_PORTS)
SSL_MODES = ("disable", "require", "verify-ca", "verify-full")
_SCHEMES = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "galera": "mysql",
    "sqlite": "sqlite",
}


def _is_a_file(db_type: str) -> bool:
    return DEFAULT_PORTS.get(db_type) is None


class Secret:
    """A string that shows itself only when asked by name, so that no repr, log or traceback holds it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret('***')"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


@dataclass(frozen=True, slots=True)
class Host:
    """One server address; a host that starts with `/` is the folder of a Unix socket."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in, and with what."""

    user: str | None
    password: Secret | None


Credentials = Callable[[], Login | str]
"""Gives the login as it is now, or the password alone. It is asked often: it answers at once, and the same for as long
as the credentials hold."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the database is, who logs in, and how patiently. Times are in seconds.

    `name` is the database's name, or the file's path for SQLite.
    """

    db_type: str
    name: str
    hosts: tuple[Host, ...] = ()
    user: str | None = None
    password: Secret | None = None
    password_file: Path | None = None
    sslmode: str | None = None
    sslrootcert: str | None = None
    pool_size: int = 10
    workers: int = 1
    max_retries: int = 5
    retry_delay: float = 5.0
    ready_timeout: float = 300.0
    credentials: Credentials | None = field(default=None, compare=False, repr=False)
    source: str = field(default="environment", compare=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read the variables of the table in `docs/reference/environment.md`.

        Args:
            env: the variables; the process's own when None.

        Raises:
            BadSettings: with every mistake at once, each naming its variable and never its secret value.
        """
        return _Environment(os.environ if env is None else env).settings()

    def login(self) -> Login:
        """The login as it is now: `credentials` or the password file are asked anew each time.

        Raises:
            BadSettings: when the file cannot be read; whatever `credentials` raises.
        """
        if self.credentials is not None:
            given = self.credentials()
            return given if isinstance(given, Login) else Login(self.user, Secret(given))
        if self.password_file is None:
            return Login(self.user, self.password)
        try:
            text = self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise BadSettings(f"DB_PASS_FILE: {self.password_file}: {why}") from None
        return Login(self.user, Secret(text))

    def secret(self) -> str | None:
        """The password as it is now.

        Raises:
            BadSettings: as `login`.
        """
        password = self.login().password
        return password.reveal() if password else None

    def __str__(self) -> str:
        if not self.hosts:
            return f"{self.db_type}:{self.name}"
        return f"{self.db_type}://{self.user}@{','.join(map(str, self.hosts))}/{self.name}"


class _Environment:
    """Collects every mistake before it complains."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = {key: value for key, value in env.items() if value != ""}
        self.mistakes: list[str] = []

    def settings(self) -> Settings:
        given = self._url() if "DATABASE_URL" in self.env else self._variables()
        pool_size = self._integer("DB_POOL_SIZE", 10, least=1)
        workers = self._integer("DB_WORKERS", 1, least=1)
        max_retries = self._integer("DB_MAX_RETRIES", 5, least=0)
        retry_delay = self._seconds("DB_RETRY_DELAY", 5.0)
        ready_timeout = self._seconds("DB_READY_TIMEOUT", 300.0)
        if self.mistakes:
            raise BadSettings(
                "the environment does not describe a database:\n  " + "\n  ".join(self.mistakes)
            )
        return Settings(
            **given,
            pool_size=pool_size,
            workers=workers,
            max_retries=max_retries,
            retry_delay=retry_delay,
            ready_timeout=ready_timeout,
        )

    def _variables(self) -> dict[str, Any]:
        db_type = self.env.get("DB_TYPE", "")
        if not db_type:
            self.mistakes.append(f"DB_TYPE is not set; it is never guessed: one of {', '.join(DB_TYPES)}")
        elif db_type not in DB_TYPES:
            meant = f"; write {_SCHEMES[db_type]}" if db_type in _SCHEMES else ""
            self.mistakes.append(f"DB_TYPE is {db_type!r}; it is one of {', '.join(DB_TYPES)}{meant}")
        name = self.env.get("DB_NAME", "")
        if not name:
            what = "the path of the database file" if _is_a_file(db_type) else "the database's name"
            if db_type not in DB_TYPES:
                what = "the database's name, or the path of the SQLite file"
            self.mistakes.append(f"DB_NAME is not set: {what}")
        if _is_a_file(db_type):
            return {"db_type": db_type, "name": name}
        return {
            "db_type": db_type,
            "name": name,
            "hosts": self._hosts(self.env.get("DB_HOST", "localhost"), db_type),
            **self._login(self.env.get("DB_USER"), None),
            **self._ssl(self.env.get("DB_SSLMODE"), self.env.get("DB_SSLROOTCERT")),
        }

    def _url(self) -> dict[str, Any]:
        clash = sorted({"DB_TYPE", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASS"} & set(self.env))
        if clash == ["DB_TYPE"] or not clash:
            pass
        else:
            self.mistakes.append(f"DATABASE_URL stands beside {', '.join(clash)}: say it in one way")
        try:
            url = urlsplit(self.env["DATABASE_URL"])
            scheme, netloc = url.scheme.partition("+")[0], url.netloc
        except ValueError:
            self.mistakes.append("DATABASE_URL cannot be parsed: TYPE://USER:PASSWORD@HOST:PORT/NAME")
            return {}
        db_type = _SCHEMES.get(scheme)
        if db_type is None:
            self.mistakes.append(f"DATABASE_URL starts with {scheme!r}; it is one of {', '.join(DB_TYPES)}")
            return {}
        if (said := self.env.get("DB_TYPE")) and said != db_type:
            self.mistakes.append(f"DB_TYPE is {said!r}, and DATABASE_URL says {db_type}")
        if _is_a_file(db_type):
            path = unquote(url.path)[1:]
            if not path:
                self.mistakes.append(
                    "DATABASE_URL names no file: sqlite:///relative/path or sqlite:////absolute/path"
                )
            return {"db_type": db_type, "name": path}
        login, _, address = netloc.rpartition("@")
        user, _, password = login.partition(":")
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        name = unquote(url.path)[1:]
        if not name:
            self.mistakes.append("DATABASE_URL names no database after the last slash")
        return {
            "db_type": db_type,
            "name": name,
            "hosts": self._hosts(unquote(address) or query.get("host", "localhost"), db_type),
            **self._login(unquote(user), unquote(password)),
            **self._ssl(
                query.get("sslmode") or self.env.get("DB_SSLMODE"),
                query.get("sslrootcert") or self.env.get("DB_SSLROOTCERT"),
            ),
        }

    def _hosts(self, text: str, db_type: str) -> tuple[Host, ...]:
        port = self._integer("DB_PORT", DEFAULT_PORTS[db_type] or 0, least=1, most=65535)
        hosts = []
        for part in filter(None, (item.strip() for item in text.split(","))):
            host, sep, tail = part.rpartition(":")
            if part.startswith("/") or not sep or (part.startswith("[") and part.endswith("]")):
                hosts.append(Host(part.strip("[]"), port))
            elif tail.isdigit() and 0 < int(tail) < 65536:
                hosts.append(Host(host.strip("[]"), int(tail)))
            else:
                self.mistakes.append(
                    f"DB_HOST: {part!r} has no valid port; write host:port, hosts with commas"
                )
        if not hosts:
            self.mistakes.append("DB_HOST names no host")
        return tuple(hosts)

    def _login(self, user: str | None, password: str | None) -> dict[str, Any]:
        path = self.env.get("DB_PASS_FILE")
        given = password or self.env.get("DB_PASS")
        if not user:
            self.mistakes.append("DB_USER is not set: the login of this service's own account")
        if given and path:
            self.mistakes.append("DB_PASS_FILE stands beside a password: say it in one way")
        if path and not os.access(path, os.R_OK):
            self.mistakes.append(f"DB_PASS_FILE: {path} cannot be read")
        return {
            "user": user,
            "password": Secret(given) if given else None,
            "password_file": Path(path) if path else None,
        }

    def _ssl(self, mode: str | None, rootcert: str | None) -> dict[str, Any]:
        if mode and mode not in SSL_MODES:
            self.mistakes.append(f"DB_SSLMODE is {mode!r}; it is one of {', '.join(SSL_MODES)}")
        if mode in ("verify-ca", "verify-full") and not rootcert:
            self.mistakes.append(f"DB_SSLROOTCERT is not set, and DB_SSLMODE={mode} needs it: the CA's file")
        return {"sslmode": mode, "sslrootcert": rootcert}

    def _integer(self, name: str, default: int, least: int, most: int = 1_000_000) -> int:
        text = self.env.get(name)
        if text is None:
            return default
        if not text.isdigit() or not least <= int(text) <= most:
            self.mistakes.append(f"{name} is {text!r}; it is a whole number from {least} to {most}")
            return default
        return int(text)

    def _seconds(self, name: str, default: float) -> float:
        text = self.env.get(name)
        if text is None:
            return default
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            self.mistakes.append(f"{name} is {text!r}; it is a number of seconds, 0 or more")
            return default
        return seconds
