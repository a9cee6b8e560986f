"""Find views, functions and triggers that were replaced by hand, and so may expose more than the manifest gives.

Objects of the models are compared with the models. Other objects come from the SQL of migrations or existed before: a
job records a digest of each at its end. A digest that differs later, while the database is at the same revision, shows
that no migration made the change.
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

from ringfence.schema.autogenerate.options import Comparison
from ringfence.schema.comparison.deployment_diff import models_of
from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.comparison.model_statements import model_statements
from ringfence.schema.comparison.snapshot import Name, Snapshot
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, Exposure
from ringfence.schema.lint.pending import Pending
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.revisions.ownership.ownership import Ownership, ownership
from ringfence.schema.revisions.scripts import Migrations
from ringfence.schema.revisions.selection import scripts_of
from ringfence.schema.state import releases

FORMAT = 1
"""The version of the digests: increase it whenever other facts of an object are read, so that old ones are ignored."""
_KINDS = ("view", "function")
_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|([^."`]+)')
"""One part of a name in the manifest, quoted or bare."""
_table = releases.definition


@dataclass(frozen=True, slots=True)
class ReplacedObject:
    """One object that was changed or dropped by hand since the last job.

    Args:
        name: the object's name.
        missing: whether it no longer exists.
    """

    name: Name
    missing: bool

    def __str__(self) -> str:
        if self.missing:
            return f"{self.name} no longer exists: it was dropped by hand since the last job"
        return f"{self.name} differs from what the last job recorded: it was replaced or altered by hand since then"

    @property
    def resolution(self) -> str:
        """How to resolve it."""
        return (
            "create it again as it was; where the change is intended, write a revision that makes it, with"
            " `op.execute`"
        )


def replaced_since_last_job(connection: sa.Connection, backend: Backend) -> list[ReplacedObject]:
    """Find the objects that were changed or dropped by hand since the last job.

    Nothing is compared before the first job that records digests; when the database is at another revision than then,
    or in the middle of one; or when the server may spell the same definition differently: on another version, with
    another default schema of the admin, or in a PostgreSQL database that was restored from a dump.

    Args:
        connection: the admin's; it is only read from.
        backend: the server.

    Returns:
        The objects, sorted by kind and name.
    """
    if not sa.inspect(connection).has_table(_table.name) or _is_half_applied(connection):
        return []
    recorded = connection.execute(sa.select(_table)).mappings().all()
    here = (_revisions(connection), _version(connection, backend))
    known = [row for row in recorded if (row["revisions"], row["version"]) == here]
    if not known:
        return []
    names = {Name(*json.loads(row["object"])): row["digest"] for row in known}
    schemas = {name.schema or None for name in names}
    present = _digests(backend.introspection.catalog.definitions(connection, schemas))
    return [
        ReplacedObject(name, missing=name not in present)
        for name, digest in sorted(names.items())
        if present.get(name) != digest
    ]


def unresolved_replacements(connection: sa.Connection, backend: Backend, pending: Pending) -> list[str]:
    """Find manually changed objects that no pending revision names; a job refuses to begin while there are any.

    Args:
        connection: the admin's; it is only read from.
        backend: the server.
        pending: the revisions that are to run.

    Returns:
        A sentence for each object, with how to resolve it.
    """
    found = replaced_since_last_job(connection, backend)
    if not found:
        return []
    statements = "\n".join(_texts(pending.scripts, pending.revisions, connection.dialect.name))
    return [
        f"{one}; {one.resolution}"
        for one in found
        if not re.search(rf"(?<!\w){re.escape(_plain(one.name))}(?!\w)", statements, re.IGNORECASE)
    ]


def record_definitions(connection: sa.Connection, backend: Backend, deployment: Deployment) -> None:
    """Record the digests of these objects, and commit; a second call changes nothing.

    Args:
        connection: the admin's, to a database with Ringfence's tables.
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
        for name, digest in _current(connection, backend, deployment).items()
    }
    stale = [id_ for id_, row in known.items() if wanted.get(id_) != row]
    if stale:
        connection.execute(sa.delete(_table).where(_table.c.id.in_(stale)))
    if new := [row for id_, row in wanted.items() if known.get(id_) != row]:
        connection.execute(sa.insert(_table), new)
    connection.commit()


def _current(connection: sa.Connection, backend: Backend, deployment: Deployment) -> dict[Name, str]:
    """Return the digest of each object that no model defines and that a migration made or an account can reach."""
    dialect = connection.dialect
    owned = ownership(deployment, dialect.name, dialect.default_schema_name)
    models = models_of(deployment.metadata, dict(deployment.tables))
    modelled = ModelLookup(models, dialect)
    made = model_statements(modelled, connection)
    objects = owned.objects
    keys = [*objects.tables, *(key for kind in _KINDS for key in objects.others.get(kind, ()))]
    reached = _reached(deployment, modelled)
    schemas = {None, *(schema for schema, _ in keys), *(table.schema for table in deployment.tables.values())}
    # The manifest may write a bare name in any case; PostgreSQL stores it in lower case.
    schemas |= {one or None for _, schema, _ in reached for one in (schema, schema.lower())}
    plainly = {(kind, schema.lower(), name.lower()) for kind, schema, name in reached}
    return {
        name: digest
        for name, digest in _digests(backend.introspection.catalog.definitions(connection, schemas)).items()
        if not name.name.startswith(releases.PREFIX)
        and ((name.kind, name.schema.lower(), _plain(name).lower()) in plainly or _made(owned, name))
        and not any(each.created_object(name) for each in made)
    }


