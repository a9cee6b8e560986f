"""Runs git, the one program that this side starts: it gets no variable that may hold a secret."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

# What git needs to run, to find its configuration, and to fetch what a partial clone left behind. A deployment names
# the variables of its secrets as it likes, so all others are kept from it.
_KEPT = frozenset(
    "PATH HOME USER LOGNAME USERPROFILE SYSTEMROOT TMPDIR TEMP TMP LANG LANGUAGE TZ LD_LIBRARY_PATH SSH_AUTH_SOCK "
    "SSL_CERT_FILE SSL_CERT_DIR HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY".split()
)
_KEPT_FAMILIES = ("GIT_", "LC_", "XDG_")
_NEVER = ("_PASS", "_PASS_FILE")
"""How the variables of secrets end: those of a service that is called `git-hooks` begin like Git's own."""


def child_environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that a child process gets.

    Args:
        env: the variables to choose from; the process's own when None.

    Returns:
        Name -> value: what Git needs, and nothing whose name may be that of a deployment's secret.
    """
    given = os.environ if env is None else env
    return {
        name: value
        for name, value in given.items()
        if name.upper() in _KEPT or (name.startswith(_KEPT_FAMILIES) and not name.endswith(_NEVER))
    }


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in a folder, whatever it exits with.

    Args:
        root: the folder.
        arguments: of git, the verb first.

    Returns:
        Its exit code, and what it wrote, as text.

    Raises:
        OSError: git cannot be run.
        UnicodeDecodeError: what it gives is no UTF-8 text.
    """
    return subprocess.run(
        ["git", *arguments],
        cwd=root,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
