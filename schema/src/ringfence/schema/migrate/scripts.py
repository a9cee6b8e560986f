"""The migrations, read once for all that look at them: reading hundreds takes longer than all else in a quiet job."""

import warnings
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError

_State = tuple[tuple[str, int, int], ...]
_read: dict[Path, tuple[_State, ScriptDirectory]] = {}


def scripts_in(folder: Path) -> ScriptDirectory:
    """The migrations in a folder, each of them read; read again when a file there is not as it was.

    Raises:
        CommandError, SyntaxError, ImportError: as Alembic raises them; the first also for a revision that goes on from
            one that is not there.
    """
    state = _state(folder)
    known = _read.get(folder)
    if known is not None and known[0] == state:
        return known[1]
    if not folder.is_dir():
        raise CommandError(f"there is no folder {folder}; `migrations` in ringfence.toml names it")
    scripts = ScriptDirectory(str(folder))
    with warnings.catch_warnings():
        # Alembic warns of it, and then fails with a KeyError.
        warnings.filterwarnings("ignore", r"Revision \S+ referenced from", UserWarning)
        try:
            for _ in scripts.walk_revisions():
                pass
        except KeyError as error:
            raise CommandError(
                f"a revision goes on from {error}, and no file there is that revision: put its file back, or mend the"
                f" `down_revision` that names it"
            ) from error
    _read[folder] = state, scripts
    return scripts


def _state(folder: Path) -> _State:
    files = ((str(path), path.stat()) for path in folder.rglob("*.py"))
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in files))
