"""The migrations of a deployment: each file is read once, and each revision is replayed once.

With hundreds of files, reading them takes longer than the rest of an idle job. What the guard, the lint, the narrowing
of access and other readers need to know of a revision, they take from one recording of it.
"""

import re
import traceback
import warnings
from pathlib import Path

from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import BadDeployment, Mistake
from ringfence.schema.revisions.recording import Recording, record
from ringfence.schema.sql import mysql_options

_State = tuple[tuple[str, int, int], ...]


class Migrations(ScriptDirectory):
    """Alembic's script directory, with the recordings of its revisions."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._any_dialect: dict[tuple[str, str], Recording] = {}
        self._by_dialect: dict[tuple[str, str, str], Recording] = {}

    def recording(self, revision: str | Script, dialect: str, function: str = "upgrade") -> Recording:
        """Return what a function of a revision calls; it is replayed only the first time.

        A function that uses neither its connection nor the migration context calls the same operations on every
        dialect, so it is replayed once for all of them; any other function once per dialect.

        Args:
            revision: the revision, or its id.
            dialect: SQLAlchemy's name of the dialect; its driver need not be installed.
            function: `upgrade` or `downgrade`.
        """
        script = self.get_revision(revision) if isinstance(revision, str) else revision
        key = (script.revision, function)
        found = self._any_dialect.get(key) or self._by_dialect.get((*key, dialect))
        if found is None:
            found = record(self, script, function, dialect)
            if found.asked:
                self._by_dialect[(*key, dialect)] = found
            else:
                self._any_dialect[key] = found
        if dialect == mysql_options.HOLDS_ON:
            for done in found.whole:  # the first replay may have been for another dialect
                mysql_options.extend_operation(done.operation)
        return found


_read: dict[Path, tuple[_State, Migrations]] = {}


def scripts_in(folder: Path) -> Migrations:
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
    scripts = Migrations(folder)
    with warnings.catch_warnings():
        # Alembic warns of a missing down_revision, and then fails with a KeyError.
        warnings.filterwarnings("ignore", r"Revision \S+ referenced from", UserWarning)
        try:
            for _ in scripts.walk_revisions():
                pass
        except KeyError as error:
            files = [path.name for path in sorted(folder.rglob("*.py")) if _follows(path, error.args[0])]
            raise CommandError(
                f"{', '.join(files) or 'a revision'} goes on from {error}, and no file there is that revision: put its"
                " file back, or correct the `down_revision` that names it"
            ) from error
    _read[folder] = state, scripts
    return scripts


def _follows(path: Path, revision: object) -> bool:
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
