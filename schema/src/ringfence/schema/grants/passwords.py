"""The sources of the accounts' passwords, and the stored forms of passwords on PostgreSQL and MariaDB."""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings.secret import Secret, invalid_text, read_secret
from ringfence.schema.manifest.model import Account, PasswordSource

_ITERATIONS = 4096  # what PostgreSQL itself uses
_RANDOM_BYTES = 24
_VERIFIER = re.compile(r"SCRAM-SHA-256\$\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}")


class MissingPasswords(BadSettings):
    """The password of at least one account is missing, empty, given twice or unreadable."""


def from_environment(
    accounts: Iterable[Account],
    env: Mapping[str, str] | None = None,
    source: PasswordSource | None = None,
    root: Path = Path(),
) -> dict[str, Secret]:
    """Read the password of each login from `<SERVICE>_DB_PASS`, or from the file that `<SERVICE>_DB_PASS_FILE` names.

    Where neither is set, it comes from the manifest's source under `passwords:`.

    Args:
        accounts: The accounts that need a password.
        env: The environment; that of the process when None.
        source: The manifest's source of passwords.
        root: The deployment's folder, to which the source's folder is relative.

    Returns:
        login -> password.

    Raises:
        MissingPasswords: Variables or files are missing, empty, given twice or unreadable; the message lists all.
    """
    given = os.environ if env is None else env
    found: dict[str, Secret] = {}
    mistakes = []
    held = _held(source, given)
    for account in accounts:
        if source is None or any(given.get(f"{account.variable}{form}") for form in ("", "_FILE")):
            value = _read(account.variable, given)
        elif source.folder:
            value = _read(
                account.variable,
                {f"{account.variable}_FILE": str(root / source.folder / source.file(account))},
            )
        else:
            value = _read(
                account.variable, {account.variable: held.get(account.login) or held.get(account.service, "")}
            )
        if isinstance(value, Secret):
            found[account.login] = value
        else:
            mistakes.append(f"{value} (account {account.service}, {account.origin})")
    if mistakes:
        raise MissingPasswords(
            "the accounts' passwords are incomplete; `ringfence secrets generate DIR` makes a first set:\n  "
            + "\n  ".join(mistakes)
        )
    return found


def _held(source: PasswordSource | None, env: Mapping[str, str]) -> dict[str, str]:
    """Read the JSON object that the source's variable holds.

    Raises:
        MissingPasswords: It is not such an object; the message shows nothing of its content.
    """
    if source is None or source.variable is None:
        return {}
    text = env.get(source.variable) or env.get(f"{source.variable}_FILE")
    if not text:
        return {}
    read = _read(source.variable, env)
    if isinstance(read, str):
        raise MissingPasswords(read)
    try:
        found = json.loads(read.reveal())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise MissingPasswords(f"{source.variable}: is no JSON object of texts, login -> password")
    return found


def given(
    accounts: Iterable[Account],
    env: Mapping[str, str] | None = None,
    source: PasswordSource | None = None,
) -> bool:
    """Return whether the environment, or the manifest's source, may have the password of any of these accounts.

    Args:
        accounts: The accounts.
        env: The environment; that of the process when None.
        source: The manifest's source of passwords.
    """
    known = os.environ if env is None else env
    if source is not None and (source.folder or _held(source, known)):
        return True
    return any(known.get(f"{account.variable}{form}") for account in accounts for form in ("", "_FILE"))


def _read(variable: str, env: Mapping[str, str]) -> Secret | str:
    """Return the password, or a text that says what is wrong."""
    value, path = env.get(variable), env.get(f"{variable}_FILE")
    if value and path:
        return f"{variable} and {variable}_FILE are both set: set only one of them"
    if path:
        try:
            value = read_secret(f"{variable}_FILE", path).reveal()
        except BadSettings as error:
            return str(error)
        if not value:
            return f"{variable}_FILE: {path}: is empty"
    if not value:
        return f"neither {variable} nor {variable}_FILE is set"
    if why := invalid_text(value):
        return f"{variable}: {why}"
    return Secret(value)


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """A file with one account's password, and the variable that names the file to the job."""

    service: str
    variable: str
    path: Path
    new: bool
    """Whether the file was written now."""


