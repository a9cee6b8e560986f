"""`ringfence access show`, `diff`, `schema` and `lint`: read the manifest without a database."""

import json
from dataclasses import asdict

import click

from ringfence.schema.cli.run import Run, command
from ringfence.schema.cli.secrets import name_secrets
from ringfence.schema.documents import suggestion
from ringfence.schema.errors import Mistake
from ringfence.schema.manifest.grammar import json_schema_text
from ringfence.schema.manifest.scopes import to_text
from ringfence.schema.review.lint import WARNING, LintFailed
from ringfence.schema.review.lint import lint as lint_manifest
from ringfence.schema.review.manifest_diff import compare_manifests, read_manifest
from ringfence.schema.text import counted


@click.command()
@click.option("--service", help="Show only the account of this service.")
@click.option("--table", help="Show only the grants on this table.")
@command
def show(run: Run, service: str | None, table: str | None) -> None:
    """Show which account may do what, and the lines of the manifest that grant it."""
    deployment = run.deployment
    for given, known, what in (
        (service, deployment.accounts, "account"),
        (table, deployment.tables, "table"),
    ):
        if given is not None and given not in known:
            raise click.UsageError(f"there is no {what} {given!r}{suggestion(given, known)}")
    facts = [
        {
            "service": account.service,
            "login": account.login,
            "table": grant.key,
            "verb": grant.verb,
            "columns": grant.columns,
            "rows": to_text(grant.scope),
            "by": grant.by,
        }
        for account in deployment.accounts.values()
        for grant in account.grants
        if service in (None, account.service) and table in (None, grant.key)
    ]
    run.table(
        ("service", "login", "table", "verb", "columns", "rows", "by"),
        [
            (
                *map(str, list(fact.values())[:4]),
                ", ".join(fact["columns"] or ("all",)),
                str(fact["rows"]),
                str(fact["by"]),
            )
            for fact in facts
        ],
    )
    if not facts:
        run.print("no account has a grant on it" if table else "no grants")
    run.report(grants=facts)


@click.command(short_help="Compare what two manifests grant.")
@click.argument("old")
@click.argument("new", required=False)
@command
def diff(run: Run, old: str, new: str | None) -> None:
    """Show what NEW grants and OLD does not, and the reverse; each is a file or a git revision of the manifest.

    Without NEW, OLD is compared with the current manifest. Both are read against the current models; grants on tables
    or columns that the models no longer have are shown as they are written.
    """
    deployment = run.deployment
    left: list[Mistake] = []
    after = read_manifest(deployment, new, left.append) if new else tuple(deployment.accounts.values())
    found = compare_manifests(read_manifest(deployment, old, left.append), after)
    for mistake in left:
        run.print(f"not compared: {mistake}", style="yellow")
    for title, items in (
        ("accounts", found.logins),
        ("widened", found.widened),
        ("narrowed", found.narrowed),
    ):
        if items:
            run.print(f"{title}:", style="bold")
        for item in items:
            run.print(f"  {item}")
    if not (found.logins or found.widened or found.narrowed):
        run.print("both grant the same")
    run.report(**asdict(found), not_compared=[str(mistake) for mistake in left])


@click.command(hidden=True)
@command
def export(run: Run) -> None:
    """The former name of `ringfence secrets list`."""
    click.echo(
        "`ringfence access export` is called `ringfence secrets list` now, and this name will go", err=True
    )
    name_secrets(run)


@click.command(short_help="Print the manifest's JSON Schema, for editors.")
@command
def schema(run: Run) -> None:
    """Print the JSON Schema of the manifest, with which editors complete and check it.

    `ringfence access schema > access.schema.json` updates the file that the first line of `access.yaml` names.
    """
    text = json_schema_text()
    if not run.as_json:
        click.echo(text, nl=False)
    run.report(schema=json.loads(text))


@click.command()
@command
def lint(run: Run) -> None:
    """Find entries of the manifest that are valid but probably a mistake. Exits 1 if there is a warning, not for notes.

    Errors, including violated guards, are reported by every command, with exit code 3.
    """
    found = lint_manifest(run.deployment)
    for finding in found:
        run.print(str(finding), style="yellow" if finding.level == WARNING else None)
    warnings = sum(finding.level == WARNING for finding in found)
    if warnings:
        raise LintFailed(f"{warnings} warnings", [asdict(finding) for finding in found])
    run.print("no findings" if not found else counted(len(found), "note"))
    run.report(findings=[asdict(finding) for finding in found])
