"""`ringfence revision`: write a migration from the changes of the models."""

import os
import sys
from collections.abc import Sequence

import click

from ringfence.schema.authoring.revise import RevisionResult, revise
from ringfence.schema.autogenerate.renames import Renames
from ringfence.schema.cli.run import Run, command

_NEITHER = "none of these"


@click.command()
@click.option("-m", "--message", required=True, help="What the revision does, in a few words.")
@click.option(
    "--autogenerate/--empty",
    default=True,
    help="Generate the revision from the models (the default), or write an empty one to edit by hand.",
)
@click.option(
    "--rename",
    "renames",
    multiple=True,
    metavar="TABLE.OLD=NEW",
    help="A column was renamed; may be repeated.",
)
@click.option(
    "--retire",
    "--drop",
    "dropped",
    multiple=True,
    metavar="TABLE[.COLUMN]",
    help="A table or column that the models no longer have is dropped, not renamed; `all`: everything that the"
    " migrations created. May be repeated.",
)
@command
def revision(
    run: Run, message: str, autogenerate: bool, renames: tuple[str, ...], dropped: tuple[str, ...]
) -> None:
    """Write a revision for the changes of the models, and the mirrors that it changes.

    The models are compared with the database of DB_*, which must be at head. If DB_* is not set, they are compared with
    a temporary SQLite file at head. A change that would break running services is written as several revisions: first
    expand, then contract.
    """
    deployment = run.deployment
    asks = not run.as_json and sys.stdin.isatty() and run.console.is_terminal
    declared = Renames.from_options(renames, dropped, *((_ask, _confirm) if asks else ()))
    with run.task("comparing"):
        made = revise(deployment, message, os.environ, autogenerate=autogenerate, renames=declared)
    if made.by_hand and not made.paths:
        run.print("No revision was written: the differences below must be written by hand")
    elif not made.paths:
        run.print("The models agree with the migrations; no revision was written (--empty writes one anyway)")
    _print_result(run, made)
    run.report(
        revision=made.revision,
        path=deployment.display_path(made.path) if made.path else None,
        revisions=list(made.revisions),
        paths=[deployment.display_path(path) for path in made.paths],
        backfills=[deployment.display_path(path) for path in made.backfills],
        findings=[finding.as_dict() for finding in made.findings],
        warnings=list(made.warnings),
        mirrors=[file.path.name for file in made.mirrors],
    )


def _print_result(run: Run, made: RevisionResult) -> None:
    deployment = run.deployment
    for warning in made.warnings:
        run.print(f"warning: {warning}", style="yellow")
    for path in made.paths:
        run.print(f"{deployment.display_path(path)}: written; read it before you run it")
    for path, left in made.backfills.items():
        run.print(f"{deployment.display_path(path)}: written; `ringfence backfill {path.stem}` runs it")
        if left:
            run.print(f"    before that: {left}", style="yellow")
    for file in made.mirrors:
        run.print(f"{deployment.display_path(file.path)}: {'written' if file.expected else 'removed'}")
    for finding in made.findings:
        run.print(f"{finding}\n    {finding.resolution} (`{finding.explained}`)", style="yellow")


def _confirm(question: str) -> bool:
    """Ask on the terminal whether something may be dropped."""
    return click.confirm(question, default=False)


def _ask(question: str, names: Sequence[str]) -> str | None:
    """Ask on the terminal for one of the names; None if it is none of these."""
    answer: str = click.prompt(question, type=click.Choice([*names, _NEITHER]))
    return None if answer == _NEITHER else answer
