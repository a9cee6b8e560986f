"""What every verb shares: where the deployment is, how it speaks (rich, plain or JSON), and how it ends."""

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
from ringfence.schema.errors import BadDeployment, Drift, NotProven, SchemaError
from ringfence.schema.job.refusals import refusal

# The exit code for each kind of error, first match first; any other is FAILED. 0 is done.
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
"""Wider than any row is, in characters."""
_PATIENCE = 1.0
"""Seconds before a task that goes on is shown."""


class Task:
    """A piece of work under way; `say` tells what is being done now, `advance` that one part is done."""

    def __init__(self, show: Callable[[str, int], None]) -> None:
        self._show = show

    def say(self, text: str) -> None:
        """Show what is being done now."""
        self._show(text, 0)

    def advance(self, text: str = "", parts: int = 1) -> None:
        """Count parts as done."""
        self._show(text, parts)


class Run:
    """One call of a verb."""

    def __init__(self, start: Path, as_json: bool) -> None:
        self.start = start
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True)
        if not self.console.is_terminal:
            self.console.width = _ONE_LINE
        self.facts: dict[str, Any] = {}

    @functools.cached_property
    def deployment(self) -> Deployment:
        """The deployment of the folder the verb is run in. Raises BadDeployment."""
        return Deployment.load(self.start)

    def say(self, text: str, style: str | None = None) -> None:
        """One line for a person; nothing with --json."""
        if not self.as_json:
            self.console.print(text, style=style, markup=False)

    def table(self, titles: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Rows for a person, with nothing cut off: folded on a terminal, each on one line elsewhere."""
        if self.as_json:
            return
        table = Table(box=None, pad_edge=False)
        for title in titles:
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*row)
        self.console.print(table, markup=False)

    def report(self, **facts: Any) -> None:
        """Facts for the JSON document that is printed at the end."""
        self.facts.update(facts)

    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator[Task]:
        """Show work that lasts longer than a second: a bar on a terminal, plain lines on stderr elsewhere."""
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
            if time.monotonic() - began > _PATIENCE:
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
            if time.monotonic() - shown > _PATIENCE:
                shown = time.monotonic()
                count = f" {done}/{total}" if total else ""
                # Not where the result goes: that may be SQL for a file.
                click.echo(f"{title}{count}{': ' + text if text else ''}", err=True)

        return Task(show)


class Group(click.Group):
    """A verb with verbs of its own, which names them for a word that is none."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb of a command line.

        Args:
            ctx: of the group.
            args: the words that follow the group's name.

        Returns:
            The verb's name, the verb, and the words after it, as Click has them.

        Raises:
            click.UsageError: the word is no verb; the message names the nearest of the verbs, or all.
        """
        known = {name: one for name, one in self.commands.items() if not one.hidden}
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise click.UsageError(
                f"there is no verb {args[0]!r} of `ringfence {self.name}`{suggestion(args[0], known)}", ctx
            )
        return super().resolve_command(ctx, args)


F = TypeVar("F", bound=Callable[..., Any])


def shared(function: F) -> F:
    """The options that may stand before the verb or after it."""
    root = click.option(
        "-C",
        "--root",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="The deployment's folder, or one below it; the current one by default.",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document for a machine.")
    return root(as_json(function))


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Make a click callback a verb: it takes -C and --json, gets a Run first, and ends with one JSON document."""

    def run(root: Path | None, as_json: bool, **arguments: Any) -> None:
        before = click.get_current_context().find_root().params
        call = Run(root or before.get("root") or Path(), as_json or bool(before.get("as_json")))
        try:
            function(call, **arguments)
        except sa.exc.DBAPIError as error:
            raise refusal(error, call.deployment) from error
        if call.as_json:
            click.echo(json.dumps({"ok": True} | call.facts, indent=2, default=str))

    return shared(functools.update_wrapper(run, function))


def main(group: click.Command, arguments: list[str] | None = None) -> int:
    """Run a command line; errors go to stderr as plain lines, or into the JSON document. Returns the exit code."""
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
        told = isinstance(error, click.exceptions.NoArgsIsHelpError)  # its message is the whole help
        if (
            isinstance(error, click.UsageError)
            and error.ctx is not None
            and "--json" not in given
            and not told
        ):
            click.echo(error.ctx.get_usage(), err=True)
        return fail(WRONG_INPUT, "Usage", error.format_message())
    except RingfenceError as error:
        code = next((code for kind, code in EXIT_CODES if isinstance(error, kind)), FAILED)
        message = "\n".join([str(error), *getattr(error, "__notes__", ())])
        return fail(code, type(error).__name__, message, **_details(error))
    except Exception as error:  # noqa: BLE001 - whatever went wrong, --json gives its document
        click.echo(without_urls(traceback.format_exc(), given), err=True, nl=False)
        return fail(FAILED, type(error).__name__, str(error))


def _details(error: RingfenceError) -> dict[str, Any]:
    if isinstance(error, BadDeployment):
        return {"mistakes": [{"file": m.file, "line": m.line, "message": m.message} for m in error.mistakes]}
    if isinstance(error, NotReady):
        return {"state": error.state}
    if isinstance(error, NotProven):
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
    """The value with no URL of the command line in any text of it."""
    if isinstance(value, str):
        return without_urls(value, given)
    if isinstance(value, dict):
        return {key: _hidden(item, given) for key, item in value.items()}
    return [_hidden(item, given) for item in value] if isinstance(value, list | tuple) else value
