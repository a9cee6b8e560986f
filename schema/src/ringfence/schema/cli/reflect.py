"""`ringfence reflect`: write models for the tables that the deployment's models do not cover."""

import json
from pathlib import Path

import click

from ringfence.runtime.settings import Settings
from ringfence.schema.cli.run import Run, command
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import check_engine, reach
from ringfence.schema.reflect.result import Reflected
from ringfence.schema.reflect.tables import reflect as read
from ringfence.schema.text import counted


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="reflected.py")
@click.option(
    "--schema",
    "schemas",
    multiple=True,
    help="A schema to read in addition to the default one; may be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@command
def reflect(run: Run, file: Path, schemas: tuple[str, ...], overwrite: bool) -> None:
    """Write models of the tables and views that no model covers into FILE, by default reflected.py.

    The admin's login is in DB_*. The database is not changed. Objects that cannot be written are listed. Name the file
    under `models` in ringfence.toml; then the manifest can refer to its tables.
    """
    deployment = Deployment.load(run.start, empty=True)
    path = file if file.is_absolute() else deployment.root / file
    if path.exists() and not overwrite:
        raise click.UsageError(
            f"{deployment.display_path(path)} exists already: choose another name, or use --overwrite"
        )
    if not path.parent.is_dir():
        raise click.UsageError(
            f"{deployment.display_path(path)}: the folder does not exist: {deployment.display_path(path.parent)}"
        )
    backend = reach(Settings.from_env(), existing=True)
    check_engine(deployment, backend)
    with run.task("reflect"), backend.engine().connect() as connection:
        found = read(backend, connection, deployment, schemas)
    written = bool(found.tables or found.views)
    if written:
        path.write_text(found.text, encoding="utf-8")
        _show(run, deployment, path, found)
    else:
        run.print("the models cover every table; nothing was written")
    run.report(
        path=deployment.display_path(path) if written else None,
        tables=found.tables,
        views=found.views,
        left_out=found.left_out,
        unportable=found.unportable,
        differs=found.differences,
    )


def _show(run: Run, deployment: Deployment, path: Path, found: Reflected) -> None:
    counts = f"{counted(len(found.tables), 'table')}, {counted(len(found.views), 'view')}"
    run.print(f"{deployment.display_path(path)}: {counts}")
    shown = Path(deployment.display_path(path)).with_suffix("")
    module = path.stem if shown.is_absolute() else ".".join(shown.parts)
    models = json.dumps([*deployment.models, f"{module}:metadata"])
    run.print(f"name it in ringfence.toml: models = {models}")
    for title, lines in (
        ("left out", found.left_out),
        ("not usable by services", found.unportable),
        ("would be created differently", found.differences),
    ):
        for line in lines:
            run.print(f"{title}: {line}", style="yellow")
