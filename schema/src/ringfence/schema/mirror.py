"""Generates the mirror of each service, with the tables and columns that it may access, and its typed module."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.schema import ColumnCollectionConstraint

from ringfence.runtime.errors import BadMirror
from ringfence.runtime.mirror import Column, Constraint, ForeignKey, Mirror, Table, Verb, names
from ringfence.schema import sqlalchemy_compat
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import relations
from ringfence.schema.errors import BadDeployment, Mistake
from ringfence.schema.manifest.model import Account, Condition, Grant
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.models.defaults import default, on_update
from ringfence.schema.models.object_names import check_columns, constraints, names_in
from ringfence.schema.models.password_columns import is_password
from ringfence.schema.models.types import portable
from ringfence.schema.portability import is_unconditional_unique
from ringfence.schema.revisions.contract import contract_of
from ringfence.schema.revisions.heads import explain
from ringfence.schema.revisions.scripts import scripts_in, unreadable
from ringfence.schema.sql.table_keys import key_of, referred_column, referred_table, split_key
from ringfence.schema.stubs import HEADER, module_name, module_text, stub_text

SUFFIX = ".json"


@dataclass(frozen=True)
class MirrorFile:
    """A mirror, or a file of its typed module: its generated content, and its content on disk.

    Attributes:
        path: the file.
        service: the service.
        expected: the generated content; None if the file belongs to no service.
        current: the content on disk; None if the file does not exist.
    """

    path: Path
    service: str
    expected: str | None
    current: str | None

    @property
    def state(self) -> str:
        """`same`, `missing` (not on disk), `stale` (differs) or `orphan` (belongs to no account)."""
        if self.expected is None:
            return "orphan"
        if self.current is None:
            return "missing"
        return "same" if self.current == self.expected else "stale"

    def difference(self) -> str:
        """Write a unified diff from the content on disk to the generated one."""
        found, wanted = ((text or "").splitlines(keepends=True) for text in (self.current, self.expected))
        return "".join(
            difflib.unified_diff(found, wanted, f"{self.path.name} (written)", f"{self.path.name} (expected)")
        )


Touched = Mapping[str, frozenset[str]]
"""What a new revision changes: the table's key -> the names of its changed columns."""


def mirror_files(deployment: Deployment, touched: Touched = MappingProxyType({})) -> tuple[MirrorFile, ...]:
    """Compare the generated mirrors with the files on disk, without writing anything.

    A mirror whose content is unchanged keeps the revision that it has. Any other gets the newest revision that is no
    contract revision, for which its service then waits.

    Args:
        deployment: the deployment.
        touched: what a new revision changes. A mirror that holds one of these columns gets the new revision even
            where its content is on disk already, because `ringfence mirror` ran before the revision was made.

    Returns:
        Every expected file in the order of the accounts, then the orphans by name.

    Raises:
        BadDeployment: the migrations have more than one head, or cannot be read.
    """
    revisions = _revisions(deployment)
    needed = _needed(deployment, revisions)
    files = [
        _mirror_file(deployment, account, revisions, needed, touched)
        for account in deployment.accounts.values()
    ]
    expected = {file.path for file in files}
    orphans = (path for path in sorted(deployment.mirrors.glob(f"*{SUFFIX}")) if path not in expected)
    files += [MirrorFile(path, path.stem, None, path.read_text(encoding="utf-8")) for path in orphans]
    return tuple(files)


def typed_files(deployment: Deployment) -> tuple[MirrorFile, ...]:
    """Compare the generated typed modules with the files on disk, without writing anything.

    A typed module is a stub for type checkers, and a module of the same name with the few lines that run. No part of
    either depends on the revision.

    Returns:
        Every expected file in the order of the accounts, then the orphans by name.

    Raises:
        BadDeployment: a file that was not generated has the name of a typed module.
    """
    files: list[MirrorFile] = []
    modules: set[str] = set()
    for account in deployment.accounts.values():
        mirror = make_mirror(deployment, account, None)
        module = module_name(account.service, modules)
        modules.add(module)
        texts = {".pyi": stub_text(mirror), ".py": module_text(mirror, f"{account.service}{SUFFIX}")}
        for suffix, text in texts.items():
            path = deployment.mirrors / f"{module}{suffix}"
            found = _read(path)
            if found is not None and not _is_generated(found):
                problem = f"{deployment.display_path(path)} is not generated, and the typed module of"
                problem += f" {account.service} has its name: move it, or set another folder as `mirrors`"
                raise BadDeployment([Mistake("ringfence.toml", None, problem)])
            files.append(MirrorFile(path, account.service, text, found))
    expected = {file.path for file in files}
    for path in sorted((*deployment.mirrors.glob("*.py"), *deployment.mirrors.glob("*.pyi"))):
        found = None if path in expected else _read(path)
        if found is not None and _is_generated(found):
            files.append(MirrorFile(path, path.stem, None, found))
    return tuple(files)


