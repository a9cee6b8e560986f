"""Runs the type checkers of this environment over a folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from support.repository import ROOT

Found = set[tuple[str, int, str]]
"""File, line and code of each error."""

_MYPY = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): error: .*\[(?P<code>[a-z-]+)\]$")


def mypy(folder: Path, *files: str) -> Found:
    """Return the errors of mypy in strict mode; its cache is beside the folder, for the next one."""
    command = [
        *(sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", "--namespace-packages"),
        *("--no-error-summary", "--no-pretty", "--hide-error-context", "--config-file", os.devnull),
        *("--python-version", "3.11", "--cache-dir", str(folder.parent / "mypy_cache")),
    ]
    ran = _run([*command, *files], folder)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    found: Found = set()
    for line in ran.stdout.splitlines():
        if match := _MYPY.match(line):
            found.add((match["file"], int(match["line"]), match["code"]))
        else:
            assert " note: " in line, line
    return found


def pyright(folder: Path, *files: str) -> Found:
    """Return the errors of pyright in strict mode, as basedpyright runs it with its own Node.js."""
    settings = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(ROOT / "runtime/src")],
        "reportUnusedExpression": False,  # an attribute that is only looked at
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = ["basedpyright", "--outputjson", "--level", "error", "--pythonpath", sys.executable]
    ran = _run([str(Path(sys.executable).with_name(command[0])), *command[1:], *files], folder)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    found: Found = set()
    for error in json.loads(ran.stdout)["generalDiagnostics"]:
        file = Path(error["file"]).relative_to(folder.resolve())
        found.add((str(file), error["range"]["start"]["line"] + 1, error["rule"]))
    return found


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "MYPYPATH": str(ROOT / "runtime/src")}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
