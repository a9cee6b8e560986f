"""`ringfence lint`: check pending revisions for unsafe operations before they run."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from ringfence.schema.cli.run import Run, command
from ringfence.schema.deployment import Deployment
from ringfence.schema.documents import suggestion
from ringfence.schema.lint import Finding, Severity, UnsafeRevisions
from ringfence.schema.lint import lint as run_lint
from ringfence.schema.lint.rules import RULES
from ringfence.schema.revisions.selection import pending, select
from ringfence.schema.text import counted

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning"}


@click.command()
@click.option(
    "--all", "everything", is_flag=True, help="Check all revisions; the default if DB_* is not set."
)
@click.option(
    "--range",
    "range_",
    metavar="A:B",
    help="Check the revisions after A, up to and including B; either may be left out.",
)
@click.option(
    "--mirrors",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with the mirrors of running services; by default the deployment's mirrors. May be repeated.",
)
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option(
    "--explain",
    "rule",
    metavar="RULE",
    help="Describe a rule: what it finds, on which engines, and what to do instead.",
)
@click.option("--github", is_flag=True, help="Print annotations for GitHub Actions.")
@command
def lint(
    run: Run,
    everything: bool,
    range_: str | None,
    mirrors: tuple[Path, ...],
    strict: bool,
    rule: str | None,
    github: bool,
) -> None:
    """Check what revisions do, on every engine of the deployment; exits 2 if one is unsafe.

    Checks the revisions that are pending in the database of DB_*, or all revisions if DB_* is not set. Nothing is
    changed.
    """
    if rule is not None:
        _explain(run, rule.upper())
        return
    if range_ is not None and (everything or range_.count(":") != 1):
        raise click.UsageError(
            "--range takes A:B, as in `--range 1a2b3c:head`, and cannot be combined with --all"
        )
    deployment = run.deployment
    chosen = _chosen(deployment, everything, range_)
    with run.task("linting"):
        findings = run_lint(deployment, chosen, mirrors)
    if not run.as_json:
        for finding in findings:
            click.echo(_annotation(deployment, finding) if github else _lines(finding))
    _end(run, findings, len(chosen), strict=strict)


def _explain(run: Run, name: str) -> None:
    """Print the description of one rule; needs no deployment."""
    if name not in RULES:
        raise click.UsageError(f"there is no rule {name!r}{suggestion(name, RULES)}")
    rule = RULES[name]
    severities = {engine: str(severity) for engine, severity in rule.severity.items()}
    run.print(f"{rule.id}: {rule.summary}", style="bold")
    for severity in Severity:
        if engines := [engine for engine, known in severities.items() if known == str(severity)]:
            run.print(f"  {severity} on {', '.join(engines)}")
    run.print(f"  instead: {rule.resolution}")
    run.print(
        f"  to allow one: write `# ringfence: allow {rule.id} because …` on its line or on the lines above it"
    )
    run.report(rule=rule.id, summary=rule.summary, severity=severities, resolution=rule.resolution)


def _chosen(deployment: Deployment, everything: bool, range_: str | None) -> frozenset[str]:
    if range_ is not None:
        return select(deployment, *range_.split(":"))
    if everything or not (os.environ.get("DB_TYPE") or os.environ.get("DATABASE_URL")):
        return select(deployment)
    return pending(deployment, os.environ)


def _end(run: Run, findings: Sequence[Finding], looked_at: int, *, strict: bool) -> None:
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    warnings = len(findings) - errors
    revisions = counted(looked_at, "revision")
    summary = f"{revisions} checked: {counted(errors, 'error')}, {counted(warnings, 'warning')}"
    if errors or (strict and warnings):
        raise UnsafeRevisions(
            findings,
            f"{summary}; change the revisions, or allow one with `# ringfence: allow RF102 because …` on its line",
        )
    run.print(summary)
    run.report(revisions=looked_at, findings=[finding.as_dict() for finding in findings])


def _lines(finding: Finding) -> str:
    return (
        f"{finding}\n    {finding.resolution} (`{finding.explained}`)" if finding.resolution else str(finding)
    )


def _annotation(deployment: Deployment, finding: Finding) -> str:
    """Return a GitHub workflow command; its file is relative to the current folder, usually that of the checkout."""
    path = Path(os.path.relpath(deployment.root / finding.file))
    message = _escaped(f"{finding.message}\n{finding.resolution} (`{finding.explained}`)")
    title = _escaped(finding.rule, in_property=True)
    file = _escaped(path.as_posix(), in_property=True)
    return f"::{_LEVELS[finding.severity]} file={file},line={finding.line},title={title}::{message}"


def _escaped(text: str, *, in_property: bool = False) -> str:
    """Escape the text as GitHub's own toolkit (actions/toolkit) does."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if in_property else text
