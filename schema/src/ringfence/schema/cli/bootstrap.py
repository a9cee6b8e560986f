"""`ringfence bootstrap`: bring an SQLite file to head, for development."""

import os

import click

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings import Settings
from ringfence.schema.cli.migrate import print_report
from ringfence.schema.cli.run import Run, command
from ringfence.schema.engines import is_a_file
from ringfence.schema.job import job


@click.command()
@command
def bootstrap(run: Run) -> None:
    """Bring an SQLite file to head, and create it if it does not exist; for development only.

    Repeated calls leave the same file. A database on a server is brought to head by `ringfence migrate`.
    """
    settings = Settings.from_env(os.environ)
    if not is_a_file(settings):
        raise BadSettings(
            f"DB_TYPE={settings.db_type}: bootstrap is for SQLite files, in development; a server's database is"
            " brought to head, with its accounts, by `ringfence migrate`"
        )
    deployment = run.deployment
    with run.task("bootstrap") as task:
        report = job.migrate(deployment, say=task.say)
    print_report(run, report)
