"""Try everything that a mirror allows, through the runtime and with a rollback, to see if its service still works."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ringfence.runtime import Database, Mirror, Settings
from ringfence.runtime.errors import RingfenceError
from ringfence.runtime.mirror import ForeignKey, Table, Verb
from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import JobFailed
from ringfence.schema.git import git
from ringfence.schema.mirror import SUFFIX
from ringfence.schema.sampling.rows import value


class _RollBack(Exception):
    """Makes a session roll back."""


def mirrors_in(folder: Path) -> tuple[Mirror, ...]:
    """Load the mirrors of a folder that contain at least one table.

    Args:
        folder: a folder with mirror files.

    Raises:
        BadMirror: a mirror cannot be read.
    """
    paths = (path for path in sorted(folder.glob(f"*{SUFFIX}")) if not _has_no_tables(path))
    return tuple(Mirror.load(path) for path in paths)


def _has_no_tables(path: Path) -> bool:
    """Whether a mirror has no table, which the runtime refuses; such accounts may only call functions, for example."""
    try:
        return bool(json.loads(path.read_bytes())["tables"] == {})
    except (ValueError, TypeError, LookupError):
        return False


def mirrors_at(deployment: Deployment, reference: str, folder: Path) -> tuple[Mirror, ...]:
    """Load the mirrors as they were at a commit, a tag or a branch.

    Args:
        deployment: the deployment, whose folder is in a git repository.
        reference: a commit, tag or branch, as git takes it.
        folder: an empty folder into which the files are written.

    Raises:
        JobFailed: git cannot read them.
        BadMirror: a mirror cannot be read.
    """
    inside = deployment.mirrors.relative_to(deployment.root).as_posix()
    for name in _git(deployment.root, "ls-tree", "--name-only", reference, f"./{inside}/").split():
        if name.endswith(SUFFIX):
            text = _git(deployment.root, "show", f"{reference}:./{name}")
            (folder / Path(name).name).write_text(text, encoding="utf-8")
    return mirrors_in(folder)


def _git(root: Path, *arguments: str) -> str:
    try:
        done = git(root, *arguments)
    except (OSError, UnicodeDecodeError) as error:
        raise JobFailed(f"git gives no mirrors of that commit: {error}") from error
    if done.returncode:
        raise JobFailed(f"git gives no mirrors of that commit: {done.stderr.strip()}")
    return done.stdout


def exercise(settings: Settings, mirror: Mirror, engine: sa.Engine, number: int) -> Iterator[str]:
    """Try every verb that a mirror allows on every table, and roll everything back.

    This checks the schema only; accounts and row scopes are checked by `ringfence access verify`.

    Args:
        settings: a login of the admin account.
        mirror: the mirror of the service.
        engine: the same database, for reading rows to which foreign keys can refer.
        number: number for the generated values, different from those of existing rows.

    Yields:
        A message for each failure: the service, the verb, the table and the error of the database.
    """
    tables = {
        key: replace(table, verbs={verb: Verb() for verb in table.verbs})
        for key, table in mirror.tables.items()
    }
    db = Database(settings, replace(mirror, tables=tables, scopes={}))
    try:
        for table in tables.values():
            verb = "open"
            try:
                with suppress(_RollBack), db.session() as dal:
                    for verb in _verbs(dal, table, engine, number):  # noqa: B007 - reported when it fails
                        pass
                    raise _RollBack
            except RingfenceError as error:
                yield f"{mirror.service} of release {mirror.revision} cannot {verb} {table.name}: {error}"
    finally:
        db.close(deadline=1.0)


def _verbs(dal: Any, table: Table, engine: sa.Engine, number: int) -> Iterator[str]:
    """Run the verbs of a table, and yield the name of each one before it runs."""
    rows = dal[table.key]
    row = _row(table, engine, number)
    if "insert" in table.verbs:
        yield "insert into"
        rows.insert(**{name: v for name, v in row.items() if name in _fields(table, "insertable")})
    readable = _fields(table, "selectable")
    condition = rows[readable[0]] == rows[readable[0]] if readable else None
    if "select" in table.verbs and condition is not None:
        yield "select from"
        dal(condition).select(*(rows[name] for name in readable), limitby=(0, 2))
    key = [column.field for name, column in table.columns.items() if name in table.primary_key]
    changes = {name: v for name, v in row.items() if name in _fields(table, "updatable") and name not in key}
    if "update" in table.verbs and changes and condition is not None:
        yield "update"
        # The condition matches no row, because equal values in several rows would violate unique constraints.
        dal(condition & (rows[readable[0]] == None)).update(**changes)  # noqa: E711 - PyDAL's expression for IS NULL
    if "delete" in table.verbs and condition is not None:
        yield "delete from"
        dal(condition & (rows[readable[0]] == None)).delete()  # noqa: E711 - see above


def _fields(table: Table, right: str) -> list[str]:
    return [column.field for column in table.columns.values() if getattr(column, right)]


def _row(table: Table, engine: sa.Engine, number: int) -> Mapping[str, Any]:
    """Return a value for each column without a default or autoincrement; foreign keys refer to existing rows."""
    keys = {key.columns[0]: key for key in table.foreign_keys if len(key.columns) == 1}
    row: dict[str, Any] = {}
    for name, column in table.columns.items():
        if column.autoincrement or column.default is not None:
            continue
        if name in keys:
            key = keys[name]
            row[column.field] = _existing_key(engine, table, name, key)
        else:
            row[column.field] = value(column.type, column.params, number, name)
    return row


def _existing_key(engine: sa.Engine, table: Table, name: str, key: ForeignKey) -> Any:
    """Return an existing value for a foreign key, preferably one to which no row refers yet."""
    referred = sa.table(key.table, sa.column(key.references[0]), schema=key.schema).c[key.references[0]]
    taken = sa.table(table.name, sa.column(name), schema=table.schema).c[name]
    with engine.connect() as connection:
        free = sa.select(referred).where(referred.not_in(sa.select(taken).where(taken.is_not(None)))).limit(1)
        found = connection.execute(free).scalar()
        return connection.execute(sa.select(referred).limit(1)).scalar() if found is None else found