def _digests(snapshot: Snapshot) -> dict[Name, str]:
    return {
        name: hashlib.sha256(json.dumps(facets, sort_keys=True).encode()).hexdigest()
        for name, facets in snapshot.items.items()
    }


def _made(owned: Ownership, name: Name) -> bool:
    return owned.may_drop(name.kind, name.schema, name.table, _plain(name))


def _reached(deployment: Deployment, modelled: ModelLookup) -> set[tuple[str, str, str]]:
    """Return (kind, schema, name) of each view of the models and of each function that an account may execute."""
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


def _is_half_applied(connection: sa.Connection) -> bool:
    """Whether a revision was applied in part: then a difference may be its work, and not a manual change."""
    return connection.execute(sa.select(releases.journal.c.revision).limit(1)).first() is not None


def _texts(scripts: Migrations, revisions: Iterable[str], dialect: str) -> Iterator[str]:
    """Yield the literal SQL of the revisions; also the whole file of a revision that cannot be recorded to its end."""
    for revision in revisions:
        script = scripts.get_revision(revision)
        recording = scripts.recording(script, dialect)
        if recording.error is not None:
            yield Path(script.path).read_text(encoding="utf-8")
        for done in recording.whole:
            if isinstance(done.operation, ops.ExecuteSQLOp):
                yield str(done.operation.sqltext)


def _plain(name: Name) -> str:
    """Return the bare name; for a function, without the argument list."""
    return name.name.partition("(")[0].strip() if name.kind == "function" else name.name


def _id(name: Name) -> str:
    words = (name.kind, name.schema, name.table, name.name)
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def _revisions(connection: sa.Connection) -> str:
    heads = MigrationContext.configure(connection).get_current_heads()
    return ",".join(sorted(heads))[:255]


def _version(connection: sa.Connection, backend: Backend) -> str:
    """Return what digests depend on besides the definitions: our format, the engine, and the server's spelling."""
    return f"{FORMAT} {backend.identity.engine} {backend.introspection.catalog.spelled_by(connection)}"[:255]


_KINDS_OF_MODELS = frozenset({"view", "function", "trigger"})
_RESOLUTION = (
    "run the statement of the models again (`ringfence revision` writes it), or bring the models up to what the"
    " database has"
)


def replaced_objects(backend: Backend, deployment: Deployment) -> list[Exposure]:
    """Find views, functions and triggers that differ from the models or from the state that the last job recorded.

    Objects of the models are compared only in a database at head, because a pending migration may still change them.
    Objects that no model defines are compared with the recorded state.

    Args:
        backend: the server.
        deployment: its models and migrations.

    Returns:
        An exposure for each object, with how to resolve it; an apply refuses to begin while there are any.
    """
    with backend.engine().connect() as connection:
        by_hand = replaced_since_last_job(connection, backend)
    return [
        *_beside_models(backend, deployment),
        *(
            Exposure(
                one.name.kind,
                None,
                str(one),
                resolution=one.resolution,
                refuses=True,
                finding="missing" if one.missing else "excess",
            )
            for one in by_hand
        ),
    ]


def _beside_models(backend: Backend, deployment: Deployment) -> list[Exposure]:
    if backend.accounts is None:
        return []
    # On its own connection: the comparison creates the models' objects in a transaction that is rolled back.
    with backend.engine().connect() as connection:
        if not _makes_any(connection, deployment) or not _at_head(connection, deployment):
            return []
        found = Comparison(deployment, backend).compare(connection)
    return [
        Exposure(
            each.name.kind,
            None,
            f"{each.name} does not exist, and the models define it"
            if each.missing
            else f"{each.name} differs from the models: {str(each).partition(': ')[2]}",
            resolution=_RESOLUTION,
            refuses=True,
            finding="missing" if each.missing else "excess",
        )
        for each in found.missing
        if each.name.kind in _KINDS_OF_MODELS
    ]


def _makes_any(connection: sa.Connection, deployment: Deployment) -> bool:
    """Whether the models define any view, function or trigger; if not, the slow comparison is skipped."""
    models = models_of(deployment.metadata, dict(deployment.tables))
    modelled = ModelLookup(models, connection.dialect)
    return any(
        made.kind in _KINDS_OF_MODELS
        for each in model_statements(modelled, connection)
        for made in each.creates
    )


def _at_head(connection: sa.Connection, deployment: Deployment) -> bool:
    if not deployment.migrations.is_dir():
        return False
    heads = MigrationContext.configure(connection).get_current_heads()
    return set(heads) == set(scripts_of(deployment).get_heads())
