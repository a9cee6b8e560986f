"""Read the environment and report all mistakes at once, without values, because one may be a misplaced secret."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings.addresses import BadAddress, Host, read_host, read_hosts, read_port
from ringfence.runtime.settings.secret import Secret, invalid_text, named
from ringfence.runtime.settings.urls import TYPES, BadUrl, Url, read_url

# DB_TYPE -> the default port; None for a database that is a file and has neither host nor login.
DEFAULT_PORTS: Mapping[str, int | None] = {"postgresql": 5432, "mysql": 3306, "sqlite": None}
DB_TYPES = tuple(DEFAULT_PORTS)
SSL_MODES = ("disable", "require", "verify-ca", "verify-full")
_LONGEST_CONNECT = 3600.0  # seconds
_PLACE = ("DB_TYPE", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASS")
_READ = (
    *_PLACE,
    "DB_PASS_FILE",
    "DATABASE_URL",
    "DB_SSLMODE",
    "DB_SSLROOTCERT",
    "DB_CONNECT_TIMEOUT",
    "DB_POOL_SIZE",
    "DB_WORKERS",
    "DB_MAX_RETRIES",
    "DB_RETRY_DELAY",
    "DB_READY_TIMEOUT",
    "DB_TCP_TIMEOUT",
)


def _is_a_file(db_type: str) -> bool:
    return DEFAULT_PORTS.get(db_type) is None


class Environment:
    """Reads the fields of `Settings` from environment variables, and collects all mistakes.

    Args:
        env: the variables; empty ones count as not set.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = {name: env[name] for name in _READ if env.get(name)}
        self.mistakes: list[str] = []
        for name, value in self.env.items():
            if why := invalid_text(value):
                self.mistakes.append(f"{name} {why}")

    def read(self) -> dict[str, Any]:
        """Return the fields of `Settings`.

        Raises:
            BadSettings: there are mistakes; the message lists all, each with its variable and without its value.
        """
        self._complain()
        given = self._url() if "DATABASE_URL" in self.env else self._variables()
        given |= {
            "pool_size": self._integer("DB_POOL_SIZE", 10, least=1),
            "workers": self._integer("DB_WORKERS", 1, least=1),
            "max_retries": self._integer("DB_MAX_RETRIES", 5, least=0),
            "retry_delay": self._seconds("DB_RETRY_DELAY", 5.0),
            "ready_timeout": self._seconds("DB_READY_TIMEOUT", 300.0),
            "tcp_timeout": self._seconds("DB_TCP_TIMEOUT", 10.0, least=1.0, most=3600.0),
        }
        self._complain()
        return given

    def _complain(self) -> None:
        if self.mistakes:
            raise BadSettings(
                "the environment does not describe a database:\n  " + "\n  ".join(self.mistakes)
            )

    def _variables(self) -> dict[str, Any]:
        db_type = self.env.get("DB_TYPE", "")
        if not db_type:
            self.mistakes.append(f"DB_TYPE is not set; it is never guessed: one of {', '.join(DB_TYPES)}")
        elif db_type not in DB_TYPES:
            known = db_type in TYPES
            self.mistakes.append(
                f"DB_TYPE is {repr(db_type) if known else 'none of these'}; it is one of {', '.join(DB_TYPES)}"
                + (f"; write {TYPES[db_type]}" if known else "")
            )
        name = self.env.get("DB_NAME", "")
        if not name:
            what = "the path of the database file" if _is_a_file(db_type) else "the database's name"
            if db_type not in DB_TYPES:
                what = "the database's name, or the path of the SQLite file"
            self.mistakes.append(f"DB_NAME is not set: {what}")
        if _is_a_file(db_type):
            return {"db_type": db_type, "name": name}
        if "DB_USER" not in self.env:
            self.mistakes.append("DB_USER is not set: the login of this service's own account")
        return {
            "db_type": db_type,
            "name": name,
            "hosts": self._hosts(db_type),
            "user": self.env.get("DB_USER"),
            **self._password(self.env.get("DB_PASS")),
            **self._ssl({}),
            "connect_timeout": self._connect_timeout(),
        }

    def _url(self) -> dict[str, Any]:
        beside = sorted(set(_PLACE) & set(self.env))
        if beside and beside != ["DB_TYPE"]:
            self.mistakes.append(f"DATABASE_URL is set beside {', '.join(beside)}: set only one of them")
        try:
            url = read_url(self.env["DATABASE_URL"])
        except BadUrl as error:
            self.mistakes.extend(f"DATABASE_URL {mistake}" for mistake in error.mistakes)
            return {}
        if (said := self.env.get("DB_TYPE")) and said != url.db_type:
            self.mistakes.append(f"DB_TYPE is another than that of DATABASE_URL, which is {url.db_type}")
        if _is_a_file(url.db_type):
            if not url.name:
                self.mistakes.append(
                    "DATABASE_URL names no file: sqlite:///relative/path or sqlite:////absolute/path"
                )
            return {"db_type": url.db_type, "name": url.name}
        if not url.name:
            self.mistakes.append("DATABASE_URL names no database after the last slash")
        if not url.user:
            self.mistakes.append("DATABASE_URL names no user: the login of this service's own account")
        timeout = url.options.get("connect_timeout")
        if timeout is not None:
            self._agree("DB_CONNECT_TIMEOUT", "connect_timeout", timeout)
            self.env["DB_CONNECT_TIMEOUT"] = timeout
        return {
            "db_type": url.db_type,
            "name": url.name,
            "hosts": self._hosts_of(url),
            "user": url.user,
            **self._password(url.password),
            **self._ssl(url.options),
            "connect_timeout": self._connect_timeout(),
        }

    def _agree(self, variable: str, option: str, value: str | None) -> None:
        """Report a mistake if a variable and an option of DATABASE_URL are both given and differ."""
        if value is not None and self.env.get(variable, value) != value:
            self.mistakes.append(f"{variable} is another than DATABASE_URL's {option}: set only one of them")

    def _hosts(self, db_type: str) -> tuple[Host, ...]:
        port = self._integer("DB_PORT", DEFAULT_PORTS[db_type] or 0, least=1, most=65535)
        try:
            return read_hosts(self.env.get("DB_HOST", "localhost"), port)
        except BadAddress as error:
            self.mistakes.append(f"DB_HOST: {error}")
            return ()

    def _hosts_of(self, url: Url) -> tuple[Host, ...]:
        """Return the hosts of a URL, each with its own port, that of the option `port`, or the default port."""
        hosts = url.hosts or ["localhost"]
        ports = [read_port(text) for text in url.ports] or [DEFAULT_PORTS[url.db_type]]
        if None in ports:
            self.mistakes.append("DATABASE_URL has the option port, which is no number from 1 to 65535")
            return ()
        if len(ports) not in (1, len(hosts)):
            self.mistakes.append(f"DATABASE_URL has {len(hosts)} hosts and {len(ports)} ports in its options")
            return ()
        found = []
        for host, port in zip(hosts, ports * (len(hosts) // len(ports)), strict=True):
            one = read_host(host.strip(), port or 0)
            if isinstance(one, str):
                self.mistakes.append(f"DATABASE_URL has a host that cannot be read: {one}")
            elif url.ports and read_host(host.strip(), 0) != Host(one.host, 0):
                self.mistakes.append("DATABASE_URL has the option port beside a host with a port of its own")
            else:
                found.append(one)
        return tuple(found)

    def _password(self, password: str | None) -> dict[str, Any]:
        path = self.env.get("DB_PASS_FILE")
        if password and path:
            self.mistakes.append("DB_PASS_FILE is set beside a password: set only one of them")
        elif path and not _is_readable(path):
            self.mistakes.append(f"DB_PASS_FILE: {named(path)}cannot be read")
        return {
            "password": Secret(password) if password else None,
            "password_file": Path(path) if path else None,
        }

    def _ssl(self, options: Mapping[str, str]) -> dict[str, Any]:
        for variable, option in (("DB_SSLMODE", "sslmode"), ("DB_SSLROOTCERT", "sslrootcert")):
            self._agree(variable, option, options.get(option))
        mode = options.get("sslmode", self.env.get("DB_SSLMODE"))
        rootcert = options.get("sslrootcert", self.env.get("DB_SSLROOTCERT"))
        if mode and mode not in SSL_MODES:
            where = "DATABASE_URL's sslmode" if "sslmode" in options else "DB_SSLMODE"
            self.mistakes.append(f"{where} is none of {', '.join(SSL_MODES)}")
        elif mode in ("verify-ca", "verify-full") and not rootcert:
            self.mistakes.append(f"DB_SSLROOTCERT is not set, and DB_SSLMODE={mode} needs it: the CA's file")
        return {"sslmode": mode, "sslrootcert": rootcert}

    def _integer(self, name: str, default: int, least: int, most: int = 1_000_000) -> int:
        text = self.env.get(name)
        if text is None:
            return default
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1
        if not least <= number <= most:
            self.mistakes.append(f"{name} is no whole number from {least} to {most}")
            return default
        return number

    def _connect_timeout(self) -> float | None:
        if "DB_CONNECT_TIMEOUT" not in self.env:
            return None
        seconds = self._seconds("DB_CONNECT_TIMEOUT", 0.0)
        if not 0 < seconds <= _LONGEST_CONNECT:
            self.mistakes.append(f"DB_CONNECT_TIMEOUT is not above 0 and up to {_LONGEST_CONNECT:g} seconds")
        return seconds

    def _seconds(self, name: str, default: float, least: float = 0.0, most: float = float("inf")) -> float:
        text = self.env.get(name)
        if text is None:
            return default
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not least <= seconds <= most or seconds == float("inf"):
            limits = f", {least:g} or more" if most == float("inf") else f" from {least:g} to {most:g}"
            self.mistakes.append(f"{name} is no number of seconds{limits}")
            return default
        return seconds


def _is_readable(path: str) -> bool:
    try:
        return os.access(path, os.R_OK)
    except ValueError:  # a NUL in the path
        return False
