"""`ringfence secrets`: generate passwords for a first start, and list the variable of each account."""

import shlex
from pathlib import Path

import click

from ringfence.schema.cli.run import Group, Run, command
from ringfence.schema.grants import passwords


@click.group(cls=Group)
def secrets() -> None:
    """Make passwords for a first start, and name the variable of each account."""


@secrets.command(short_help="Write one random password per account.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@command
def generate(run: Run, folder: Path) -> None:
    """Write one random password per account into FOLDER, each in a file (0600) that is never overwritten.

    The printed lines export the variables that tell `ringfence migrate` where the files are; no password is printed.
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


@secrets.command("list", short_help="Name each account's login, workloads, secret and mirror.")
@command
def list_(run: Run) -> None:
    """List each account's login, workloads, variable of its secret, and mirror, for the tests of a deploy chart.

    No password is read or shown.
    """
    name_secrets(run)


def name_secrets(run: Run) -> None:
    """Print each account with its login, workloads, the variable of its secret, and its mirror.

    Args:
        run: the call of the verb; no secret is read.
    """
    facts = [
        {
            "service": account.service,
            "login": account.login,
            "workloads": account.workloads,
            "secret": account.variable,
            "mirror": run.deployment.display_path(run.deployment.mirrors / f"{account.service}.json"),
        }
        for account in run.deployment.accounts.values()
    ]
    run.table(
        ("service", "login", "workloads", "secret", "mirror"),
        [
            (
                str(fact["service"]),
                str(fact["login"]),
                ", ".join(fact["workloads"]),
                str(fact["secret"]),
                str(fact["mirror"]),
            )
            for fact in facts
        ],
    )
    run.report(accounts=facts, removed=run.deployment.policy.removed)
