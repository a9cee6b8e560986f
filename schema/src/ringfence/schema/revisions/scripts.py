"""Reads the migrations once per process: with hundreds of files, reading takes longer than the rest of an idle job."""

import re
import traceback
import warnings
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import BadDeployment, Mistake

_State = tuple[tuple[str, int, int], ...]
_read: dict[Path, tuple[_State, ScriptDirectory]] = {}


def scripts_in(folder: Path) -> ScriptDirectory:
    """Return the migrations of a folder, with every file loaded; they are loaded again when a file has changed.

    Args:
        folder: Alembic's script location.

    Raises:
        CommandError: Alembic cannot read the folder, or the `down_revision` of a revision is missing.
        SyntaxError, ImportError: raised by a migration file.
    """
    state = _state(folder)
    known = _read.get(folder)
    if known is not None and known[0] == state:
        return known[1]
    if not folder.is_dir():
        raise CommandError(f"there is no folder {folder}; `migrations` in ringfence.toml names it")
    scripts = ScriptDirectory(str(folder))
    with warnings.catch_warnings():
        # Alembic warns of a missing down_revision, and then fails with a KeyError.
        warnings.filterwarnings("ignore", r"Revision \S+ referenced from", UserWarning)
        try:
            for _ in scripts.walk_revisions():
                pass
        except KeyError as error:
            files = [path.name for path in sorted(folder.rglob("*.py")) if _goes_on(path, error.args[0])]
            raise CommandError(
                f"{', '.join(files) or 'a revision'} goes on from {error}, and no file there is that revision: put its"
                " file back, or mend the `down_revision` that names it"
            ) from error
    _read[folder] = state, scripts
    return scripts


def _goes_on(path: Path, revision: object) -> bool:
    return (
        re.search(rf"(?m)^down_revision\b.*\b{re.escape(str(revision))}\b", path.read_text("utf-8"))
        is not None
    )


def unreadable(deployment: Deployment, error: Exception) -> BadDeployment:
    """Return the error for migrations that cannot be read, with file and line if the error has them.

    Args:
        deployment: the deployment of the migrations.
        error: what `scripts_in` raised.
    """
    folder = deployment.display_path(deployment.migrations)
    if isinstance(error, SyntaxError) and error.filename:
        place = deployment.display_path(Path(error.filename).resolve())
        return BadDeployment([Mistake(place, error.lineno, f"cannot be read: {error.msg}")])
    if isinstance(error, CommandError):
        return BadDeployment([Mistake(folder, None, f"the migrations cannot be read: {error}")])
    inner = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith("<")]
    ours = [one for one in inner if Path(one.filename).is_relative_to(deployment.migrations)]
    problem = f"cannot be read: {type(error).__name__}: {error}"
    if not ours:
        return BadDeployment([Mistake(folder, None, f"the migrations {problem}")])
    return BadDeployment(
        [Mistake(deployment.display_path(Path(ours[-1].filename)), ours[-1].lineno, problem)]
    )


def _state(folder: Path) -> _State:
    files = ((str(path), path.stat()) for path in folder.rglob("*.py"))
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in files))
