"""`ringfence test-migrations`: run every revision up, down and up again, with rows, on each given database."""

import tempfile
from pathlib import Path

import click

from ringfence.schema.cli.run import Run, command
from ringfence.schema.errors import ProofFailed
from ringfence.schema.testing.migrations import Proof, prove
from ringfence.schema.testing.services import mirrors_at, mirrors_in
from ringfence.schema.text import counted


@click.command("test-migrations")
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    help="An empty database, as postgresql://user:password@host/name; by default a temporary SQLite file. May be"
    " repeated.",
)
@click.option(
    "--mirrors",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with the mirrors of running services, which must keep working on each new schema.",
)
@click.option(
    "--since",
    metavar="COMMIT",
    help="Read the mirrors of running services from git, as of this commit or tag.",
)
@command
def test_migrations(run: Run, urls: tuple[str, ...], folder: Path | None, since: str | None) -> None:
    """Test every revision up, down and up again: no row may be lost, and running services must keep working.

    The databases must be empty, and are emptied afterwards. Exits 1 if a test fails.
    """
    if folder is not None and since is not None:
        raise click.UsageError(
            "--mirrors and --since both name the mirrors of running services: use one of them"
        )
    deployment = run.deployment
    with tempfile.TemporaryDirectory(prefix="ringfence-") as scratch:
        mirrors = mirrors_in(folder) if folder else ()
        if since is not None:
            mirrors = mirrors_at(deployment, since, Path(scratch))
    proofs = []
    for url in urls or (None,):
        with run.task("test-migrations") as task:
            env = None if url is None else {"DATABASE_URL": url}
            proofs.append(prove(deployment, env, mirrors=mirrors, on_message=task.print))
        _print_proof(run, proofs[-1])
    if any(proof.failures for proof in proofs):
        failures = [f"{proof.engine}: {failure}" for proof in proofs for failure in proof.failures]
        raise ProofFailed(failures, {"engines": [proof.as_dict() for proof in proofs]})
    run.report(engines=[proof.as_dict() for proof in proofs])


def _print_proof(run: Run, proof: Proof) -> None:
    for table, why in proof.empty.items():
        run.print(f"warning: {table} had no rows, because none could be inserted: {why}", style="yellow")
    for revision in proof.irreversible:
        run.print(f"{revision} has no downgrade; only the upgrade was tested")
    run.print(
        f"{proof.engine} {proof.version}: {counted(len(proof.revisions), 'revision')} up, down and up again;"
        f" {proof.services} runs of an older service on a newer schema; {counted(len(proof.failures), 'failure')}"
    )
