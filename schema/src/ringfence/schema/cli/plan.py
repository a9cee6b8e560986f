"""`ringfence plan`: describe everything that `migrate` would do, in words and as SQL, without changing anything."""

from pathlib import Path

import click

from ringfence.schema.cli.access_plan import print_adoption
from ringfence.schema.cli.run import Run, command
from ringfence.schema.errors import ChangesPending, JobFailed, SchemaError
from ringfence.schema.job.description import RevisionDescription
from ringfence.schema.job.plan import JobPlan, plan_job
from ringfence.schema.lint import UnsafeRevisions
from ringfence.schema.text import counted


@click.command()
@click.option(
    "--adopt", is_flag=True, help="Take over accounts that exist and that Ringfence did not create."
)
@click.option("--sql", "as_sql", is_flag=True, help="Print only the statements.")
@click.option(
    "--mirrors",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with the mirrors of running services; by default the deployment's mirrors. May be repeated.",
)
@command
def plan(run: Run, adopt: bool, as_sql: bool, mirrors: tuple[Path, ...]) -> None:
    """Show everything that `migrate` would do: revisions, lint findings, accounts and grants, mirrors.

    Nothing is changed, and no lock is taken. Exits 2 if there is anything to do, 1 if `migrate` would not finish.
    """
    with run.task("plan") as task:
        made = plan_job(run.deployment, adopt=adopt, mirrors=mirrors, on_message=task.print)
    if as_sql:
        for statement in _statements(made):
            run.print(statement)
    else:
        _print_plan(run, made)
    run.report(**made.as_dict())
    if error := _end(made):
        raise error


def _end(made: JobPlan) -> SchemaError | None:
    """Return the error with which the command ends, with the plan in its details; None if there is nothing to do."""
    error: SchemaError | None = None
    if made.obstacles:
        error = JobFailed("a job would refuse to begin:\n  " + "\n  ".join(made.obstacles))
    elif made.unsafe:
        error = UnsafeRevisions(
            made.findings, "a job would refuse to begin: the lint finds errors in pending revisions"
        )
    elif made.stops:
        error = JobFailed("a job would stop during the pending revisions:\n  " + "\n  ".join(made.stops))
    elif made.lacking and not made.revisions:
        error = ChangesPending(
            "no revision is pending, and the database differs from the models: `ringfence revision -m …` writes what"
            " the database lacks; undo manual changes of the database by hand"
        )
    elif not made.nothing:
        error = ChangesPending(
            f"{counted(len(made.revisions), 'revision')} pending; `ringfence migrate` runs them"
            if made.revisions
            else "no revision is pending, but accounts, grants or mirrors differ: `ringfence migrate` updates accounts"
            " and grants, `ringfence mirror` the mirrors"
        )
    if error is not None:
        error.details = {**error.details, "plan": made.as_dict()}
    return error


def _statements(made: JobPlan) -> list[str]:
    """Return the statements that a job would send; what is known only at run time is in SQL comments."""
    unknown = [f"-- known only at run time: {text}".replace("\n", "\n-- ") for text in made.unknown]
    return unknown + [statement for part in made.parts for statement in part.sql]


def _print_plan(run: Run, made: JobPlan) -> None:
    run.print(f"{made.server} ({made.engine} {made.version}) {_is_current(made)}")
    for warning in made.warnings:
        run.print(f"warning: {warning}", style="yellow")
    for text in made.half_finished:
        run.print(f"interrupted: {text}", style="yellow")
    _print_parts(run, made)
    for finding in made.findings:
        run.print(f"{finding}\n    {finding.resolution} (`{finding.explained}`)", style="yellow")
    _print_rest(run, made)


def _print_parts(run: Run, made: JobPlan) -> None:
    """Print all statements, each group under its revision or purpose."""
    chapters = {chapter.revision: chapter for chapter in made.revisions}
    for part in made.parts:
        if part.revision is not None:
            _print_chapter(run, chapters[part.revision])
        elif part.what == "access":
            _print_access(run, made)
        elif part.sql:
            _title(run, "Ringfence's own tables")
        for statement in part.sql:
            run.print("    " + statement.replace("\n", "\n    "))
    if made.parts:
        run.print("")
    for text in made.unknown:
        run.print(f"known only at run time: {text}", style="yellow")


def _title(run: Run, text: str) -> None:
    run.print("")
    run.print(text, style="bold")


def _print_chapter(run: Run, chapter: RevisionDescription) -> None:
    _title(run, f"{chapter.revision} {chapter.message} ({chapter.file})")
    for line in chapter.operations:
        run.print(f"  {line}")
    if chapter.retires:
        run.print(f"  retires {', '.join(chapter.retires)}")


def _print_rest(run: Run, made: JobPlan) -> None:
    """Print what concerns neither revisions nor accounts."""
    # Without obstacles and unsafe findings, the command's error reports the stops.
    for what in made.stops if made.obstacles or made.unsafe else ():
        run.print(f"a job would stop: {what}", style="yellow")
    for what in made.lacking:
        run.print(f"the database differs from the models: {what}", style="yellow")
    for mirror in made.mirrors:
        run.print(f"the mirror {mirror} is out of date: run `ringfence mirror`")
    if made.nothing and not made.lacking:
        run.print("nothing to do")


def _is_current(made: JobPlan) -> str:
    if made.refused is not None:
        return f"could not be read: {made.refused}"
    return f"is at {', '.join(made.at) or 'no revision'}; the head is {made.head or 'no revision'}"


def _print_access(run: Run, made: JobPlan) -> None:
    """Print the heading and the remarks above the statements about accounts."""
    if made.access is None:
        return
    for kept in made.access.kept:
        run.print(kept)
    print_adoption(run, made.access)
    if made.access.steps:
        _title(run, "accounts and grants")
        if made.with_revisions:
            run.print(
                "  grants on tables and columns that a revision creates are given in its transaction, to accounts that"
                " exist already; all others after the last revision"
            )
