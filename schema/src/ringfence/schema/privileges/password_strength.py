"""Find weak passwords: short ones, placeholders, the login itself, and one password for two accounts."""

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings import Secret
from ringfence.schema.deployment import Deployment
from ringfence.schema.grants.passwords import is_verifier, matches_verifier
from ringfence.schema.manifest.model import Account

SHORTEST = 12
"""The minimum length of a password, in characters."""
ENVIRONMENT = "RINGFENCE_ENV"
"""The variable that names the environment: development, test, production."""
_RARE = 5  # the minimum number of distinct characters
_REST = 8  # the minimum number of letters and digits left after known words are removed
# Typical placeholders and common passwords. Whole words, because a random password contains one only by chance.
_WORDS = (
    *(
        "changeme",
        "changeit",
        "change",
        "replaceme",
        "replace",
        "placeholder",
        "fixme",
        "todo",
        "example",
        "sample",
    ),
    *(
        "password",
        "passwort",
        "passwd",
        "pass",
        "secret",
        "geheim",
        "letmein",
        "welcome",
        "default",
        "dummy",
        "test",
    ),
    *(
        "admin",
        "administrator",
        "root",
        "postgres",
        "mysql",
        "mariadb",
        "database",
        "service",
        "user",
        "guest",
    ),
    *(
        "qwertyuiop",
        "qwerty",
        "asdfghjkl",
        "asdfgh",
        "zxcvbnm",
        "abc123",
        "iloveyou",
        "correcthorsebatterystaple",
    ),
    *("your", "here", "development", "production", "staging"),
)
_LEET = str.maketrans("013457@$!", "oieastasi")
_GUESSES = ("changeme", "password", "secret", "postgres")


class WeakPasswords(BadSettings):
    """At least one password can be guessed or is used for more than one account; nothing was changed."""


def refuse_weak(
    deployment: Deployment,
    passwords: Mapping[str, Secret],
    admin: str | None,
    env: Mapping[str, str] | None = None,
    *,
    allow: bool = False,
) -> None:
    """Raise an error if any password is weak.

    Args:
        deployment: its accounts, and the environments in which weak passwords may be allowed.
        passwords: login -> password.
        admin: the admin's own password, which no service may use.
        env: the environment variables; the process's own when None.
        allow: whether to accept weak passwords, if the deployment allows that in this environment.

    Raises:
        WeakPasswords: a password is weak; the message lists all of them and shows no password.
        BadSettings: `allow` is set, and the deployment does not allow weak passwords in this environment.
    """
    if allow:
        _see_legal(deployment, (os.environ if env is None else env).get(ENVIRONMENT))
    elif found := weaknesses(deployment, passwords, admin):
        legal = (
            f"; in {', '.join(deployment.allow_weak)}, --allow-weak takes them"
            if deployment.allow_weak
            else ""
        )
        raise WeakPasswords(
            f"no account was changed, for these passwords protect nothing; `ringfence secrets generate DIR` makes"
            f" better ones{legal}:\n  " + "\n  ".join(found)
        )


def _see_legal(deployment: Deployment, environment: str | None) -> None:
    if environment is not None and environment in deployment.allow_weak:
        return
    where = ", ".join(deployment.allow_weak)
    reasons = f"{ENVIRONMENT} is {environment!r}" if environment else f"{ENVIRONMENT} is not set"
    allowed = f"allows it in {where} alone" if where else 'allows it nowhere (`allow_weak = ["development"]`)'
    raise BadSettings(f"--allow-weak is not allowed here: {reasons}, and ringfence.toml {allowed}")


def weaknesses(deployment: Deployment, passwords: Mapping[str, Secret], admin: str | None) -> list[str]:
    """Describe the weak passwords, one line for each account.

    Args:
        deployment: its accounts.
        passwords: login -> password; accounts without an entry are skipped.
        admin: the admin's own password.

    Returns:
        The lines; no password is in them.
    """
    accounts = [account for account in deployment.accounts.values() if account.login in passwords]
    first: dict[str, Account] = {}
    found = []
    for account in accounts:
        password = passwords[account.login].reveal()
        owner = first.setdefault(password, account)
        reasons = list(_weak(password, (account.login, account.service, deployment.name)))
        if admin and _same(password, admin):
            reasons.append("is the admin's own")
        if owner is not account:
            reasons.append(f"is that of {owner.service} too")
        if reasons:
            found.append(
                f"{account.variable} {', and '.join(reasons)} (account {account.service}, {account.origin})"
            )
    return found


def _weak(password: str, names: Sequence[str]) -> Iterator[str]:
    if is_verifier(password):
        # A verifier (a password hash) can only be checked against likely guesses.
        if any(matches_verifier(guess, password) for guess in (*names, *_GUESSES)):
            yield "was made from a placeholder, or from a name of the account"
        return
    if len(password) < SHORTEST:
        yield f"is shorter than {SHORTEST} characters"
    if len(set(password)) < _RARE or _runs(password):
        yield "repeats or counts a few characters"
    elif _is_words(password, names):
        yield "is a placeholder, or made of well-known names"


def _same(password: str, admin: str) -> bool:
    return matches_verifier(admin, password) if is_verifier(password) else password == admin


def _runs(password: str) -> bool:
    """Whether most neighbouring characters are equal or adjacent in code, as in 123456789012."""
    steps = [ord(after) - ord(before) for before, after in itertools.pairwise(password)]
    return sum(abs(step) <= 1 for step in steps) * 2 > len(steps)


def _is_words(password: str, names: Sequence[str]) -> bool:
    """Whether too little is left without known words, which are also found when digits replace letters (`p4ssw0rd`)."""
    parts = {part for name in names for part in (name, *re.split(r"[^A-Za-z0-9]+", name)) if len(part) > 2}
    words = sorted({_plain(word) for word in (*_WORDS, *parts)}, key=len, reverse=True)
    for text in (_plain(password), _plain(password.translate(_LEET))):
        rest = text
        for word in words:
            rest = rest.replace(word, " ")
        if rest != text and len(re.sub(r"[\s]|\d{1,4}$", "", rest)) < _REST:
            return True
    return False


def _plain(text: str) -> str:
    """Return the letters and digits of the text, in lower case."""
    return "".join(c for c in text.casefold() if c.isalnum())
