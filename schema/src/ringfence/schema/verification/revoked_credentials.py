"""Check that revoked credentials no longer log in."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ringfence.runtime.errors import AccessDenied, BadSettings, RingfenceError
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import is_a_file, offline, reach
from ringfence.schema.errors import BadDeployment, Mistake
from ringfence.schema.verification.proof import Finding


def must_fail(deployment: Deployment, settings: Settings, file: Path) -> list[Finding]:
    """Try to log in with each line of a file, `login:password`; blank lines and lines that begin with # are skipped.

    Args:
        deployment: its engines.
        settings: where the database is; the login in it is not used.
        file: the credentials; messages show the number of a line, and never its text.

    Returns:
        A finding `still-valid` for each login that still works, and `not-proven` for each that could not be tried.

    Raises:
        BadDeployment: the file cannot be read, or a line is not `login:password`.
        BadSettings: the database is a file, which has no logins.
    """
    if is_a_file(settings):
        raise BadSettings(f"{settings}: a file has no logins, so there are none to try")
    found = []
    for line, login, password in list(_credentials(file)):
        location = f"{file}:{line}"
        own = replace(settings, user=login, password=password, password_file=None, max_retries=0)
        try:
            if _still_valid(deployment, own, login, password):
                message = f"{location}: the server still accepts these credentials, which must be revoked"
                found.append(Finding("still-valid", login, login, None, None, (), message))
        except RingfenceError as error:
            message = f"{location}: could not be tried: {error}"
            found.append(Finding("not-proven", login, login, None, None, (), message))
    return found


def _still_valid(deployment: Deployment, settings: Settings, login: str, password: Secret) -> bool:
    try:
        reach(settings)
    except AccessDenied:
        # The login may work, and only the access to this database be denied.
        return offline(settings, deployment.engines).login_works(login, password)
    return True


def _credentials(file: Path) -> Iterator[tuple[int, str, Secret]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadDeployment([Mistake(str(file), None, f"cannot be read: {type(error).__name__}")]) from None
    mistakes = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        login, colon, password = line.partition(":")
        if login and colon and password:
            yield number, login, Secret(password)
        else:
            mistakes.append(Mistake(str(file), number, "is not `login:password`"))
    if mistakes:
        raise BadDeployment(mistakes)
