"""`ringfence access`: who may touch what, planned, applied and proven."""

from pathlib import Path

import click

from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.access import passwords
from ringfence.schema.access.dead import must_fail
from ringfence.schema.access.verify import verify as prove
from ringfence.schema.backends import is_a_file
from ringfence.schema.cli.access_plan import apply, plan
from ringfence.schema.cli.access_review import diff, export, lint, show
from ringfence.schema.cli.run import Run, verb
from ringfence.schema.errors import NotProven


@click.group()
def access() -> None:
    """Plan, apply and prove what each account may do."""


for command in (plan, apply, show, diff, export, lint):
    access.add_command(command)


@access.command()
@click.option(
    "--must-fail",
    "dead",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of credentials that must be dead, one login:password on a line; each is tried.",
)
@verb
def verify(run: Run, dead: Path | None) -> None:
    """Log in as each account and try each verb on each table and column; nothing is changed.

    Exit 1 when an account may do more or less than the manifest says, or could not be tried. DB_* says where the
    database is; each account's password is in <SERVICE>_DB_PASS or <SERVICE>_DB_PASS_FILE.
    """
    deployment = run.deployment
    settings = Settings.from_env()
    secrets: dict[str, Secret] = {}
    if not is_a_file(settings):
        secrets = passwords.from_environment(
            deployment.accounts.values(), None, deployment.policy.passwords, deployment.root
        )
    with run.task("verify", total=len(deployment.accounts)) as task:
        proof = prove(deployment, settings, secrets, task.advance)
    if dead is not None:
        proof.findings += must_fail(deployment, settings, dead)
    for warning in proof.warnings:
        run.say(f"warning: {warning}", style="yellow")
    if not proof.holds:
        raise NotProven(proof.findings, proof.as_dict())
    run.say(
        f"{proof.attempts} attempts as {len(proof.accounts)} accounts: {proof.allowed} allowed,"
        f" {proof.refused} refused, each as the manifest says"
    )
    run.report(**proof.as_dict())
