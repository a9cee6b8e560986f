"""The revisions that a migration job would run on a database, and their lint findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic.runtime.migration import MigrationContext

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines.base import Server
from ringfence.schema.errors import JobFailed
from ringfence.schema.lint import Finding, Severity, UnsafeRevisions, lint
from ringfence.schema.lint.rules import RULES
from ringfence.schema.revisions.heads import one_head
from ringfence.schema.revisions.scripts import Migrations
from ringfence.schema.revisions.selection import applied, scripts_of
from ringfence.schema.state import releases


@dataclass(frozen=True)
class Pending:
    """The revisions that a database still needs to reach a revision."""

    head: str | None
    """The revision to reach; None for the state before all revisions."""
    heads: tuple[str, ...]
    """The current revisions of the database; empty before the first one."""
    revisions: tuple[str, ...]
    """The ids of the revisions to run, oldest first."""
    scripts: Migrations
    """All migrations, with one recording of each revision for every reader."""

    @property
    def first(self) -> bool:
        """Whether no revision was applied yet, so that no service uses the database."""
        return not self.heads


def pending_of(deployment: Deployment, backend: Server, to: str = "head") -> Pending:
    """Read the current revision of the database, and determine the revisions to run.

    Args:
        deployment: the deployment.
        backend: the engine and the database of the deployment.
        to: the revision to reach; `head` for the newest, `base` for the state before all revisions.

    Raises:
        JobFailed: the folder of migrations does not exist.
        BadDeployment: the migrations cannot be read or have several heads, or the database is at a revision that they
            do not contain.
    """
    if not deployment.migrations.is_dir():
        raise JobFailed(
            f"there is no folder {deployment.migrations}; `ringfence revision -m …` writes a migration"
        )
    scripts = scripts_of(deployment)
    head = one_head(deployment, scripts)
    if to != "head":
        head = None if to == "base" else to
    with backend.engine().connect() as connection:
        at = MigrationContext.configure(connection).get_current_heads()
    done = applied(deployment, at)
    revisions = [name for name in releases.ancestors(scripts, [head] if head else ()) if name not in done]
    return Pending(head, at, tuple(revisions), scripts)


def lint_pending(
    deployment: Deployment, pending: Pending, mirrors: tuple[Path, ...] = ()
) -> tuple[Finding, ...]:
    """Lint the pending revisions; a database without any revision gets no findings.

    Args:
        deployment: the deployment.
        pending: the revisions to run.
        mirrors: folders with the mirrors of the running services; empty for the deployment's own folder.

    Raises:
        BadDeployment: the migrations cannot be read.
        BadMirror: a mirror cannot be read.
    """
    if pending.first or not pending.revisions:
        return ()
    return lint(deployment, pending.revisions, mirrors, pending.scripts)


def raise_on_errors(findings: Sequence[Finding], *, force: bool = False) -> list[Finding]:
    """Stop the job if a finding is an error.

    Args:
        findings: the findings of the pending revisions.
        force: whether the operator gave a reason for running a contract revision that services still depend on; it
            covers only the rules that depend on the services' mirrors.

    Returns:
        The errors that `force` overrides.

    Raises:
        UnsafeRevisions: at least one finding is an error that `force` does not override.
    """
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    overridden = [one for one in errors if force and RULES[one.rule].depends_on_mirrors]
    remaining = [one for one in errors if one not in overridden]
    if remaining:
        listed = "\n".join(f"  {one}\n    {one.resolution} (`{one.explained}`)" for one in remaining)
        forced = ", which `--force` does not cover" if force else ""
        raise UnsafeRevisions(
            findings,
            f"the pending revisions have lint errors{forced}, and nothing was changed:\n{listed}\nCorrect them, allow"
            " one with `# ringfence: allow RF102 because …` on its line, or skip the lint with `--no-lint REASON`",
        )
    return overridden
