"""Declarations of backfills: one file each in `migrations/backfills/`, with the backfill's name as its file name.

# migrations/backfills/users_get_a_locale.py
from ringfence.schema.backfills.declared import Backfill

backfill = Backfill("auth_user", set={"locale": "en"})
"""

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from ringfence.runtime.values import generators
from ringfence.schema.autogenerate.arranger import Fill
from ringfence.schema.deployment import Deployment
from ringfence.schema.documents import suggestion
from ringfence.schema.errors import BadDeployment, Mistake
from ringfence.schema.lint.check import states
from ringfence.schema.models.enums import label_of
from ringfence.schema.rendering.types import written_value
from ringfence.schema.revisions.table_state import fills_itself
from ringfence.schema.sql.table_keys import key_of, referred_column, referred_table

FOLDER = "backfills"
BATCH = 1000
Row = Mapping[str, Any]
Each = Callable[[Row], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Backfill:
    """A change of existing rows, made in the order of the primary key of the table that is read.

    It changes the rows of one table, or writes values from them into another table.

    Args:
        table: the table whose rows are read, as the models name it: `table` or `schema.table`.
        set: column -> its new value: a constant, or a SQLAlchemy expression of the columns that are read, such as
            `sa.column("old")` or `sa.text("lower(email)")`.
        into: the table that is written, if it is a different one: missing rows are inserted, and NULLs in existing rows
            are filled.
        key: column of `into` -> column of `table`: how the rows of the two tables correspond. By default, a foreign key
            of `into` to `table`, or equal primary keys.
        where: the rows to change, as SQL text or an expression. By default those in which a column of `set` is NULL, so
            that every run does what is left and a second run changes nothing; with `into`, all rows. With `sa.true()`,
            the backfill runs only once.
        covered: the condition under which a row of `table` needs nothing more, for the contract revision that drops its
            values, as SQL text or an expression. By default, each value that is read from them is NULL, or the column
            that it is written to is not.
        each: instead of `set`, a function from a row to the new values of its columns, or to None to leave the row
            unchanged. It may be called twice for a row when a batch is retried. It needs `where`, unless there is an
            `into`.
        reads: the columns that `each` receives, in addition to the key.
        batch: the number of rows in one transaction.
    """

    table: str
    set: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    where: str | sa.ColumnElement[bool] | None = None
    each: Each | None = None
    reads: Sequence[str] = ()
    batch: int = BATCH
    into: str | None = None
    key: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    covered: str | sa.ColumnElement[bool] | None = None

    @property
    def once(self) -> bool:
        """Whether a second run would change rows again that the first one has changed."""
        return isinstance(self.where, sa.True_)

    def condition(self) -> sa.ColumnElement[bool]:
        """Return the condition of the rows that a run changes."""
        if self.where is None and self.into is None:
            return sa.or_(*(sa.column(name).is_(None) for name in self.set))
        return self.rows()

    def rows(self) -> sa.ColumnElement[bool]:
        """Return the condition of the rows that the backfill is about, including those that have been done."""
        if isinstance(self.where, str):
            return sa.text(f"({self.where})")  # type: ignore[return-value]
        return sa.true() if self.where is None else self.where


def folder(deployment: Deployment) -> Path:
    """Return the folder of the deployment's backfills."""
    return deployment.migrations / FOLDER


def names(deployment: Deployment) -> tuple[str, ...]:
    """Return the names of a deployment's backfills, sorted."""
    return tuple(sorted(path.stem for path in folder(deployment).glob("*.py") if path.stem != "__init__"))


def load(deployment: Deployment, name: str) -> Backfill:
    """Read one backfill and check it against the models.

    Args:
        deployment: the deployment.
        name: the backfill's name.

    Raises:
        BadDeployment: it does not exist or is wrong; the error has its file and every mistake.
    """
    found, place = read(deployment, name), deployment.display_path(folder(deployment) / f"{name}.py")
    if mistakes := [Mistake(place, None, problem) for problem in _wrong(deployment, found)]:
        raise BadDeployment(mistakes)
    return found


def read(deployment: Deployment, name: str) -> Backfill:
    """Read one backfill without checking it, as it may be older than the models.

    Args:
        deployment: the deployment.
        name: the backfill's name.

    Raises:
        BadDeployment: there is no such file, it cannot be imported, or it has no `backfill`.
    """
    known = names(deployment)
    path = folder(deployment) / f"{name}.py"
    if name not in known:
        place = deployment.display_path(folder(deployment))
        problem = f"there is no backfill {name!r}{suggestion(name, known)}; each is a file NAME.py in {place}"
        raise BadDeployment([Mistake(place, None, problem)])
    place = deployment.display_path(path)
    spec = importlib.util.spec_from_file_location(f"ringfence_backfill_{name}", path)
    module: Any = importlib.util.module_from_spec(spec) if spec else None
    try:
        if spec and spec.loader:
            spec.loader.exec_module(module)
    except Exception as error:  # the deployment's own code runs here, and may raise anything
        problem = f"cannot be imported: {type(error).__name__}: {error}"
        raise BadDeployment([Mistake(place, getattr(error, "lineno", None), problem)]) from error
    found = getattr(module, "backfill", None)
    if not isinstance(found, Backfill):
        problem = "holds no `backfill = Backfill(…)` of ringfence.schema.backfills.declared"
        raise BadDeployment([Mistake(place, None, problem)])
    if found.into is not None and not found.key:
        found = replace(found, key=_key(deployment, found))
    return found


def _key(deployment: Deployment, backfill: Backfill) -> Mapping[str, str]:
    """Return how the rows of the two tables correspond according to the models; empty if they do not say."""
    target = deployment.tables.get(backfill.into or "")
    if target is None:
        return {}
    for reference in target.foreign_key_constraints:
        elements = reference.elements
        if referred_table(elements[0]) == backfill.table:
            return {one.parent.name: referred_column(one) for one in elements}
    source = deployment.tables.get(backfill.table)
    names = [column.name for column in target.primary_key.columns]
    same = source is not None and names == [column.name for column in source.primary_key.columns]
    return dict(zip(names, names, strict=True)) if same else {}


def _wrong(deployment: Deployment, backfill: Backfill) -> Iterable[str]:
    table = deployment.tables.get(backfill.table)
    if table is None and not _made(deployment, backfill.table):
        yield f"there is no table {backfill.table!r}{suggestion(backfill.table, deployment.tables)}"
        return
    if table is not None and not table.primary_key.columns:
        yield f"{backfill.table} has no primary key, in whose order the rows could be taken"
    if bool(backfill.set) == (backfill.each is not None):
        yield "sets neither values nor a function for each row: give `set=` or `each=`, and not both"
    if backfill.each is not None and backfill.where is None and backfill.into is None:
        yield "`each=` needs `where=`: which rows are still to be done"
    if backfill.batch < 1:
        yield f"batch={backfill.batch}: must be 1 or more"
    if backfill.into is not None:
        yield from _wrong_into(deployment, backfill, backfill.into)
    else:
        yield from _wrong_columns(deployment, backfill, backfill.table)
        for name in backfill.set:
            if table is not None and name in table.primary_key.columns:
                yield f"{backfill.table}.{name} is of the primary key, in whose order rows are taken: it must stay"


def _made(deployment: Deployment, table: str) -> set[str]:
    """Return the columns that any revision created in a table, for a database that is far behind the models."""
    return {name for tables in states(deployment).values() for name in tables.get(table, ())}


def _wrong_into(deployment: Deployment, backfill: Backfill, into: str) -> Iterable[str]:
    target = deployment.tables.get(into)
    if target is None and not _made(deployment, into):
        yield f"into: there is no table {into!r}{suggestion(into, deployment.tables)}"
        return
    if into == backfill.table:
        yield f"into: {into} is the table that is read: leave `into=` out"
    yield from _wrong_columns(deployment, backfill, into)
    if not backfill.key:
        yield (
            f"key: state which row of {into} is that of a row of {backfill.table}:"
            f" key={{'column of {into}': 'column'}}"
        )
        return
    if target is None:  # a later revision dropped it, so the models say nothing about its keys
        return
    for name in backfill.key:
        if name not in target.columns:
            yield f"key: {into} has no column {name!r}{suggestion(name, target.columns.keys())}"
    if set(backfill.key) not in _unique(target):
        key = ", ".join(backfill.key)
        yield f"key: {into} may hold several rows of the same {key}: make it unique there, or its primary key"
    given = {*backfill.key, *backfill.set}
    for column in target.columns if backfill.set else ():
        if not column.nullable and not fills_itself(column) and column.name not in given:
            yield f"{into}.{column.name} refuses NULL and the server gives it no value: name it in `set=`"


def _unique(table: sa.Table) -> list[set[str]]:
    """Return the sets of columns that are unique in a table."""
    constraints = [c for c in table.constraints if isinstance(c, sa.UniqueConstraint)]
    unique: list[Any] = [table.primary_key, *constraints, *(one for one in table.indexes if one.unique)]
    return [{column.name for column in one.columns} for one in unique]


def _wrong_columns(deployment: Deployment, backfill: Backfill, key: str) -> Iterable[str]:
    table = deployment.tables.get(key)
    known = set() if table is None else set(table.columns.keys())
    # A backfill's file stays in the repository when a later revision drops its column.
    earlier = set() if known.issuperset(backfill.set) else _made(deployment, key)
    for name, value in backfill.set.items():
        if name not in known | earlier:
            yield f"{key} has no column {name!r}{suggestion(name, known)}"
        if is_placeholder(value):
            yield f"does not define yet what {key}.{name} becomes: put a value in the place of `...`"


def is_placeholder(value: Any) -> bool:
    """Return whether a value is or contains the placeholder `...`, which the author has to replace."""
    if isinstance(value, sa.ClauseElement):
        return any(getattr(part, "value", None) is ... for part in sa.sql.visitors.iterate(value))
    return value is ...


_TEXT = '''"""{title}"""

{imports}

# {hint}
backfill = Backfill(
    {table!r},
    {what},
)
'''


def write_backfills(deployment: Deployment, fills: Iterable[Fill]) -> Mapping[Path, str]:
    """Write a backfill file for each column whose existing rows need values; existing files are left unchanged.

    Args:
        deployment: the deployment.
        fills: the columns, with what the models say about their values.

    Returns:
        Each file written -> what its author has to complete before it can run; empty if nothing.
    """
    written = {}
    for fill in fills:
        name = (
            f"{fill.table}_{fill.column.name}"
            if not fill.schema
            else f"{fill.schema}_{fill.table}_{fill.column.name}"
        )
        path = folder(deployment) / f"{name}.py"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_text(fill, name), encoding="utf-8")
            written[path] = _open(fill)
    return written


