"""`ringfence backfill`: give the rows of a table new values, in batches."""

import os
import signal
from types import FrameType

import click

from ringfence.runtime.settings import Settings
from ringfence.schema.backfills.declared import load, names
from ringfence.schema.backfills.run import STALE, Pace, Progress, hosts, run
from ringfence.schema.cli.run import Run, command
from ringfence.schema.text import counted


@click.command()
@click.argument("name", required=False)
@click.option("--list", "listed", is_flag=True, help="List the backfills of the deployment.")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="Maximum number of rows per second."
)
@click.option("--batch", type=click.IntRange(min=1), help="Number of rows per transaction.")
@click.option(
    "--max-lag",
    type=click.FloatRange(min=0),
    default=5.0,
    help="Wait while a replica lags more than this many seconds (default 5; inf: never wait).",
)
@click.option(
    "--replica",
    "replicas",
    multiple=True,
    metavar="HOST[:PORT]",
    help="A replica of MySQL or MariaDB whose lag is checked; may be repeated.",
)
@click.option("--again", is_flag=True, help="Run a backfill again that has already finished.")
@click.option(
    "--takeover-after",
    type=click.FloatRange(min=0),
    default=STALE,
    help="Take over the work of a run that has not reported for this many seconds (default 10).",
)
@command
def backfill(
    run_: Run,
    name: str | None,
    listed: bool,
    rate: float | None,
    batch: int | None,
    max_lag: float,
    replicas: tuple[str, ...],
    again: bool,
    takeover_after: float,
) -> None:
    """Run a backfill of migrations/backfills/; it continues where its last run stopped.

    It does not take the deployment's lock, so a deploy can run at the same time. It can be stopped at any time.
    """
    deployment = run_.deployment
    if listed or name is None:
        for one in names(deployment):
            run_.print(f"{one}: {load(deployment, one).table}")
        if not names(deployment):
            folder = deployment.display_path(deployment.migrations / "backfills")
            run_.print(
                f"{folder} contains no backfill; `ringfence revision` writes one if a new column needs values"
            )
        run_.report(backfills=list(names(deployment)))
        return
    signal.signal(signal.SIGTERM, _stop)
    known = Settings.from_env(os.environ).hosts if replicas else ()
    pace = Pace(rate, batch, max_lag, hosts(replicas, known[0].port if known else 0))
    with run_.task(name) as task:

        def show(progress: Progress) -> None:
            task.print(str(progress))

        done = run(
            deployment, name, pace=pace, again=again, stale=takeover_after, show=show, on_message=run_.print
        )
    resumed = ", continued where the last run stopped" if done.resumed else ""
    run_.print(f"{name}: {counted(done.seen, 'row')} read, {done.changed} changed{resumed}")
    run_.report(backfill=name, seen=done.seen, changed=done.changed, resumed=done.resumed)


def _stop(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C: the batch is rolled back, and the next run does not have to wait."""
    raise SystemExit(128 + number)
