"""`ringfence access plan` and `ringfence access apply`: show or make the changes of accounts and privileges."""

import click

from ringfence.schema.cli.run import Run, command
from ringfence.schema.errors import AccessDrift, JobFailed
from ringfence.schema.privileges.plan import Plan, Row
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.text import counted

_PRUNE = "Drop accounts that are no longer declared. Accounts that own or define anything are locked instead."
_WEAK = "Accept weak passwords, in environments (RINGFENCE_ENV) in which ringfence.toml allows it."
_ADOPT = "Take over accounts that exist and that Ringfence did not create."


@click.command()
@click.option("--adopt", is_flag=True, help=_ADOPT)
@click.option("--sql", "as_sql", is_flag=True, help="Print only the statements.")
@click.option("--all", "everything", is_flag=True, help="Also show what already agrees with the manifest.")
@click.option("--prune", is_flag=True, help=_PRUNE)
@click.option("--allow-weak", is_flag=True, help=_WEAK)
@command
def plan(run: Run, adopt: bool, prune: bool, as_sql: bool, everything: bool, allow_weak: bool) -> None:
    """Show how accounts and grants differ from the manifest, and what `apply` would do; nothing is changed.

    Exits 2 if there is anything to do, 1 if `apply` would refuse to begin. The admin's login is in DB_*. Passwords
    are compared if <SERVICE>_DB_PASS or <SERVICE>_DB_PASS_FILE are set; no secret is shown.
    """
    with run.task("plan") as task:
        made = plan_access(
            run.deployment, adopt=adopt, prune=prune, allow_weak=allow_weak, on_message=task.print
        )
    if as_sql:
        for statement in made.sql():
            run.print(statement)
    else:
        print_plan(run, made, everything=everything)
    if made.obstacles:
        refused = JobFailed("an apply would refuse to begin:\n  " + "\n  ".join(made.obstacles))
        refused.details = {"plan": made.as_dict()}
        raise refused
    if not made.agrees:
        how = "migrate" if made.uninitialized else "access apply"
        raise AccessDrift(
            f"{counted(len(made.steps), 'statement')} would bring the accounts to the state of the manifest:"
            f" ringfence {how}",
            made.as_dict(),
        )
    run.report(**made.as_dict())


@click.command(short_help="Bring accounts and grants to the state of the manifest.")
@click.option("--adopt", is_flag=True, help=f"{_ADOPT} What they lose is listed first.")
@click.option("--prune", is_flag=True, help=_PRUNE)
@click.option("--allow-weak", is_flag=True, help=_WEAK)
@command
def apply(run: Run, adopt: bool, prune: bool, allow_weak: bool) -> None:
    """Bring accounts and grants to the state of the manifest, under the deployment's lock; the schema stays as it is.

    Only the differences are sent: a second run changes nothing. The admin's login is in DB_*, each account's password
    in <SERVICE>_DB_PASS or <SERVICE>_DB_PASS_FILE.
    """
    with run.task("apply") as task:
        done = apply_access(
            run.deployment,
            adopt=adopt,
            prune=prune,
            allow_weak=allow_weak,
            on_message=task.print,
            on_plan=lambda made: print_adoption(run, made),
        )
    for warning in done.warnings:
        run.print(f"warning: {warning}", style="yellow")
    for statement in done.statements:
        run.print(statement)
    run.print(
        f"{counted(len(done.statements), 'statement')} brought the accounts to the state of the manifest"
        if done.statements
        else f"{_all_agree(run)} with the manifest; nothing was changed"
    )
    run.report(**done.as_dict())


def print_adoption(run: Run, made: Plan) -> None:
    """Print which accounts an apply is about to adopt, and what they lose; called before anything is changed.

    Args:
        run: the call of the command.
        made: the plan.
    """
    for login in made.adopted:
        run.print(f"adopting {login}: its password is set to the given one", style="yellow")
    for loss in made.adoption.losses_as_text():
        run.print(f"adopting revokes {loss}", style="yellow")
    if rows := list(made.adoption.rest()):
        run.table(("account", "change", "verbs", "on", "now", "afterwards", "held now through"), rows)
    for text in (*made.adoption.policies, *made.adoption.others):
        run.print(text, style="yellow")


def print_plan(run: Run, made: Plan, *, everything: bool) -> None:
    """Print the plan as a table, followed by its statements.

    Args:
        run: the call of the command.
        made: the plan.
        everything: whether to also print notes, and rows without a difference.
    """
    for warning in made.warnings:
        run.print(f"warning: {warning}", style="yellow")
    for note in made.notes if everything else ():
        run.print(f"note: {note}")
    for kept in made.kept:
        run.print(kept)
    print_adoption(run, made)
    rows = list(made.differences())
    rows += [row for row in made.rows() if everything and not row.action]
    if rows:
        run.table(("account", "on", "verb", "current", "declared", "action", "origin"), map(_cells, rows))
    if made.steps:
        run.print("")
        for statement in made.sql():
            run.print(statement)
    if not made.passwords_compared:
        run.print("passwords were not compared, because none is set")
    if made.agrees:
        run.print(f"{_all_agree(run)} with the manifest")


def _cells(row: Row) -> tuple[str, ...]:
    return row.login or "all accounts", row.on, row.verb, row.current, row.declared, row.action, row.origin


def _all_agree(run: Run) -> str:
    return counted(len(run.deployment.accounts), "account agrees", "accounts agree")
