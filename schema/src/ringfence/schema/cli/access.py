"""`ringfence access`: show, plan, apply and verify the privileges of accounts."""

import os
from collections.abc import Collection
from pathlib import Path

import click

from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.cli.access_plan import apply, plan
from ringfence.schema.cli.access_review import diff, export, lint, schema, show
from ringfence.schema.cli.run import Group, Run, command
from ringfence.schema.deployment import Deployment
from ringfence.schema.documents import suggestion
from ringfence.schema.engines import is_a_file
from ringfence.schema.errors import ProofFailed
from ringfence.schema.grants import passwords
from ringfence.schema.manifest.model import Account
from ringfence.schema.text import counted
from ringfence.schema.verification.probe import probe
from ringfence.schema.verification.revoked_credentials import must_fail
from ringfence.schema.verification.verify import verify as prove

_CONNECTION_VARIABLES = (
    "DB_TYPE",
    "DB_HOST",
    "DB_PORT",
    "DB_NAME",
    "DB_USER",
    "DB_PASS",
    "DB_PASS_FILE",
    "DATABASE_URL",
)


@click.group(cls=Group)
def access() -> None:
    """Plan, apply and verify what each account may do."""


for subcommand in (plan, apply, show, diff, export, lint, schema):
    access.add_command(subcommand)


@access.command(short_help="Log in as each account and try each privilege.")
@click.option(
    "--must-fail",
    "must_fail_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with one login:password per line; each is tried, and the server must refuse it.",
)
@click.option(
    "--probe",
    "probe_url",
    metavar="URL",
    help="Verify in this database instead, with committed rows: an empty database with the admin's login, or an SQLite"
    " file that does not exist yet. The migrations bring it to head, and it is emptied afterwards.",
)
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME",
    help="Verify only the account of this service; may be repeated. The passwords of the others are not needed.",
)
@command
def verify(run: Run, must_fail_file: Path | None, probe_url: str | None, services: tuple[str, ...]) -> None:
    """Log in as each account and try each verb on each table and column; nothing is changed.

    Exits 1 if an account may do more or less than the manifest says, or could not be tried. DB_* names the
    database; each account's password is in <SERVICE>_DB_PASS or <SERVICE>_DB_PASS_FILE.
    """
    deployment = run.deployment
    if probe_url is not None and services:
        raise click.UsageError("--probe always verifies all accounts: leave out --service")
    for name in services:
        if name not in deployment.accounts:
            raise click.UsageError(f"there is no account {name!r}{suggestion(name, deployment.accounts)}")
    chosen = [account for name, account in deployment.accounts.items() if not services or name in services]
    with run.task("verify", total=len(chosen)) as task:
        if probe_url is not None:
            given = {name: value for name, value in os.environ.items() if name not in _CONNECTION_VARIABLES}
            proof = probe(deployment, given | {"DATABASE_URL": probe_url}, task.print)
        else:
            secrets = _secrets(deployment, chosen)
            proof = prove(
                deployment, Settings.from_env(), secrets, task.advance, services=[a.service for a in chosen]
            )
    if must_fail_file is not None:
        proof.findings += must_fail(deployment, Settings.from_env(), must_fail_file)
    for warning in proof.warnings:
        run.print(f"warning: {warning}", style="yellow")
    if not proof.holds:
        raise ProofFailed(proof.findings, proof.as_dict())
    run.print(
        f"{counted(proof.attempts, 'attempt')} as {counted(len(proof.accounts), 'account')}: {proof.allowed} allowed,"
        f" {proof.refused} refused, each as the manifest says"
    )
    run.report(**proof.as_dict())


def _secrets(deployment: Deployment, chosen: Collection[Account]) -> dict[str, Secret]:
    """Return login -> password of these accounts; empty where the engine has no accounts."""
    if is_a_file(Settings.from_env()):
        return {}
    return passwords.from_environment(chosen, None, deployment.policy.passwords, deployment.root)
