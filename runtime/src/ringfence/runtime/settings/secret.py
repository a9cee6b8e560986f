"""Secrets that show themselves only when asked, and files that hold one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ringfence.runtime.errors import BadSettings


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
class Login:
    """Who logs in, and with what."""

    user: str | None
    password: Secret | None


Credentials = Callable[[], Login | str]
"""Gives the login as it is now, or the password alone. It is asked often: it answers at once, and the same for as long
as the credentials hold."""


def without_urls(text: str, arguments: Iterable[str]) -> str:
    """A message in which no URL of the command line stands whole: it may hold a password.

    Args:
        text: the message.
        arguments: the command line.
    """
    for argument in arguments:
        for given in (argument, argument.partition("=")[2]):
            scheme, found, rest = given.partition("://")
            if found and rest:
                for form in (given, repr(given)[1:-1]):
                    text = text.replace(form, f"{scheme if scheme.isalnum() else 'URL'}://***")
    return text


def unfit(text: str) -> str | None:
    """Why no database takes this text, in words that hold nothing of it; None where there is no reason."""
    if "\0" in text:
        return "holds a NUL character, which no database accepts"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "holds bytes that are no UTF-8 text"
    return None


def read_secret(variable: str, path: str | Path) -> Secret:
    """What a file holds, less the line ends at its end.

    Args:
        variable: which one names the file, for the error.
        path: the file. It is shown only where it cannot be the password itself, given in the wrong variable.

    Raises:
        BadSettings: the file cannot be read, or holds no text. Nothing of its content is in the error, nor in what the
            error was raised from.
    """
    octets, why = _octets(path)
    text = None if octets is None else _text(octets)
    if text is not None and "\0" in text:
        text, why = None, "it holds a NUL character, which no database accepts"
    if text is None:
        raise BadSettings(f"{variable}: {named(path)}{why}")
    return Secret(text.rstrip("\r\n"))


def named(path: str | Path) -> str:
    """`path: ` for an error, where something is found at it or beside it; else a guess at the usual slip."""
    shown = Path(path)
    try:
        known = shown.is_absolute() and (
            shown.exists() or (shown.parent != Path(shown.anchor) and shown.parent.is_dir())
        )
    except (OSError, ValueError):
        known = False
    return f"{shown}: " if known else "no file of that name (is it the password itself?): "


def _octets(path: str | Path) -> tuple[bytes | None, str]:
    try:
        return Path(path).read_bytes(), "it is no UTF-8 text"
    except OSError as error:
        return None, error.strerror or type(error).__name__
    except ValueError:  # a NUL in the path
        return None, "no file can have that name"


def _text(octets: bytes) -> str | None:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return None
