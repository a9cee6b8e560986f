"""What all commands share: shared options, output (rich, plain or JSON), errors and exit codes."""

import functools
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import sqlalchemy as sa
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ringfence.runtime.errors import BadMirror, BadSettings, NotReady, RingfenceError, Unavailable
from ringfence.runtime.settings.secret import without_urls
from ringfence.schema.cli.stopping import CODE, Stopped
from ringfence.schema.deployment import Deployment
from ringfence.schema.documents import suggestion
from ringfence.schema.errors import BadDeployment, Drift, ProofFailed, SchemaError
from ringfence.schema.job.refusals import refusal

# The exit code for each class of errors; the first match counts, and any other error is FAILED. Success is 0.
FAILED = 1
WRONG_INPUT = 3
EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (Drift, 2),
    (BadDeployment, WRONG_INPUT),
    (BadSettings, WRONG_INPUT),
    (BadMirror, WRONG_INPUT),
    (NotReady, 4),
    (Unavailable, 4),
)
_ONE_LINE = 10_000
"""A console width, in characters, that no row exceeds."""
BAR_DELAY_SECONDS = 1.0
"""How many seconds a task runs before its progress is shown."""


class Task:
    """The progress of a running task.

    Args:
        show: called with a text and the number of parts that were completed.
    """

    def __init__(self, show: Callable[[str, int], None]) -> None:
        self._show = show

    def print(self, text: str) -> None:
        """Show what the task does now."""
        self._show(text, 0)

    def advance(self, text: str = "", parts: int = 1) -> None:
        """Count parts as completed, and show what the task does now."""
        self._show(text, parts)


