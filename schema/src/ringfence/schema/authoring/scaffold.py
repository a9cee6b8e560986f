"""Create the folder of a new deployment: files from the template, the first revision, and the mirrors."""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import requires
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

from ringfence.schema.authoring.revise import revise
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import scratch
from ringfence.schema.errors import SchemaError
from ringfence.schema.features import FEATURES
from ringfence.schema.manifest.grammar import json_schema_text
from ringfence.schema.mirror import write_mirrors

NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*\Z")
_SUFFIX = ".in"
# Name in the package -> name in a deployment; packaged files cannot have names with a leading dot.
_CALLED = {"env": ".env", "env.example": ".env.example", "gitignore": ".gitignore"}

# Engine -> the extra of both distributions that installs its driver.
EXTRAS = {name: engine.extra for name, engine in FEATURES.items() if engine.extra is not None}


SCHEMA = "access.schema.json"
_WITHOUT: Mapping[str, Callable[[Sequence[str]], bool]] = {
    ".env": lambda engines: not is_file(engines),
    ".env.example": lambda engines: EXTRAS.keys().isdisjoint(engines),
}
"""Files of the template -> whether a deployment for these engines does not need the file."""
_SERVER = """
On a server, `ringfence migrate` takes the place of `ringfence bootstrap`: it brings the database to head, and creates
and grants the accounts (`.env.example`).
"""


class BadName(SchemaError):
    """The name of a new deployment is not valid, or its folder exists and is not empty."""


@dataclass(frozen=True)
class Layout:
    """A deployment that was just created: its folder, its files, and the shell commands that start it."""

    root: Path
    files: tuple[str, ...]
    commands: tuple[str, ...]


def create_deployment(parent: Path, name: str, engines: Sequence[str]) -> Layout:
    """Write a new deployment into the folder `parent/name`.

    Args:
        parent: the folder in which the deployment's folder is created.
        name: name of the deployment: lower-case letters and digits, with single - or _ between them.
        engines: the engines for which models and manifest are checked. If SQLite is among them, the deployment starts
            on a file; otherwise on a server, which `.env.example` describes.

    Raises:
        BadName: the name is not valid, or the folder exists and is not empty.
        RingfenceError: the first revision cannot be written.
    """
    if not NAME.match(name) or len(name) > 40:
        raise BadName(
            f"{name!r} is no name for a deployment: at most 40 lower-case letters and digits, with single - or _"
        )
    root = parent / name
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise BadName(f"{root} is there already, and not empty: take another name, or another place with -C")
    package = f"{name.replace('-', '_')}_models"
    chosen = tuple(dict.fromkeys(engines))
    extras = sorted({EXTRAS[engine] for engine in chosen if engine in EXTRAS})
    start = _start(name, chosen)
    words = {
        "@NAME@": name,
        "@PACKAGE@": package,
        "@ENGINES@": ", ".join(f'"{engine}"' for engine in chosen),
        "@SCHEMA_EXTRAS@": f"[{','.join(extras)}]" if extras else "",
        "@RUNTIME_EXTRAS@": ",".join(["flask", *extras]),
        "@PACKAGES@": "\n".join(_brought(["flask", *extras])),
        "@DB_TYPE@": next((EXTRAS[engine] for engine in chosen if engine in EXTRAS), "postgresql"),
        "@START@": "\n".join(f"    {command}" for command in start),
        "@APPLY@": "ringfence bootstrap" if is_file(chosen) else "ringfence migrate",
        "@SERVER@": _SERVER if extras and is_file(chosen) else "",
    }
    for path, source in _template(files("ringfence.schema") / "template"):
        if path in _WITHOUT and _WITHOUT[path](chosen):
            continue
        target = root / path.replace("models/", f"{package}/", 1)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        target.write_text(text, encoding="utf-8")
    (root / SCHEMA).write_text(json_schema_text(), encoding="utf-8")
    (root / "migrations" / "versions").mkdir(parents=True, exist_ok=True)
    # The first revision is compared with a scratch SQLite file, whether or not the deployment has that engine.
    deployment = Deployment.load(root)
    revise(replace(deployment, engines=tuple(dict.fromkeys([*chosen, "sqlite"]))), "first tables", {})
    if not is_file(chosen):
        write_mirrors(deployment)
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    written = sorted(str(path) for path in found if "__pycache__" not in path.parts)
    return Layout(
        root=root,
        files=tuple(written),
        commands=(
            f"cd {shlex.quote(str(root))}",
            *([] if find_spec("flask") else ["pip install -r requirements.txt"]),
            *start,
        ),
    )


def is_file(engines: Sequence[str]) -> bool:
    """Whether a deployment with these engines can start on a file, which means that SQLite is among them.

    Args:
        engines: names of engines.
    """
    return scratch(engines, Path()) is not None


def _start(name: str, engines: Sequence[str]) -> tuple[str, ...]:
    """Return the shell commands that start a new deployment, to be run in its folder."""
    load = "set -a; . ./.env; set +a"
    if is_file(engines):
        return load, "ringfence bootstrap", "flask --app web run"
    return (
        "cp .env.example .env  # and set the server and its admin account in it",
        load,
        'eval "$(ringfence secrets generate secrets)"',
        "ringfence migrate",
        f"DB_USER={name}-web DB_PASS_FILE=secrets/web_db_pass flask --app web run",
    )


def _brought(extras: Iterable[str]) -> Iterator[str]:
    """Yield the packages that the runtime's extras require, each as a line of a requirements file."""
    for line in requires("ringfence-runtime") or ():
        requirement, _, condition = line.partition(";")
        if any(f"'{extra}'" in condition.replace('"', "'") for extra in extras):
            yield requirement.strip()


def _template(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield each file of the template, with its path in a deployment."""
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _template(item, f"{prefix}{item.name}/")
        elif item.name.endswith(_SUFFIX):
            name = item.name.removesuffix(_SUFFIX)
            yield f"{prefix}{_CALLED.get(name, name)}", item
