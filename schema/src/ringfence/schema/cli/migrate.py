"""`ringfence migrate`: bring the database to head, with its accounts and their grants."""

from pathlib import Path

import click

from ringfence.schema.cli.access_plan import print_adoption
from ringfence.schema.cli.run import Run, command
from ringfence.schema.cli.stopping import stop_on_sigterm
from ringfence.schema.job import job
from ringfence.schema.job.journal import RESOLUTIONS
from ringfence.schema.text import counted


@click.command()
@click.option(
    "--adopt", is_flag=True, help="Take over accounts that exist and that Ringfence did not create."
)
@click.option("--write-mirrors", is_flag=True, help="Write the mirrors that are out of date.")
@click.option(
    "--allow-weak",
    is_flag=True,
    help="Accept weak passwords, in environments in which ringfence.toml allows it.",
)
@click.option("--expand", is_flag=True, help="Stop before the first contract revision.")
@click.option(
    "--force",
    metavar="REASON",
    help="Run a contract revision although a service still uses what it removes. Each finding that this overrides is"
    " recorded with the reason; other lint errors still stop the job.",
)
@click.option(
    "--resolve",
    type=click.Choice(RESOLUTIONS),
    help="How to continue after an interrupted revision, if the job asks: `done` or `again`.",
)
@click.option(
    "--no-lint", metavar="REASON", help="Do not lint the pending revisions; the reason is reported."
)
@click.option(
    "--mirrors",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with the mirrors of running services; by default the deployment's mirrors. May be repeated.",
)
@command
def migrate(
    run: Run,
    adopt: bool,
    write_mirrors: bool,
    allow_weak: bool,
    expand: bool,
    force: str | None,
    resolve: str | None,
    no_lint: str | None,
    mirrors: tuple[Path, ...],
) -> None:
    """Upgrade the database to head, and bring its accounts and grants to the state of the manifest.

    Waits for the database, takes the lock, lints the pending revisions, runs them, applies the manifest, and compares
    the result with the models.

    The admin's login is in DB_*, each account's password in <SERVICE>_DB_PASS or <SERVICE>_DB_PASS_FILE.
    """
    if force is not None and not force.strip():
        raise click.UsageError("--force needs a reason, which is recorded")
    deployment = run.deployment
    with stop_on_sigterm(), run.task("migrate") as task:
        report = job.migrate(
            deployment,
            options=job.MigrateOptions(
                adopt=adopt,
                write_mirrors=write_mirrors,
                allow_weak=allow_weak,
                resolve=resolve,
                expand=expand,
                force=force,
                no_lint=no_lint,
                mirrors=mirrors,
            ),
            on_message=task.print,
            on_plan=lambda made: print_adoption(run, made),
        )
    print_report(run, report)


def print_report(run: Run, report: job.Report) -> None:
    """Print what the job did, and add it to the JSON document.

    Args:
        run: the call of the command.
        report: the report of the job.
    """
    for warning in report.warnings:
        run.print(f"warning: {warning}", style="yellow")
    for finding in report.findings:
        run.print(f"{finding}", style="yellow")
    if report.not_linted is not None:
        run.print(f"not linted: {report.not_linted}", style="yellow")
    for override in report.overrides:
        run.print(f"forced: {override}", style="yellow")
    for name in report.applied:
        run.print(f"applied {name}")
    access = report.access
    for kind, logins in (
        ("created", access.created),
        ("gave a new password to", access.passwords),
        ("locked", access.locked),
    ):
        if logins:
            run.print(f"{kind} {', '.join(logins)}")
    if access.granted or access.revoked:
        run.print(f"granted {access.granted} and revoked {counted(access.revoked, 'privilege')}")
    for service in report.mirrors_written:
        run.print(f"wrote the mirror of {service}")
    changed = report.applied or access.statements or report.mirrors_written
    run.print(
        f"{report.server} ({report.engine} {report.version}) is at {report.revision or 'no revision'},"
        f" with {counted(report.accounts, 'account')}{'' if changed else '; nothing was changed'}"
    )
    run.report(**report.as_dict())
