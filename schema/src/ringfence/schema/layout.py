"""Lay out a new deployment: files from the template, the first revision, and the mirrors."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import SchemaError
from ringfence.schema.revise import revise

NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*\Z")
_SUFFIX = ".in"
# What a packaged file cannot be called, or what depends on the deployment's name.
_CALLED = {"env": ".env", "env.example": ".env.example", "gitignore": ".gitignore"}

# The extra of both distributions that brings the driver of an engine.
EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql", "galera": "mysql"}


class BadName(SchemaError):
    """A deployment cannot be laid out under this name, or at this place."""


@dataclass(frozen=True)
class Layout:
    """A deployment that was just laid out, and the commands that bring it to life."""

    root: Path
    files: tuple[str, ...]
    commands: tuple[str, ...]


def lay_out(parent: Path, name: str, engines: Sequence[str]) -> Layout:
    """Write a new deployment into the folder `parent/name`.

    Args:
        parent: where the folder is made.
        name: of the deployment: lower-case letters, digits, and single - or _ between them.
        engines: those that its models and manifest are to be checked for; SQLite is always among them, for the
            first start and for scratch files.

    Raises:
        BadName: when the name will not do, or there is something at its place.
        RingfenceError: when the first revision cannot be made.
    """
    if not NAME.match(name) or len(name) > 40:
        raise BadName(
            f"{name!r} is no name for a deployment: at most 40 lower-case letters and digits, with single - or _"
        )
    root = parent / name
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise BadName(f"{root} is there already, and not empty: take another name, or another place with -C")
    package = f"{name.replace('-', '_')}_models"
    chosen = tuple(dict.fromkeys(["sqlite", *engines]))
    extras = sorted({EXTRAS[engine] for engine in chosen if engine in EXTRAS})
    words = {
        "@NAME@": name,
        "@PACKAGE@": package,
        "@ENGINES@": ", ".join(f'"{engine}"' for engine in chosen),
        "@SCHEMA_EXTRAS@": f"[{','.join(extras)}]" if extras else "",
        "@RUNTIME_EXTRAS@": ",".join(["flask", *extras]),
    }
    for path, source in _template(files("ringfence.schema") / "template"):
        target = root / path.replace("models/", f"{package}/", 1)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        target.write_text(text, encoding="utf-8")
    (root / "migrations" / "versions").mkdir(parents=True, exist_ok=True)
    revise(Deployment.load(root), "first tables", {})
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    written = sorted(str(path) for path in found if "__pycache__" not in path.parts)
    return Layout(
        root=root,
        files=tuple(written),
        commands=(
            f"cd {shlex.quote(str(root))}",
            *([] if find_spec("flask") else ["pip install -r requirements.txt"]),
            "set -a; . ./.env; set +a",
            "ringfence bootstrap",
            "flask --app web run",
        ),
    )


def _template(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """Each file of the template with its path in a deployment."""
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _template(item, f"{prefix}{item.name}/")
        elif item.name.endswith(_SUFFIX):
            name = item.name.removesuffix(_SUFFIX)
            yield f"{prefix}{_CALLED.get(name, name)}", item