def generate(accounts: Iterable[Account], folder: Path) -> list[PasswordFile]:
    """Write a random password for each account to a file of its own (mode 0600) in a folder (mode 0700).

    A file that exists is left as it is.

    Args:
        accounts: The accounts.
        folder: The folder, which is created where it does not exist.

    Raises:
        BadSettings: The folder or a file cannot be written, belongs to another user, or is open to others.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _see_private(folder, folder.stat(), stat.S_ISDIR, 0o022)
        return [_generate(account, folder / account.variable.lower()) for account in accounts]
    except OSError as error:
        raise BadSettings(f"{error.filename or folder}: {error.strerror}") from error


def _generate(account: Account, path: Path) -> PasswordFile:
    variable = f"{account.variable}_FILE"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = path.lstat()
        _see_private(path, found, stat.S_ISREG, 0o077)
        if not found.st_size:
            raise BadSettings(f"{path}: is empty; remove it, and it is created again") from None
        return PasswordFile(account.service, variable, path, new=False)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(_RANDOM_BYTES) + "\n")
    return PasswordFile(account.service, variable, path, new=True)


def _see_private(path: Path, found: os.stat_result, of_kind: Callable[[int], bool], others: int) -> None:
    """Check that others can neither read nor replace what is stored at a path.

    Args:
        path: The file or folder.
        found: Its status.
        of_kind: The test for the kind of file that it must be.
        others: The bits of the mode that must not be set.

    Raises:
        BadSettings: They can.
    """
    mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
    if not of_kind(found.st_mode):
        raise BadSettings(f"{path}: is no ordinary file or folder; remove it, and it is created again")
    if found.st_uid != os.geteuid():
        raise BadSettings(f"{path}: belongs to another user, who may know what is in it; remove it")
    if found.st_mode & others:
        raise BadSettings(
            f"{path}: is open to others (mode {stat.S_IMODE(found.st_mode):o}): chmod {mode} {path}"
        )


def scram_verifier(password: str, salt: bytes | None = None, iterations: int = _ITERATIONS) -> str:
    """Return the `SCRAM-SHA-256$…` form of a password (RFC 5803), which PostgreSQL stores unchanged.

    With it, no statement holds the password, and so no statement log does. A verifier in place of a password is
    returned unchanged.

    Args:
        password: A password, or a verifier.
        salt: The salt; a random one when None.
        iterations: The number of iterations.
    """
    if salt is None and is_verifier(password):
        return password
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{text[0]}${text[1]}:{text[2]}"


def is_verifier(password: str) -> bool:
    """Return whether a text is a SCRAM verifier, and not a password."""
    return bool(_VERIFIER.fullmatch(password))


def matches_verifier(password: str, verifier: str) -> bool:
    """Return whether a stored verifier was made from this password, by computing it again with the stored salt."""
    if is_verifier(password):
        return hmac.compare_digest(password, verifier)
    try:
        method, parameters, _ = verifier.split("$")
        count, salt = parameters.split(":")
        if method != "SCRAM-SHA-256":
            return False
        again = scram_verifier(password, base64.b64decode(salt), int(count))
    except ValueError:
        return False
    return hmac.compare_digest(again, verifier)


def _prepared(password: str) -> bytes:
    """Apply SASLprep (RFC 4013); like PostgreSQL, use the plain bytes where a password does not allow it."""
    if password.isascii():
        return password.encode()
    import stringprep
    import unicodedata

    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c)
    )
    text = unicodedata.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_a1,
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    if not text or any(check(c) for c in text for check in prohibited) or not _directions_agree(text):
        return password.encode()
    return text.encode()


def _directions_agree(text: str) -> bool:
    """Return whether a text meets the rules of RFC 3454 for text in both directions."""
    import stringprep

    if not any(stringprep.in_table_d1(c) for c in text):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(stringprep.in_table_d2(c) for c in text)


def mariadb_hash(password: str) -> str:
    """Return the form in which MariaDB's mysql_native_password stores a password, so that no plain text is sent."""
    inner = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()
