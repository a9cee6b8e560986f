"""`ringfence secrets`: passwords for a first start."""

import shlex
from pathlib import Path

import click

from ringfence.schema.access import passwords
from ringfence.schema.cli.run import Run, verb


@click.group()
def secrets() -> None:
    """Make passwords for a first start."""


@secrets.command(short_help="Write one random password per account.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@verb
def generate(run: Run, folder: Path) -> None:
    """Write one random password per account into FOLDER, each in a file (0600) that is never overwritten.

    The lines that it prints tell `ringfence migrate` where they are; no password is printed.
    """
    made = passwords.generate(run.deployment.accounts.values(), folder.resolve())
    for item in made:
        run.say(f"export {item.variable}={shlex.quote(str(item.path))}")
    run.report(
        folder=str(folder.resolve()),
        files=[
            {"service": item.service, "variable": item.variable, "path": str(item.path), "new": item.new}
            for item in made
        ],
    )