def _text(fill: Fill, name: str) -> str:
    key, column = key_of(fill.schema, fill.table), str(fill.column.name)
    imports = {"from ringfence.schema.backfills.declared import Backfill"}
    what = f"set={{{column!r}: ...}}"
    hint = _open(fill) or f"Runs as often as you like: rows that have a {column} are left alone."
    value, needed = _value(fill)
    if value is not None:
        imports |= needed
        if value.startswith("lambda"):
            what = f'each={value},\n    where="{column} IS NULL"'
        else:
            what = f"set={{{column!r}: {value}}}"
    first = [line for line in sorted(imports) if not line.startswith("from ringfence")]
    ours = [line for line in sorted(imports) if line.startswith("from ringfence")]
    text = "\n".join([*first, *([""] if first else []), *ours])
    title = f"Give every row of {key} a {column}: `ringfence backfill {name}`."
    if fill.source:
        title = f"Copy {key}.{fill.source} to {column}: `ringfence backfill {name}`."
    return _TEXT.format(title=title, imports=text, hint=hint, table=key, what=what)


def _open(fill: Fill) -> str:
    """Return what the author has to complete in the file; empty if nothing."""
    value, _ = _value(fill)
    column = fill.column.name
    if value is None:
        return f"Every row must get a value, before {column} refuses NULL: put it in the place of `...`."
    if value.endswith("...)"):
        return f"{fill.source} may be NULL, and {column} refuses it: put what such rows get in the place of `...`."
    return ""


