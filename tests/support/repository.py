"""What is in the repository: its files, its Python, its imports. For the tests of the architecture."""

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "runtime/src", ROOT / "schema/src")
_GENERATED = {".venv", ".venv-bench", ".git", "__pycache__", "build", "dist", ".hypothesis"}


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file that is, or would be, committed; without git, every file that no tool made."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
        return tuple(path for path in (ROOT / name for name in sorted(set(names))) if path.is_file())
    return tuple(path for path in ROOT.rglob("*") if path.is_file() and not _GENERATED & set(path.parts))


def python(*folders: Path) -> list[Path]:
    """The Python files below the given folders, or below the root."""
    below = folders or (ROOT,)
    return [path for path in files() if path.suffix == ".py" and any(path.is_relative_to(f) for f in below)]


@functools.cache
def tree(path: Path) -> ast.Module:
    """A file, parsed."""
    return ast.parse(path.read_text(), filename=str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the full name of each import in a file, those inside functions included."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def blocks(text: str, language: str = "python") -> list[str]:
    """The code of a page in this language, block by block."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def place(path: Path, line: int = 0) -> str:
    """How a finding names its place: file:line, from the root."""
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))
