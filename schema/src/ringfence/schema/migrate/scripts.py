"""The migrations, read once for all that look at them: reading hundreds takes longer than all else in a quiet job."""

from pathlib import Path

from alembic.script import ScriptDirectory

_State = tuple[tuple[str, int, int], ...]
_read: dict[Path, tuple[_State, ScriptDirectory]] = {}


def scripts_in(folder: Path) -> ScriptDirectory:
    """The migrations in a folder, each of them read; read again when a file there is not as it was.

    Raises:
        CommandError, SyntaxError, ImportError: as Alembic raises them.
    """
    state = _state(folder)
    known = _read.get(folder)
    if known is not None and known[0] == state:
        return known[1]
    scripts = ScriptDirectory(str(folder))
    for _ in scripts.walk_revisions():
        pass
    _read[folder] = state, scripts
    return scripts


def _state(folder: Path) -> _State:
    files = ((str(path), path.stat()) for path in folder.rglob("*.py"))
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in files))
