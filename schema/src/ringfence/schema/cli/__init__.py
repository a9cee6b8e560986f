"""The command line `ringfence`: one module per command, imported only when the command is called.

`run` has what all commands share: options, output, errors and exit codes. The modules contain no logic of their
own; they call functions that also work without the command line.
"""

import difflib
import importlib
import sys
from pathlib import Path

import click

from ringfence.schema.cli import run

# command -> (module:attribute of its click command, its line in the overview)
COMMANDS = {
    "init": ("ringfence.schema.cli.init:init", "Create a new deployment that can run at once."),
    "revision": (
        "ringfence.schema.cli.revision:revision",
        "Write revisions for the changes of the models.",
    ),
    "lint": ("ringfence.schema.cli.lint:lint", "Check revisions for unsafe operations before they run."),
    "plan": ("ringfence.schema.cli.plan:plan", "Show everything that migrate would do; change nothing."),
    "migrate": (
        "ringfence.schema.cli.migrate:migrate",
        "Bring the database to head, with its accounts and grants.",
    ),
    "test-migrations": (
        "ringfence.schema.cli.test_migrations:test_migrations",
        "Test every revision up, down and up again, with rows.",
    ),
    "backfill": (
        "ringfence.schema.cli.backfill:backfill",
        "Give the existing rows of a table new values, in batches.",
    ),
    "bootstrap": (
        "ringfence.schema.cli.bootstrap:bootstrap",
        "Bring an SQLite file to head, for development.",
    ),
    "mirror": ("ringfence.schema.cli.mirror:mirror", "Write the mirrors: what each service may access."),
    "access": ("ringfence.schema.cli.access:access", "Plan, apply and verify what each account may do."),
    "reflect": (
        "ringfence.schema.cli.reflect:reflect",
        "Write models for tables that no model covers.",
    ),
    "secrets": (
        "ringfence.schema.cli.secrets:secrets",
        "Generate passwords; list the variables of each account.",
    ),
}


class LazyGroup(click.Group):
    """A click group that imports a command only when it is called, so that the command starts quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a new deployment uses them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line; an unknown one is a usage error that suggests the most similar name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "`ringfence --help` lists all commands"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ringfence-schema", prog_name="ringfence")
@run.common_options
def ringfence(root: Path | None, as_json: bool) -> None:
    """Migrate one shared database, and give each service an account with the privileges that the manifest names.

    Exit codes: 0 done; 1 failed; 2 drift found; 3 the deployment, its files or the command line are wrong;
    4 the database could not be reached, or was not ready in time.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the `ringfence` command and exit with its code.

    Args:
        arguments: the command line; that of the process when None.
    """
    sys.exit(run.main(ringfence, arguments))
