"""Decides whether an object of the database may be dropped: the migrations created it, or ringfence.toml names it.

The migrations are replayed without a database, including those of SQL text. Objects that they did not create, as far
as can be recognized, are listed and left alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from ringfence.schema.comparison.snapshot import Name
from ringfence.schema.deployment import Deployment
from ringfence.schema.models.object_rules import INSIDE, ObjectRule
from ringfence.schema.revisions.ownership.objects import ON_TABLES, Objects
from ringfence.schema.revisions.ownership.replay import Conventions, replay
from ringfence.schema.revisions.scripts import Migrations
from ringfence.schema.revisions.selection import ordered, scripts_of
from ringfence.schema.sql.identifiers import spelling
from ringfence.schema.state import releases
from ringfence.schema.text import counted

__all__ = ["Ownership", "left_alone", "ownership"]

_SHOWN = 8
_KEPT_AS = {"partition": "table", "type": "enum"}
"""Kinds that the replay stores under another kind: a partition is a table, and CREATE TYPE creates types and enums."""


@dataclass(frozen=True)
class Ownership:
    """The objects that the migrations created on one dialect.

    Kinds are those of `ringfence.schema.comparison.snapshot.KINDS`, and `partition` and `function`. A schema is None
    or empty for the default schema, a table for kinds that have none.
    """

    objects: Objects
    drop: tuple[ObjectRule, ...] = ()
    """Objects that ringfence.toml or `--retire` names as droppable."""
    leave: tuple[ObjectRule, ...] = ()
    """Patterns of ringfence.toml for objects that belong to others."""
    unread: tuple[str, ...] = ()
    """Revisions that cannot be read to their end without a database; what they create after that is unknown."""

    def may_drop(self, kind: str, schema: str | None, table: str | None, name: str) -> bool:
        """Return whether the migrations created an object, or a person named it: then it may be dropped.

        Args:
            kind: the object's kind.
            schema: its own schema, or its table's.
            table: the table of a column, constraint, index, trigger or partition; ignored for other kinds.
            name: its own name, for a table the table's; empty for a constraint that the server gave no name.
        """
        if self._named(kind, schema, table, name):
            return True
        if kind == "column":
            return self.objects.has_column(schema, table or "", name)
        if kind in ON_TABLES:
            return self.objects.has_on(kind, schema, table or "", name)
        return self.objects.has(_KEPT_AS.get(kind, kind), schema or None, name)

    def is_ignored(self, kind: str, schema: str | None, table: str | None, name: str) -> bool:
        """Return whether an object is not listed: ringfence.toml leaves it to others, or it is Ringfence's own.

        An object that is named in full as droppable is not ignored, even if a pattern leaves it to others.

        Args:
            kind: the object's kind, one of `comparison.snapshot.KINDS`.
            schema: its schema; None or "" is the default one.
            table: its table; None or "" for kinds that have none.
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
        """Return a copy that also has these names as droppable.

        Args:
            names: names in the form of `--retire`.

        Raises:
            ValueError: a name cannot be parsed.
        """
        return replace(self, drop=(*self.drop, *(ObjectRule.read(name, patterns=False) for name in names)))


_Replayed = tuple[Objects, tuple[str, ...]]
_replayed: "WeakKeyDictionary[Migrations, dict[tuple[str, str | None], _Replayed]]" = WeakKeyDictionary()


def ownership(deployment: Deployment, dialect: str, default: str | None = None) -> Ownership:
    """Replay all migrations of a deployment, and add what `ringfence.toml` names.

    Args:
        deployment: the deployment.
        dialect: SQLAlchemy's name of the dialect that they run on.
        default: the schema of names without one, if it is known and differs from the dialect's usual one.

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
    drop = tuple(ObjectRule.read(text, patterns=False) for text in deployment.drop)
    leave = tuple(ObjectRule.read(text, patterns=True) for text in deployment.leave)
    return Ownership(found[0], drop, leave, found[1])


def _replay(scripts: Migrations, dialect: str, default: str | None, conventions: Conventions) -> _Replayed:
    objects = Objects(spelling(dialect), default)
    unread = []
    for script in ordered(scripts):
        recording = scripts.recording(script, dialect)
        for done in recording.whole:
            replay(objects, done.operation, conventions)
        if recording.error is not None:
            unread.append(script.revision)
    return objects, tuple(unread)


def left_alone(left: Iterable[Name], owned: Ownership) -> str | None:
    """Return a line about objects that are left alone, with how to declare whose they are; None if there are none.

    Args:
        left: objects that no migration created.
        owned: what the migrations created.
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
