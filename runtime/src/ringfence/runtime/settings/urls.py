"""Parse DATABASE_URL; error messages show no part of it, because a password may be anywhere in a malformed URL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from ringfence.runtime.settings.addresses import read_host

FORM = "TYPE://USER:PASSWORD@HOST:PORT/NAME"
TYPES: Mapping[str, str] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "galera": "mysql",
    "sqlite": "sqlite",
}
"""Scheme of a URL -> DB_TYPE."""

_COMMON = {"host": "host", "port": "port", "user": "user", "password": "password"} | {
    name: name for name in ("sslmode", "sslrootcert", "connect_timeout")
}
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "postgresql": _COMMON
    | {
        "dbname": "name",
        "client_encoding": "client_encoding",
        "target_session_attrs": "target_session_attrs",
    },
    "mysql": _COMMON
    | {"unix_socket": "host", "socket": "host", "database": "name", "charset": "charset"}
    | {"ssl_mode": "sslmode", "ssl-mode": "sslmode", "ssl_ca": "sslrootcert", "ssl-ca": "sslrootcert"},
    "sqlite": {},
}
"""DB_TYPE -> option of a URL, as libpq or MySQL's clients name it -> the part or setting that it gives."""

_ALWAYS = {"client_encoding": "utf8", "charset": "utf8mb4", "target_session_attrs": "read-write"}
"""Options that are accepted only with the value that Ringfence uses anyway."""

_MODES = {
    "DISABLED": "disable",
    "REQUIRED": "require",
    "VERIFY_CA": "verify-ca",
    "VERIFY_IDENTITY": "verify-full",
}
"""Value of MySQL's ssl-mode -> DB_SSLMODE."""

_WHY_NOT = {
    "application_name": "Ringfence names its connections itself, by service and revision",
    "program_name": "Ringfence names its connections itself, by service and revision",
    "passfile": "write DB_PASS_FILE",
}
_SHOWN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")
"""Names of options that an error may show; anything else may be a part of a password."""


@dataclass(slots=True)
class Url:
    """The parts of a URL, percent-decoded; None or empty where the URL does not have them."""

    db_type: str
    name: str | None = None
    hosts: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    user: str | None = None
    password: str | None = None
    options: dict[str, str] = field(default_factory=dict)


class BadUrl(ValueError):
    """A URL is wrong; `mistakes` lists everything that was found."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


def read_url(text: str) -> Url:
    """Parse a URL.

    Raises:
        BadUrl: the URL is wrong. The messages show no part of it but names of options, and these only if the part
            before the options is complete.
    """
    head, found, rest = text.partition("://")
    if not found:
        raise BadUrl(f"is no URL: {FORM}, or sqlite:///path")
    db_type = TYPES.get(head.partition("+")[0].lower())
    if db_type is None:
        raise BadUrl(f"begins with none of {', '.join(TYPES)}")
    before, _, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    if why := _suspicious(rest, authority, path, query, a_file=not _OPTIONS[db_type]):
        raise BadUrl(why)
    url = Url(db_type, _decoded(path, "the name of the database") if slash else None)
    login, at, address = authority.rpartition("@")
    user, colon, password = login.partition(":")
    if at:
        url.user = _decoded(user, "the user")
        url.password = _decoded(password, "the password") if colon else None
    if address:
        url.hosts = [_decoded(item, "the host") for item in address.split(",")]
    for item in url.hosts:
        if isinstance(wrong := read_host(item, 1), str):
            raise BadUrl(f"has a host that cannot be read: {wrong}")
    whole = bool(url.name and (url.user or not _OPTIONS[db_type]))
    mistakes = _read_options(url, query, _SHOWN if whole else None)
    if mistakes:
        raise BadUrl(*mistakes)
    return url


def _suspicious(rest: str, authority: str, path: str, query: str, *, a_file: bool) -> str | None:
    """Return a message if a character looks like part of a password or name that was not percent-encoded."""
    if any(character < " " or character == "\x7f" for character in rest):
        return (
            "holds a control character, such as a line end: in a password it is written with a percent sign"
        )
    if "#" in rest:
        return "holds a #: in a password or a name it is written %23"
    if a_file and authority:
        return "names a host, and a file has none: sqlite:///relative/path or sqlite:////absolute/path"
    if not a_file and ("@" in path or "@" in query):
        return "holds an @ after its host: in a password / is written %2F, ? %3F and @ %40"
    if not a_file and "/" in path:
        return "holds a second / after its host: in a password or a name it is written %2F"
    return None


def _decoded(text: str, what: str) -> str:
    """Percent-decode a part of the URL.

    Raises:
        BadUrl: a percent sign is no valid escape, or the result is no UTF-8 text.
    """
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise BadUrl(f"has a percent sign in {what} that stands for itself: it is written %25")
    octets = unquote_to_bytes(text)
    decoded = octets.decode(errors="replace")
    if decoded.encode() != octets or "\0" in decoded:
        raise BadUrl(f"has a percent sign in {what} that stands for no character")
    return decoded


def _read_options(url: Url, query: str, shown: re.Pattern[str] | None) -> list[str]:
    """Read the options after the question mark into `url`, and return the mistakes.

    Args:
        url: gets the values.
        query: the options.
        shown: matches names that an error may show; None if the URL is incomplete, so that a name may be a password.
    """
    suspect = False  # after a possible password: an unencoded & in it makes its rest look like an option

    def known_as(name: str) -> str:
        may = shown is not None and not suspect and shown.fullmatch(name)
        return f"the option {name}" if may else "an option"

    mistakes = []
    for part in filter(None, query.split("&")):
        name, equals, given = part.partition("=")
        if not equals or not given:
            mistakes.append(f"has {known_as(name) if equals else 'an option'} without a value: name=value")
            continue
        means = _OPTIONS[url.db_type].get(name)
        value = _decoded(given, "the value of an option")
        if means is None:
            takes = ", ".join(_OPTIONS[url.db_type]) or "none"
            why = _WHY_NOT.get(name, f"leave it out; the options it may have are {takes}")
            mistakes.append(f"has {known_as(name)}, which Ringfence does not take: {why}")
        elif wrong := _take(url, means, value):
            mistakes.append(f"has the option {name}, {wrong}")
        suspect = suspect or means in (None, "password")
    return mistakes


def _take(url: Url, means: str, value: str) -> str | None:
    """Store the value of one option in `url`; returns a message, without the value, if that is not possible."""
    if means in _ALWAYS:
        same = value.lower().replace("utf-8", "utf8") == _ALWAYS[means]
        return None if same else f"and Ringfence always has {_ALWAYS[means]} for it: leave it out"
    if means == "host":
        known, url.hosts = bool(url.hosts), value.split(",")
    elif means == "port":
        known, url.ports = bool(url.ports), value.split(",")
    elif means in ("user", "password", "name"):
        known = bool(getattr(url, means))
        setattr(url, means, value)
    else:
        known = means in url.options
        url.options[means] = _MODES.get(value.upper(), value) if means == "sslmode" else value
    return "and sets that elsewhere too: set it once" if known else None
