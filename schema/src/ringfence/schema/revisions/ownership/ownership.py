"""Whether the migrations made an object of the database, or a person named it: else nothing of ours drops it.

The migrations are replayed without a database, those of raw SQL too. What they did not make, as far as can be read, is
not ours: it is listed and left alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from alembic.script import ScriptDirectory

from ringfence.schema.comparison.snapshot import Name
from ringfence.schema.deployment import Deployment
from ringfence.schema.models.object_rules import INSIDE, Said
from ringfence.schema.revisions.ownership.objects import ON_TABLES, Objects
from ringfence.schema.revisions.ownership.replay import Conventions, replay
from ringfence.schema.revisions.recording import record
from ringfence.schema.revisions.selection import ordered, scripts_of
from ringfence.schema.sql.identifiers import spelling
from ringfence.schema.state import releases
from ringfence.schema.text import counted

__all__ = ["Ownership", "left_alone", "ownership"]

_SHOWN = 8
_KEPT_AS = {"partition": "table", "type": "enum"}
"""What the replay keeps among another kind: CREATE TYPE makes both."""


@dataclass(frozen=True)
class Ownership:
    """What is ours on one dialect.

    Kinds are those of `ringfence.schema.comparison.snapshot.KINDS`, and `partition` and `function`. A schema is None or
    empty where it is the default one, a table where the kind has none.
    """

    objects: Objects
    drop: tuple[Said, ...] = ()
    leave: tuple[Said, ...] = ()
    unread: tuple[str, ...] = ()
    """The revisions that cannot be read to their end without a database: what they made after that is not known."""

    def made(self, kind: str, schema: str | None, table: str | None, name: str) -> bool:
        """Whether the migrations made it, or a person named it: it may be dropped.

        Args:
            kind: of the object.
            schema: its own, or its table's.
            table: of a column, constraint, index, trigger or partition; else it is not looked at.
            name: its own; for a table, the table's. Empty for a constraint that the server gave no name.
        """
        if self._named(kind, schema, table, name):
            return True
        if kind == "column":
            return self.objects.has_column(schema, table or "", name)
        if kind in ON_TABLES:
            return self.objects.has_on(kind, schema, table or "", name)
        return self.objects.has(_KEPT_AS.get(kind, kind), schema or None, name)

    def ignored(self, kind: str, schema: str | None, table: str | None, name: str) -> bool:
        """Whether a person said that it is somebody else's, or it is the job's own: it is not even listed.

        What is named in full, to be dropped, is none of what a pattern leaves.

        Args:
            kind: of the object, one of `comparison.snapshot.KINDS`.
            schema: its schema; None or "" is the default one.
            table: its table; None or "" where the kind has none.
            name: its own name.
        """
        if (table or name).startswith(releases.PREFIX):
            return True
        if self._named(kind, schema, table, name):
            return False
        default = self.objects.default or self.objects.spelling.default
        return any(said.covers(kind, schema or None, table, name, default) for said in self.leave)

    def _named(self, kind: str, schema: str | None, table: str | None, name: str) -> bool:
        default = self.objects.default or self.objects.spelling.default
        return any(said.names(kind, schema or None, table, name, default) for said in self.drop)

    def naming(self, names: Iterable[str]) -> "Ownership":
        """The same, and what a person names now.

        Args:
            names: as `--retire` takes them.

        Raises:
            ValueError: for what cannot be read.
        """
        return replace(self, drop=(*self.drop, *(Said.read(name, patterns=False) for name in names)))


_Replayed = tuple[Objects, tuple[str, ...]]
_replayed: "WeakKeyDictionary[ScriptDirectory, dict[tuple[str, str | None], _Replayed]]" = WeakKeyDictionary()


def ownership(deployment: Deployment, dialect: str, default: str | None = None) -> Ownership:
    """What the migrations of a deployment make, all of them together, and what `ringfence.toml` names.

    Args:
        deployment: the deployment.
        dialect: SQLAlchemy's name of the dialect that they run on.
        default: the schema that names without one are in, where that is known and not the dialect's usual one.

    Raises:
        BadDeployment: the migrations cannot be read.
    """
    found: _Replayed = Objects(spelling(dialect), default), ()
    if deployment.migrations.is_dir():
        scripts = scripts_of(deployment)
        known = _replayed.setdefault(scripts, {})
        if (dialect, default) not in known:
            conventions = [one.naming_convention for one in deployment.metadata]
            known[dialect, default] = _replay(scripts, dialect, default, conventions)
        found = known[dialect, default]
    drop = tuple(Said.read(text, patterns=False) for text in deployment.drop)
    leave = tuple(Said.read(text, patterns=True) for text in deployment.leave)
    return Ownership(found[0], drop, leave, found[1])


def _replay(
    scripts: ScriptDirectory, dialect: str, default: str | None, conventions: Conventions
) -> _Replayed:
    objects = Objects(spelling(dialect), default)
    unread = []
    for script in ordered(scripts):
        recording = record(scripts, script, "upgrade", dialect)
        for done in recording.whole:
            replay(objects, done.operation, conventions)
        if recording.error is not None:
            unread.append(script.revision)
    return objects, tuple(unread)


def left_alone(left: Iterable[Name], owned: Ownership) -> str | None:
    """In one line, what was found and is not ours, with the way to say so once; None when there is nothing.

    Args:
        left: what nobody here made.
        owned: what is ours.
    """
    names = sorted(set(left), key=str)
    names = [one for one in names if one.kind not in INSIDE or _table_of(one) not in names]
    if not names:
        return None
    tables = all(one.kind == "table" for one in names)
    shown = [one.key if tables else str(one) for one in names[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    number = counted(len(names), "table" if tables else "object")
    unread = (
        f" (what {', '.join(owned.unread)} made is not known: it cannot be read without a database)"
        if owned.unread
        else ""
    )
    return (
        f"{number} {'is' if len(names) == 1 else 'are'} not ours: left alone: {', '.join(shown)}{more}{unread}; name"
        ' them in ringfence.toml: drop = ["…"] for what is ours, leave = ["…"] for what is others\''
    )


def _table_of(one: Name) -> Name:
    return Name("table", one.schema, one.table, one.table)