class Run:
    """One call of a command.

    Args:
        start: the folder in which the deployment is looked for.
        as_json: whether to print one JSON document, and nothing else.
    """

    def __init__(self, start: Path, as_json: bool) -> None:
        self.start = start
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True)
        if not self.console.is_terminal:
            self.console.width = _ONE_LINE
        self.facts: dict[str, Any] = {}

    @functools.cached_property
    def deployment(self) -> Deployment:
        """The deployment of the start folder, loaded at first use; raises BadDeployment if it has mistakes."""
        return Deployment.load(self.start)

    def print(self, text: str, style: str | None = None) -> None:
        """Print a line; nothing with --json."""
        if not self.as_json:
            self.console.print(text, style=style, markup=False)

    def table(self, titles: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Print a table without truncating; cells fold on a terminal, and each row is one line elsewhere."""
        if self.as_json:
            return
        table = Table(box=None, pad_edge=False)
        for title in titles:
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*row)
        self.console.print(table, markup=False)

    def report(self, **facts: Any) -> None:
        """Add facts to the JSON document that is printed at the end."""
        self.facts.update(facts)

    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator[Task]:
        """Show the progress of work that takes longer than a second: a bar on a terminal, else lines on stderr.

        Args:
            title: the name of the task.
            total: the number of its parts, if known.

        Yields:
            The task, to report progress to.
        """
        if self.as_json:
            yield Task(lambda text, parts: None)
        elif self.console.is_terminal:
            with self._bar(title, total) as task:
                yield task
        else:
            yield self._lines(title, total)

    @contextmanager
    def _bar(self, title: str, total: int | None) -> Iterator[Task]:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        progress = Progress(*columns, console=self.console, transient=True)
        began = time.monotonic()
        bar = progress.add_task(title, total=total)

        def show(text: str, parts: int) -> None:
            if time.monotonic() - began > BAR_DELAY_SECONDS:
                progress.start()
            progress.update(bar, advance=parts, description=f"{title}: {text}" if text else title)

        try:
            yield Task(show)
        finally:
            progress.stop()

    def _lines(self, title: str, total: int | None) -> Task:
        shown = time.monotonic()
        done = 0

        def show(text: str, parts: int) -> None:
            nonlocal shown, done
            done += parts
            if time.monotonic() - shown > BAR_DELAY_SECONDS:
                shown = time.monotonic()
                count = f" {done}/{total}" if total else ""
                # On stderr, because stdout may be redirected to a file, as with --sql.
                click.echo(f"{title}{count}{': ' + text if text else ''}", err=True)

        return Task(show)


class Group(click.Group):
    """A click group that suggests its commands for an unknown name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line.

        Args:
            ctx: the context of the group.
            args: the words after the group's name.

        Returns:
            The command's name, the command, and the remaining words.

        Raises:
            click.UsageError: there is no such command; the message names the most similar one, or all.
        """
        known = {name: one for name, one in self.commands.items() if not one.hidden}
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise click.UsageError(
                f"there is no command {args[0]!r} of `ringfence {self.name}`{suggestion(args[0], known)}", ctx
            )
        return super().resolve_command(ctx, args)


F = TypeVar("F", bound=Callable[..., Any])


def common_options(function: F) -> F:
    """Add the options that can be given before the command or after it."""
    root = click.option(
        "-C",
        "--root",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="The deployment's folder, or a folder inside it; by default the current one.",
    )
    as_json = click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
    )
    return root(as_json(function))


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate the callback of a command: it accepts -C and --json, and gets a `Run` as its first argument.

    With --json, the facts that the callback reported are printed as one JSON document at the end.
    """

    def run(root: Path | None, as_json: bool, **arguments: Any) -> None:
        before = click.get_current_context().find_root().params
        call = Run(root or before.get("root") or Path(), as_json or bool(before.get("as_json")))
        try:
            function(call, **arguments)
        except sa.exc.DBAPIError as error:
            raise refusal(error, call.deployment) from error
        if call.as_json:
            click.echo(json.dumps({"ok": True} | call.facts, indent=2, default=str))

    return common_options(functools.update_wrapper(run, function))


def main(group: click.Command, arguments: list[str] | None = None) -> int:
    """Run a command line; errors are printed to stderr, or as the JSON document.

    Args:
        group: the command to run.
        arguments: the command line; that of the process when None.

    Returns:
        The exit code.
    """
    given = sys.argv[1:] if arguments is None else arguments
    fail = functools.partial(_fail, given)
    try:
        group.main(args=given, prog_name="ringfence", standalone_mode=False)
        return 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort as stop:
        code = CODE if isinstance(stop.__cause__, Stopped) else FAILED
        return fail(code, "Interrupted", "interrupted")
    except click.ClickException as error:
        # The message of this error is the complete help text.
        shows_help = isinstance(error, click.exceptions.NoArgsIsHelpError)
        if (
            isinstance(error, click.UsageError)
            and error.ctx is not None
            and "--json" not in given
            and not shows_help
        ):
            click.echo(error.ctx.get_usage(), err=True)
        return fail(WRONG_INPUT, "Usage", error.format_message())
    except RingfenceError as error:
        code = next((code for kind, code in EXIT_CODES if isinstance(error, kind)), FAILED)
        message = "\n".join([str(error), *getattr(error, "__notes__", ())])
        return fail(code, type(error).__name__, message, **_details(error))
    except Exception as error:  # noqa: BLE001 - with --json, every error must give a document
        click.echo(without_urls(traceback.format_exc(), given), err=True, nl=False)
        return fail(FAILED, type(error).__name__, str(error))


def _details(error: RingfenceError) -> dict[str, Any]:
    if isinstance(error, BadDeployment):
        return {"mistakes": [{"file": m.file, "line": m.line, "message": m.message} for m in error.mistakes]}
    if isinstance(error, NotReady):
        return {"state": error.state}
    if isinstance(error, ProofFailed):
        return {"proof": error.proof}
    return dict(error.details) if isinstance(error, SchemaError) else {}


def _fail(given: list[str], code: int, kind: str, message: str, **details: Any) -> int:
    if "--json" in given:
        problem = _hidden({"kind": kind, "message": message} | details, given)
        click.echo(json.dumps({"ok": False, "error": problem}, indent=2, default=str))
    else:
        click.echo(without_urls(message, given), err=True)
    return code


def _hidden(value: Any, given: list[str]) -> Any:
    """Return the value with the URLs of the command line masked in all its texts."""
    if isinstance(value, str):
        return without_urls(value, given)
    if isinstance(value, dict):
        return {key: _hidden(item, given) for key, item in value.items()}
    return [_hidden(item, given) for item in value] if isinstance(value, list | tuple) else value
