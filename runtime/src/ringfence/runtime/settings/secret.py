"""Secrets that are not shown by accident, and files that contain a secret."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ringfence.runtime.errors import BadSettings


class Secret:
    """A string that only `reveal` returns, so that it appears in no repr, log or traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the string."""
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
    """A user name and its password; None where there is none."""

    user: str | None
    password: Secret | None


Credentials = Callable[[], Login | str]
"""Returns the current login, or only the password. It is called often, so it must not block, and must return an equal
result as long as the credentials have not changed."""


def without_urls(text: str, arguments: Iterable[str]) -> str:
    """Mask the URLs of the command line in a message, because they may contain passwords.

    Args:
        text: the message.
        arguments: the arguments of the command line.
    """
    for argument in arguments:
        for given in (argument, argument.partition("=")[2]):
            scheme, found, rest = given.partition("://")
            if found and rest:
                for form in (given, repr(given)[1:-1]):
                    text = text.replace(form, f"{scheme if scheme.isalnum() else 'URL'}://***")
    return text


def invalid_text(text: str) -> str | None:
    """Return why no database accepts this text, without showing any of it; None if it is acceptable."""
    if "\0" in text:
        return "holds a NUL character, which no database accepts"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "holds bytes that are no UTF-8 text"
    return None


def read_secret(variable: str, path: str | Path) -> Secret:
    """Read a secret from a file, without line ends at its end.

    Args:
        variable: the variable that names the file, for the error.
        path: the file. An error shows it only if it cannot be the password itself, set in the wrong variable.

    Raises:
        BadSettings: the file cannot be read, or is no UTF-8 text. Neither the error nor its cause contains any of the
            file's content.
    """
    octets, why = _octets(path)
    text = None if octets is None else _text(octets)
    if text is not None and "\0" in text:
        text, why = None, "it holds a NUL character, which no database accepts"
    if text is None:
        raise BadSettings(f"{variable}: {named(path)}{why}")
    return Secret(text.rstrip("\r\n"))


def named(path: str | Path) -> str:
    """Return `path: ` for an error message, if it looks like a real path; otherwise a hint at the usual mistake.

    A path looks real if it is absolute and it, or its folder, exists; anything else may be the password itself.
    """
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
