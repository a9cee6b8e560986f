"""`ringfence mirror`: write the mirror and the typed module of each service, or check that they are up to date."""

import click

from ringfence.schema.cli.run import Run, command
from ringfence.schema.errors import Drift
from ringfence.schema.mirror import check_mirrors, check_typed_files, write_mirrors
from ringfence.schema.text import counted


@click.command()
@click.option(
    "--check", is_flag=True, help="Write nothing; exit 2 if a mirror or a typed module is out of date."
)
@command
def mirror(run: Run, check: bool) -> None:
    """Write the mirror and the typed module of each service, and remove those of services that no longer exist."""
    deployment = run.deployment
    folder = deployment.display_path(deployment.mirrors)
    if check:
        if drift := (*check_mirrors(deployment), *check_typed_files(deployment)):
            listed = "\n".join(
                (
                    f"{deployment.display_path(file.path)}: {file.state}\n"
                    f"{file.difference() if file.current else ''}"
                ).rstrip()
                for file in drift
            )
            raise Drift(f"{listed}\nwrite them with `ringfence mirror`")
        run.print(f"{counted(len(deployment.accounts), 'mirror')} in {folder}, up to date")
    else:
        changed = write_mirrors(deployment)
        for note in deployment.notes:
            run.print(f"note: {note}")
        done = {"missing": "written", "stale": "changed", "orphan": "removed"}
        for file in changed:
            run.print(f"{deployment.display_path(file.path)}: {done[file.state]}")
        if not changed:
            run.print(
                f"{counted(len(deployment.accounts), 'mirror')} in {folder}, up to date; nothing was written"
            )
        run.report(changed=[{"file": deployment.display_path(f.path), "was": f.state} for f in changed])
    run.report(mirrors=len(deployment.accounts))
