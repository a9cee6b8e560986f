"""Compares two versions of the manifest: which privileges one grants beyond the other."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ringfence.schema.deployment import Deployment
from ringfence.schema.documents import Document
from ringfence.schema.errors import BadDeployment, Mistake
from ringfence.schema.git import git
from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.manifest.parsing import parse_manifest
from ringfence.schema.manifest.resolution import resolve
from ringfence.schema.manifest.scopes import includes, to_text


@dataclass(frozen=True, slots=True)
class Difference:
    """One verb on one table that an account gains or loses.

    `columns` is empty for the whole table. `by` names the manifest's lines. `rows` describes the scope, and is empty
    for every row.
    """

    service: str
    table: str
    verb: str
    columns: tuple[str, ...]
    by: str
    rows: str = ""

    def __str__(self) -> str:
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        rows = f" where {self.rows}" if self.rows else ""
        return f"{self.service}: {self.verb}{columns} on {self.table}{rows}  [{self.by}]"


@dataclass(frozen=True, slots=True)
class ManifestDiff:
    """The difference of two manifests: what the new one grants beyond the old, and what it no longer grants."""

    widened: tuple[Difference, ...]
    narrowed: tuple[Difference, ...]
    logins: tuple[str, ...]
    """One sentence for each account that was added, was removed, or has another login."""


def read_manifest(
    deployment: Deployment, source: str, note: Callable[[Mistake], None] = lambda mistake: None
) -> tuple[Account, ...]:
    """Read the accounts of another version of the manifest, resolved against the current models.

    Tables and columns that the models no longer have are taken over as the manifest names them.

    Args:
        deployment: its models and engines.
        source: the path of a file, or a git revision of the deployment's manifest.
        note: called with each entry that cannot be resolved, which is left out.

    Returns:
        The accounts in the order of the file.

    Raises:
        BadDeployment: the source is neither a readable file nor a git revision, or its grammar is wrong.
    """
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else _revision(deployment, source)
    except (OSError, UnicodeDecodeError) as error:
        raise BadDeployment(
            [Mistake(source, None, f"cannot be read: {type(error).__name__}: {error}")]
        ) from error
    document = Document(source, text)
    parse_manifest(document)
    if document.mistakes:
        raise BadDeployment(document.mistakes)
    accounts, _ = resolve(document, deployment.tables, deployment.engines, past=True)
    for mistake in document.mistakes:
        note(mistake)
    return accounts


def _revision(deployment: Deployment, revision: str) -> str:
    name = manifest_name(deployment)
    if revision.startswith("-"):
        raise BadDeployment([Mistake(revision, None, "is neither a file nor a git revision")])
    try:
        done = git(deployment.root, "show", f"{revision}:./{name}")
    except OSError as error:
        raise BadDeployment(
            [Mistake(revision, None, f"is not a file, and git cannot be run: {error}")]
        ) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise BadDeployment(
            [
                Mistake(
                    revision,
                    None,
                    f"is neither a file nor a git revision of {name}: {lines[0] if lines else ''}",
                )
            ]
        )
    return done.stdout


def manifest_name(deployment: Deployment) -> str:
    """The manifest's file name, from the deployment's folder; `access.yaml` where it has no account."""
    return next((account.origin.file for account in deployment.accounts.values()), "access.yaml")


def compare_manifests(old: Iterable[Account], new: Iterable[Account]) -> ManifestDiff:
    """Compare the accounts of two manifests; accounts of the same service are compared.

    Args:
        old: the accounts before.
        new: the accounts after.
    """
    before, after = ({a.service: a for a in side} for side in (old, new))
    logins = [f"{name} ({after[name].login}) is new" for name in after if name not in before]
    logins += [f"{name} ({before[name].login}) goes" for name in before if name not in after]
    logins += [
        f"{name} logs in as {after[name].login}, no longer as {before[name].login}"
        for name in after
        if name in before and after[name].login != before[name].login
    ]
    return ManifestDiff(tuple(_beyond(before, after)), tuple(_beyond(after, before)), tuple(logins))


def _beyond(less: Mapping[str, Account], more: Mapping[str, Account]) -> list[Difference]:
    """What the second manifest grants beyond the first."""
    found = []
    for service, account in more.items():
        known = {(g.key, g.verb): g for g in less[service].grants} if service in less else {}
        for grant in account.grants:
            columns = _added(known.get((grant.key, grant.verb)), grant)
            if columns is not None:
                rows = "" if grant.scope is None else to_text(grant.scope)
                found.append(Difference(service, grant.key, grant.verb, columns, grant.by, rows))
    return found


def _added(old: Grant | None, new: Grant) -> tuple[str, ...] | None:
    """The columns that the new grant adds.

    Returns:
        The added columns, or all of the grant's where it adds rows; empty for the whole table; None for no addition.
    """
    if old is None or not includes(old.scope, new.scope):
        return new.columns or ()
    if old.columns is None:
        return None
    if new.columns is None:
        return ()
    return tuple(column for column in new.columns if column not in old.columns) or None
