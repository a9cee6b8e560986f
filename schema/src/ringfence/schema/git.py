"""Runs git, the only program that the admin side starts, without environment variables that may hold a secret."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

# What git needs to run, to find its configuration, and to fetch the objects that a partial clone lacks. A deployment
# chooses the names of its secrets' variables freely, so this is a list of what is allowed, not of what is forbidden.
_KEPT = frozenset(
    "PATH HOME USER LOGNAME USERPROFILE SYSTEMROOT TMPDIR TEMP TMP LANG LANGUAGE TZ LD_LIBRARY_PATH SSH_AUTH_SOCK "
    "SSL_CERT_FILE SSL_CERT_DIR HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY".split()
)
_KEPT_FAMILIES = ("GIT_", "LC_", "XDG_")
_NEVER = ("_PASS", "_PASS_FILE")
"""The suffixes of password variables; those of a service named `git-hooks` would begin with GIT_ like Git's own."""


def child_environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Choose the environment variables that a child process gets.

    Args:
        env: the variables to choose from; None means those of this process.

    Returns:
        Name -> value: what Git needs, and no variable whose name a deployment may use for a secret.
    """
    given = os.environ if env is None else env
    return {
        name: value
        for name, value in given.items()
        if name.upper() in _KEPT or (name.startswith(_KEPT_FAMILIES) and not name.endswith(_NEVER))
    }


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in a folder; an exit code other than 0 raises nothing.

    Args:
        root: the working directory.
        arguments: git's arguments, beginning with the subcommand.

    Returns:
        The exit code, and what git wrote to stdout and stderr as text.

    Raises:
        OSError: git cannot be run.
        UnicodeDecodeError: the output is not UTF-8.
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
