"""`ringfence init`: create the files of a new deployment that can be run at once."""

import click

from ringfence.schema.authoring.scaffold import BadName, create_deployment
from ringfence.schema.cli.run import Run, command
from ringfence.schema.models.types import ENGINES
from ringfence.schema.text import counted


@click.command()
@click.argument("name")
@click.option(
    "--engine",
    "engines",
    multiple=True,
    type=click.Choice(ENGINES),
    default=("sqlite", "postgresql"),
    show_default=True,
    help="An engine that the deployment runs on; may be repeated.",
)
@command
def init(run: Run, name: str, engines: tuple[str, ...]) -> None:
    """Create the deployment NAME in a folder of that name, and print the commands that start it."""
    with run.task("creating"):
        try:
            layout = create_deployment(run.start, name, engines)
        except BadName as error:
            raise click.UsageError(str(error)) from error
    run.print(f"{layout.root}: {counted(len(layout.files), 'file')}. Next:\n")
    for line in layout.commands:
        run.print(f"    {line}")
    run.report(root=str(layout.root), files=list(layout.files), commands=list(layout.commands))