def _is_generated(text: str) -> bool:
    return text.startswith(HEADER.splitlines()[0])


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def write_mirrors(deployment: Deployment, touched: Touched = MappingProxyType({})) -> tuple[MirrorFile, ...]:
    """Write the mirrors and typed modules that are missing or stale, and remove orphans.

    Args:
        deployment: the deployment.
        touched: see `mirror_files`.

    Returns:
        The files that were changed, each with its former content.

    Raises:
        BadDeployment: see `mirror_files` and `typed_files`.
    """
    files = (*mirror_files(deployment, touched), *typed_files(deployment))
    changed = tuple(file for file in files if file.state != "same")
    deployment.mirrors.mkdir(parents=True, exist_ok=True)
    for file in changed:
        if file.expected is None:
            file.path.unlink()
        else:
            file.path.write_text(file.expected, encoding="utf-8")
    return changed


def check_mirrors(deployment: Deployment) -> tuple[MirrorFile, ...]:
    """Find the mirror files that are missing, stale or orphans, without changing any.

    Raises:
        BadDeployment: see `mirror_files`.
    """
    return tuple(file for file in mirror_files(deployment) if file.state != "same")


def check_typed_files(deployment: Deployment) -> tuple[MirrorFile, ...]:
    """Find the files of typed modules that are missing, stale or orphans, without changing any.

    Raises:
        BadDeployment: see `typed_files`.
    """
    return tuple(file for file in typed_files(deployment) if file.state != "same")


def _revisions(deployment: Deployment) -> tuple[str, ...]:
    """All revisions of the migrations, the head first; none where the folder does not exist."""
    name = deployment.migrations.name
    if not deployment.migrations.is_dir():
        return ()
    try:
        scripts = scripts_in(deployment.migrations)
        revisions = tuple(script.revision for script in scripts.walk_revisions())
    except Exception as error:  # a revision is code of the deployment, and may raise anything
        raise unreadable(deployment, error) from error
    if problem := explain(scripts):
        raise BadDeployment([Mistake(name, None, problem)])
    return revisions


def make_mirror(deployment: Deployment, account: Account, revision: str | None) -> Mirror:
    """Make the mirror of one account.

    Args:
        deployment: the account's.
        account: with its grants.
        revision: the one that the service shall wait for; None for none.
    """
    routed = relations(deployment.engines, account, deployment.tables)
    tables = (
        _table(
            deployment.tables[key],
            verbs,
            deployment.engines,
            {verb: routed.get((key, verb), {}) for verb in verbs},
        )
        for key, verbs in account.grants_by_table().items()
    )
    names = deployment.policy.scopes
    return Mirror(
        deployment=deployment.name,
        service=account.service,
        login=account.login,
        revision=revision,
        engines=deployment.engines,
        tables={table.key: table for table in tables},
        scopes={
            name: {"type": names[name].type, "setting": names[name].setting, "unset": names[name].unset}
            for name in sorted(account.bound)
        },
    )


def _mirror_file(
    deployment: Deployment,
    account: Account,
    revisions: tuple[str, ...],
    needed: str | None,
    touched: Touched,
) -> MirrorFile:
    path = deployment.mirrors / f"{account.service}{SUFFIX}"
    mirror = make_mirror(deployment, account, needed)
    found = _read(path)
    known = None if found is None else _parsed(path)
    # A revision that no longer exists, because it was made again, would keep the service waiting for ever.
    keeps = known is not None and known.revision in revisions and not _holds(mirror, touched)
    if known is not None and keeps and known.same_content(mirror):
        mirror = replace(mirror, revision=known.revision)
    return MirrorFile(path, account.service, mirror.to_json(), found)


def _needed(deployment: Deployment, revisions: tuple[str, ...]) -> str | None:
    """The newest revision that a service can depend on: the newest that is no contract revision.

    No service waits for a contract revision: that one waits until the services no longer use what it removes.
    """
    scripts = scripts_in(deployment.migrations) if revisions else None
    for name in revisions:
        if scripts is not None and not contract_of(scripts.get_revision(name)):
            return name
    return None


def _holds(mirror: Mirror, touched: Touched) -> bool:
    """Whether a mirror holds one of the columns that a revision changes."""
    tables = {key_of(table.schema, table.name): table for table in mirror.tables.values()}
    return any(
        key in tables and not columns.isdisjoint(tables[key].columns) for key, columns in touched.items()
    )


def _parsed(path: Path) -> Mirror | None:
    """The mirror on disk, or None where its format is another or it is damaged, so that it must be written again."""
    try:
        return Mirror.load(path)
    except BadMirror:
        return None


