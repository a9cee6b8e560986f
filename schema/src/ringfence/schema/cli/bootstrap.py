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
    """Bring an SQLite file to head, for development; it is created if it does not exist.

    A file at head is not changed. Use `ringfence migrate` for a database on a server.
    """
    settings = Settings.from_env(os.environ)
    if not is_a_file(settings):
        raise BadSettings(
            f"DB_TYPE={settings.db_type}: bootstrap is only for SQLite files, in development; use `ringfence migrate`"
            " for a database on a server"
        )
    deployment = run.deployment
    with run.task("bootstrap") as task:
        report = job.migrate(deployment, on_message=task.print)
    print_report(run, report)
