"""`ringfence revision`: write a migration from the changes of the models."""

import os

import click

from ringfence.schema.cli.run import Run, verb
from ringfence.schema.revise import revise


@click.command()
@click.option("-m", "--message", required=True, help="What the revision does, in a few words.")
@click.option(
    "--autogenerate/--empty",
    default=True,
    help="Write what the models say beyond the migrations (the default), or an empty revision to fill by hand.",
)
@verb
def revision(run: Run, message: str, autogenerate: bool) -> None:
    """Write a revision, and the mirrors that it changes.

    The models are compared with the database of the DB_* variables, which must be at head. Where they name none, a
    scratch SQLite file is brought to head and compared with.
    """
    deployment = run.deployment
    with run.task("Comparing"):
        made = revise(deployment, message, os.environ, autogenerate=autogenerate)
    if made.path is None:
        run.say(
            "The models say nothing beyond the migrations; no revision was written (--empty writes one anyway)"
        )
    else:
        run.say(f"{deployment.place(made.path)}: written; read it before it runs")
        for file in made.mirrors:
            run.say(f"{deployment.place(file.path)}: {'written' if file.wanted else 'removed'}")
    path = deployment.place(made.path) if made.path else None
    run.report(revision=made.revision, path=path, mirrors=[file.path.name for file in made.mirrors])