def _table(
    table: sa.Table,
    verbs: Mapping[str, Grant],
    engines: Iterable[str],
    routed: Mapping[str, Mapping[str, str]],
) -> Table:
    engines = tuple(engines)
    columns = (_column(column, verbs, engines) for column in table.columns)
    seen = {
        column.name: column
        for column in columns
        if column.selectable or column.insertable or column.updatable
    }
    return Table(
        key=names.table_name(str(table.name), table.schema),
        kind="view" if is_view(table) else "table",
        schema=None if table.schema is None else str(table.schema),
        name=str(table.name),
        columns=seen,
        primary_key=tuple(str(column.name) for column in table.primary_key.columns),
        constraints=_constraints(table, engines),
        foreign_keys=tuple(
            sorted(
                (_foreign_key(item) for item in table.foreign_key_constraints),
                key=lambda key: (key.columns, key.schema or "", key.table, key.references),
            )
        ),
        verbs={
            verb: Verb(_scope(table, grant, engines), routed[verb], grant.binds)
            for verb, grant in verbs.items()
        },
    )


def _scope(
    table: sa.Table, grant: Grant, engines: tuple[str, ...]
) -> tuple[Mapping[str, Mapping[str, Any]], ...] | None:
    """The scope of a verb as JSON; each condition has its column's type, as the column need not be in the mirror."""
    if grant.scope is None:
        return None
    kinds = {str(column.name): portable(column.type, engines) for column in table.columns}

    def typed(condition: Condition) -> dict[str, Any]:
        kind = kinds[condition.column]
        params = {key: value for key, value in kind.params.items() if key == "timezone"}
        return condition.as_json() | {"type": kind.type} | ({"params": params} if params else {})

    return tuple({condition.column: typed(condition) for condition in part} for part in grant.scope)


def _column(column: sa.Column[Any], verbs: Mapping[str, Grant], engines: tuple[str, ...]) -> Column:
    kind = portable(column.type, engines)
    # Computed columns and GENERATED ALWAYS AS IDENTITY: the server refuses a given value.
    writable = column.computed is None and not (column.identity is not None and column.identity.always)

    def granted(verb: str) -> bool:
        grant = verbs.get(verb)
        return grant is not None and (grant.columns is None or column.name in grant.columns)

    return Column(
        name=str(column.name),
        field=names.field_name(str(column.name)),
        type=kind.type,
        params={**kind.params, "password": True} if is_password(column) else kind.params,
        nullable=bool(column.nullable),
        selectable=granted("select"),
        insertable=granted("insert") and writable,
        updatable=granted("update") and writable,
        autoincrement=column.table.autoincrement_column is column,
        default=default(column, kind, engines),
        on_update=on_update(column, kind, engines),
    )


def _constraints(table: sa.Table, engines: Sequence[str]) -> dict[str, Constraint]:
    """Every constraint and unique index, by each name that it has on one of the engines.

    A unique index that does not hold for every row on every engine is of the kind `partial_unique`.
    """
    found: dict[str, Constraint] = {}
    kinds: tuple[tuple[type[sa.Constraint], str], ...] = (
        (sa.PrimaryKeyConstraint, "primary_key"),
        (sa.UniqueConstraint, "unique"),
        (sa.ForeignKeyConstraint, "foreign_key"),
        (sa.CheckConstraint, "check"),
    )
    for item in constraints(table):
        kind = next((kind for cls, kind in kinds if isinstance(item, cls)), None)
        if kind is not None and not (kind == "primary_key" and not table.primary_key.columns):
            if kind == "unique" and sqlalchemy_compat.condition(item) is not None:
                kind = "partial_unique"  # it may be missing
            of = Constraint(kind, _columns_of(table, item))
            found |= dict.fromkeys(names_in(item, table, engines), of)
    for index in table.indexes:
        if index.unique:
            kind = "unique" if is_unconditional_unique(index) else "partial_unique"
            of = Constraint(kind, tuple(str(column.name) for column in index.columns))
            found |= dict.fromkeys(names_in(index, table, engines), of)
    return found


def _columns_of(table: sa.Table, item: sa.Constraint) -> tuple[str, ...]:
    """The columns of a constraint in its own order, or those that a CHECK refers to in the order of the table."""
    if isinstance(item, sa.CheckConstraint):
        return check_columns(item, table)
    return (
        tuple(str(column.name) for column in item.columns)
        if isinstance(item, ColumnCollectionConstraint)
        else ()
    )


def _foreign_key(item: sa.ForeignKeyConstraint) -> ForeignKey:
    elements = tuple(item.elements)
    schema, table = split_key(referred_table(elements[0]))
    return ForeignKey(
        columns=tuple(str(column.name) for column in item.columns),
        schema=schema,
        table=table,
        references=tuple(map(referred_column, elements)),
        on_delete=item.ondelete,
        on_update=item.onupdate,
    )
