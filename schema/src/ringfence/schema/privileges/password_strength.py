"""Passwords that protect nothing: short ones, placeholders, the login itself, and one for two accounts."""

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
"""Characters that a password has at least."""
ENVIRONMENT = "RINGFENCE_ENV"
"""The variable that says which environment this is: development, test, production."""
_RARE = 5  # characters that are not the same as another
_REST = 8  # letters and digits that no known word gives
# What people write where a password is to come. Whole words: a random text holds none of them but by chance.
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
    """At least one password could be guessed, or opens more than one account; nothing was changed."""


def refuse_weak(
    deployment: Deployment,
    passwords: Mapping[str, Secret],
    admin: str | None,
    env: Mapping[str, str] | None = None,
    *,
    allow: bool = False,
) -> None:
    """Refuse passwords that protect nothing.

    Args:
        deployment: its accounts, and the environments in which weak ones may be allowed.
        passwords: login -> password.
        admin: the admin's own password, which no service may have.
        env: the variables; the process's own when None.
        allow: whether weak ones are to be let through, where the deployment says that this is legal.

    Raises:
        WeakPasswords: with everything that is wrong; no password is shown.
        BadSettings: when weak ones are to be let through, and this is no environment for it.
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
            f"no account was touched, for these passwords protect nothing; `ringfence secrets generate DIR` makes"
            f" better ones{legal}:\n  " + "\n  ".join(found)
        )


def _see_legal(deployment: Deployment, environment: str | None) -> None:
    if environment is not None and environment in deployment.allow_weak:
        return
    where = ", ".join(deployment.allow_weak)
    told = f"{ENVIRONMENT} is {environment!r}" if environment else f"{ENVIRONMENT} is not set"
    allowed = f"allows it in {where} alone" if where else 'allows it nowhere (`allow_weak = ["development"]`)'
    raise BadSettings(f"--allow-weak is not legal here: {told}, and ringfence.toml {allowed}")


def weaknesses(deployment: Deployment, passwords: Mapping[str, Secret], admin: str | None) -> list[str]:
    """What is wrong with the passwords, a line for each account; no password is in it."""
    accounts = [account for account in deployment.accounts.values() if account.login in passwords]
    first: dict[str, Account] = {}
    found = []
    for account in accounts:
        password = passwords[account.login].reveal()
        owner = first.setdefault(password, account)
        told = list(_weak(password, (account.login, account.service, deployment.name)))
        if admin and _same(password, admin):
            told.append("is the admin's own")
        if owner is not account:
            told.append(f"is that of {owner.service} too")
        if told:
            found.append(
                f"{account.variable} {', and '.join(told)} (account {account.service}, {account.origin})"
            )
    return found


def _weak(password: str, names: Sequence[str]) -> Iterator[str]:
    if is_verifier(password):
        # Of a verifier one can only ask whether it was made from what everybody would try first.
        if any(matches_verifier(guess, password) for guess in (*names, *_GUESSES)):
            yield "was made from a placeholder, or from a name of the account"
        return
    if len(password) < SHORTEST:
        yield f"is shorter than {SHORTEST} characters"
    if len(set(password)) < _RARE or _runs(password):
        yield "repeats or counts a few characters"
    elif _is_words(password, names):
        yield "is a placeholder, or made of names that everybody knows"


def _same(password: str, admin: str) -> bool:
    return matches_verifier(admin, password) if is_verifier(password) else password == admin


def _runs(password: str) -> bool:
    """Whether it counts up or down for most of its length, as in 123456789012."""
    steps = [ord(after) - ord(before) for before, after in itertools.pairwise(password)]
    return sum(abs(step) <= 1 for step in steps) * 2 > len(steps)


def _is_words(password: str, names: Sequence[str]) -> bool:
    """Whether too little is left of it without the words that everybody would try, also when written with digits."""
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
    """Letters and digits alone, small."""
    return "".join(c for c in text.casefold() if c.isalnum())
