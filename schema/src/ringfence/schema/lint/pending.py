"""What a job would run: the revisions that a database has not, and what the lint says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend
from ringfence.schema.errors import JobFailed
from ringfence.schema.lint import Finding, Severity, Unsafe, lint
from ringfence.schema.revisions.heads import one_head
from ringfence.schema.revisions.selection import scripts_of, standing
from ringfence.schema.state import releases


@dataclass(frozen=True)
class Pending:
    """The revisions that are to run, the oldest first."""

    head: str | None
    heads: tuple[str, ...]
    """Where the database stands; empty before the first revision."""
    revisions: tuple[str, ...]
    scripts: ScriptDirectory

    @property
    def first(self) -> bool:
        """Whether the database has none yet: nothing there can be hurt, and nobody uses it."""
        return not self.heads


def pending_of(deployment: Deployment, backend: Backend, to: str = "head") -> Pending:
    """Ask the database where it stands.

    Args:
        deployment: the deployment.
        backend: its database.
        to: the revision to go to.

    Raises:
        JobFailed: there is no folder of migrations.
        BadDeployment: they cannot be read or have several heads, or the database stands at a revision that they do
            not have.
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
    done = standing(deployment, at)
    revisions = [name for name in releases.ancestors(scripts, [head] if head else ()) if name not in done]
    return Pending(head, at, tuple(revisions), scripts)


def judge(deployment: Deployment, pending: Pending, mirrors: tuple[Path, ...] = ()) -> tuple[Finding, ...]:
    """What the lint says of the revisions that are to run; nothing of those that make an empty database."""
    if pending.first or not pending.revisions:
        return ()
    return lint(deployment, pending.revisions, mirrors)


def refuse(findings: Sequence[Finding]) -> None:
    """Raise Unsafe when there is an error among them."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        told = "\n".join(f"  {finding}\n    {finding.way_out} (`{finding.explained}`)" for finding in errors)
        raise Unsafe(
            findings,
            f"the revisions that are to run would hurt, and nothing was changed:\n{told}\nMend them, allow one with"
            " `# ringfence: allow RF102 because …` on its line, or pass all with `--no-lint REASON`",
        )
