"""The views, functions and triggers that no model writes out: one that a hand replaced may show more.

Migrations make them in their own words, or they were there before, and accounts reach them. So a job that ends records
how they stand, and the next look compares: what is otherwise, while the database stands at the same revision, no
migration made so.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from ringfence.schema.comparison.attached import attached
from ringfence.schema.comparison.deployment_diff import models_of
from ringfence.schema.comparison.model_objects import Modelled
from ringfence.schema.comparison.snapshot import Name, Snapshot
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend
from ringfence.schema.lint.pending import Pending
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.revisions.ownership.ownership import Ownership, ownership
from ringfence.schema.revisions.recording import record as recording_of
from ringfence.schema.state import releases

FORMAT = 1
"""Of the digests: another one whenever what is read of an object changes, so that old ones are not compared."""
_KINDS = ("view", "function")
_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|([^."`]+)')
"""A part of a name that the manifest writes, in quotes or bare."""
_table = releases.definition


@dataclass(frozen=True, slots=True)
class Replaced:
    """One object that is not as the last job left it.

    Args:
        name: of the object.
        missing: whether it is not there any more.
    """

    name: Name
    missing: bool

    def __str__(self) -> str:
        if self.missing:
            return f"{self.name} is not there any more: it was dropped by hand since the last job"
        return f"{self.name} is not as the last job left it: it was replaced or altered by hand since"

    @property
    def way_out(self) -> str:
        """What a person can do."""
        return (
            "make it again as it was; where the change is meant, write a revision that makes it so, with"
            " `op.execute`"
        )


def replaced(connection: sa.Connection, backend: Backend) -> list[Replaced]:
    """What is not as it was when the last job ended, where nothing but a hand can have changed it.

    Nothing is compared before the first job that records; when the database stands at another revision than then, or
    half-way to one; or where the server may spell a definition in another way: on another version, with another default
    schema of the admin, and in a PostgreSQL database that was restored from a dump.

    Args:
        connection: the admin's; it only reads.
        backend: the server.

    Returns:
        The objects, by kind and name.
    """
    if not sa.inspect(connection).has_table(_table.name) or _halfway(connection):
        return []
    recorded = connection.execute(sa.select(_table)).mappings().all()
    here = (_revisions(connection), _version(connection, backend))
    known = [row for row in recorded if (row["revisions"], row["version"]) == here]
    if not known:
        return []
    names = {Name(*json.loads(row["object"])): row["digest"] for row in known}
    schemas = {name.schema or None for name in names}
    present = _digests(backend.catalog.definitions(connection, schemas))
    return [
        Replaced(name, missing=name not in present)
        for name, digest in sorted(names.items())
        if present.get(name) != digest
    ]


def unanswered(connection: sa.Connection, backend: Backend, pending: Pending) -> list[str]:
    """What was replaced by hand and no pending revision names, each with the way out: a job refuses to begin.

    Args:
        connection: the admin's; it only reads.
        backend: the server.
        pending: the revisions that are to run.

    Returns:
        A sentence for each.
    """
    found = replaced(connection, backend)
    if not found:
        return []
    said = "\n".join(_texts(pending.scripts, pending.revisions, connection.dialect.name))
    return [
        f"{one}; {one.way_out}"
        for one in found
        if not re.search(rf"(?<!\w){re.escape(_plain(one.name))}(?!\w)", said, re.IGNORECASE)
    ]


def record(connection: sa.Connection, backend: Backend, deployment: Deployment) -> None:
    """Keep how these objects stand; a second time it changes nothing.

    Args:
        connection: the admin's, with the tables of our own; it is committed.
        backend: the server.
        deployment: its models and migrations.
    """
    revisions, version = _revisions(connection), _version(connection, backend)
    known = {row["id"]: dict(row) for row in connection.execute(sa.select(_table)).mappings()}
    wanted = {
        _id(name): {
            "id": _id(name),
            "object": json.dumps([name.kind, name.schema, name.table, name.name]),
            "digest": digest,
            "revisions": revisions,
            "version": version,
        }
        for name, digest in _standing(connection, backend, deployment).items()
    }
    stale = [id_ for id_, row in known.items() if wanted.get(id_) != row]
    if stale:
        connection.execute(sa.delete(_table).where(_table.c.id.in_(stale)))
    if new := [row for id_, row in wanted.items() if known.get(id_) != row]:
        connection.execute(sa.insert(_table), new)
    connection.commit()


def _standing(connection: sa.Connection, backend: Backend, deployment: Deployment) -> dict[Name, str]:
    """What the migrations made or an account reaches, and no model makes: each with a digest of all that it is."""
    dialect = connection.dialect
    owned = ownership(deployment, dialect.name, dialect.default_schema_name)
    models = models_of(deployment.metadata, dict(deployment.tables))
    modelled = Modelled(models, dialect)
    made = attached(modelled, connection)
    objects = owned.objects
    keys = [*objects.tables, *(key for kind in _KINDS for key in objects.others.get(kind, ()))]
    reached = _reached(deployment, modelled)
    schemas = {None, *(schema for schema, _ in keys), *(table.schema for table in deployment.tables.values())}
    # A bare name is written in any case, and kept in small letters by PostgreSQL.
    schemas |= {one or None for _, schema, _ in reached for one in (schema, schema.lower())}
    plainly = {(kind, schema.lower(), name.lower()) for kind, schema, name in reached}
    return {
        name: digest
        for name, digest in _digests(backend.catalog.definitions(connection, schemas)).items()
        if not name.name.startswith(releases.PREFIX)
        and ((name.kind, name.schema.lower(), _plain(name).lower()) in plainly or _made(owned, name))
        and not any(each.made(name) for each in made)
    }


def _digests(snapshot: Snapshot) -> dict[Name, str]:
    return {
        name: hashlib.sha256(json.dumps(facets, sort_keys=True).encode()).hexdigest()
        for name, facets in snapshot.items.items()
    }


def _made(owned: Ownership, name: Name) -> bool:
    return owned.made(name.kind, name.schema, name.table, _plain(name))


def _reached(deployment: Deployment, modelled: Modelled) -> set[tuple[str, str, str]]:
    """Kind, schema and own name of each view of the models, and of each function that an account may execute."""
    found = {
        ("view", modelled.schema(table.schema), str(table.name))
        for table in deployment.tables.values()
        if is_view(table)
    }
    for account in deployment.accounts.values():
        for function in account.functions:
            *schema, name = (
                next(filter(None, match.groups())).strip() for match in _PART.finditer(function.name)
            )
            found.add(("function", modelled.schema(schema[-1] if schema else None), name))
    return found


def _halfway(connection: sa.Connection) -> bool:
    """Whether a revision stands half-way: what it made until now is no hand's."""
    return connection.execute(sa.select(releases.journal.c.revision).limit(1)).first() is not None


def _texts(scripts: ScriptDirectory, revisions: Iterable[str], dialect: str) -> Iterator[str]:
    """The statements that revisions send in their own words; the whole file of one that cannot be read to its end."""
    for revision in revisions:
        script = scripts.get_revision(revision)
        recording = recording_of(scripts, script, "upgrade", dialect)
        if recording.error is not None:
            yield Path(script.path).read_text(encoding="utf-8")
        for done in recording.whole:
            if isinstance(done.operation, ops.ExecuteSQLOp):
                yield str(done.operation.sqltext)


def _plain(name: Name) -> str:
    """Its own name: a function's without the arguments."""
    return name.name.partition("(")[0].strip() if name.kind == "function" else name.name


def _id(name: Name) -> str:
    words = (name.kind, name.schema, name.table, name.name)
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def _revisions(connection: sa.Connection) -> str:
    heads = MigrationContext.configure(connection).get_current_heads()
    return ",".join(sorted(heads))[:255]


def _version(connection: sa.Connection, backend: Backend) -> str:
    """Everything that definitions hang on, beside what they are: our own form, and the server's spelling."""
    return f"{FORMAT} {backend.identity.engine} {backend.catalog.spelled_by(connection)}"[:255]
