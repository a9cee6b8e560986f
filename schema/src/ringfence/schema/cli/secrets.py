"""`ringfence secrets`: generate passwords for a first start, and list the variable of each account."""

import shlex
from pathlib import Path

import click

from ringfence.schema.cli.run import Group, Run, command
from ringfence.schema.grants import passwords


@click.group(cls=Group)
def secrets() -> None:
    """Generate passwords for a first start, and list the environment variables of the accounts."""


@secrets.command(short_help="Write one random password per account.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@command
def generate(run: Run, folder: Path) -> None:
    """Write one random password per account into FOLDER, each in a file (0600) that is never overwritten.

    Prints the `export` lines with which `ringfence migrate` finds the files; no password is printed.
    """
    made = passwords.generate(run.deployment.accounts.values(), folder.resolve())
    for item in made:
        run.print(f"export {item.variable}={shlex.quote(str(item.path))}")
    run.report(
        folder=str(folder.resolve()),
        files=[
            {"service": item.service, "variable": item.variable, "path": str(item.path), "new": item.new}
            for item in made
        ],
    )


@secrets.command("list", short_help="List each account's login, workloads, variable and mirror.")
@command
def list_(run: Run) -> None:
    """List each account's login, workloads, mirror, and the variable of its password, for tests of a deployment.

    No password is read or shown.
    """
    name_secrets(run)


def name_secrets(run: Run) -> None:
    """Print each account with its login, workloads, the variable of its secret, and its mirror.

    Args:
        run: the call of the command; no secret is read.
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