def _value(fill: Fill) -> tuple[str | None, set[str]]:
    """Return the column's new value as source text, and the imports it needs; None if the models do not give it."""
    if not fill.source:
        return _default(fill.column)
    source, needed = f"sa.column({fill.source!r})", {"import sqlalchemy as sa"}
    if not fill.has_nulls:
        return source, needed
    value, imports = _default(fill.column)
    if value is None or value.startswith(("lambda", "[", "{")):  # not expressible in SQL
        value, imports = "...", set()
    return f"sa.func.coalesce({source}, {value})", needed | imports


def _default(column: sa.Column[Any]) -> tuple[str | None, set[str]]:
    """Return the models' default of the column as source text, and the imports it needs; None if there is none."""
    default = column.default
    if isinstance(default, sa.ColumnDefault) and default.is_scalar:
        value = default.arg
        value = label_of(column.type, value)
        if isinstance(value, Decimal):
            return repr(value), {"from decimal import Decimal"}
        return (
            (written_value(value), set())
            if isinstance(value, bool | int | float | str | list | dict)
            else (None, set())
        )
    if isinstance(default, sa.ColumnDefault) and default.is_callable:
        generator = generators.name_of(getattr(default.arg, "__wrapped__", default.arg))
        if generator is not None:
            call = f"lambda row: {{{column.name!r}: generators.{generator}()}}"
            return call, {"from ringfence.runtime.values import generators"}
    if isinstance(column.server_default, sa.DefaultClause):
        text = column.server_default.arg
        if isinstance(text, str):
            return written_value(text), set()
        return f"sa.text({str(text)!r})", {"import sqlalchemy as sa"}
    return None, set()
