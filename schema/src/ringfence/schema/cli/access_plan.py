"""`ringfence access plan` and `ringfence access apply`: show or make the changes of accounts and privileges."""

import click

from ringfence.schema.cli.run import Run, command
from ringfence.schema.errors import AccessDrift, JobFailed
from ringfence.schema.privileges.planned import Plan, Row
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.text import counted

_PRUNE = "Drop accounts that are no longer declared and tied to nothing; else they are locked."
_WEAK = "Let weak passwords through, where ringfence.toml says that this is legal (RINGFENCE_ENV)."
_ADOPT = "Take over accounts that exist and were not made by this job."


@click.command()
@click.option("--adopt", is_flag=True, help=_ADOPT)
@click.option("--sql", "as_sql", is_flag=True, help="Print the statements alone, as they can be pasted.")
@click.option("--all", "everything", is_flag=True, help="Show what is as wanted too.")
@click.option("--prune", is_flag=True, help=_PRUNE)
@click.option("--allow-weak", is_flag=True, help=_WEAK)
@command
def plan(run: Run, adopt: bool, prune: bool, as_sql: bool, everything: bool, allow_weak: bool) -> None:
    """Show the differences and what `apply` would do. Nothing is changed; no secret is shown.

    Exit 2 when there is anything to do, 1 when `apply` would refuse to begin. The admin's login is in DB_*. Passwords
    are compared when <SERVICE>_DB_PASS or <SERVICE>_DB_PASS_FILE are set.
    """
    with run.task("plan") as task:
        made = plan_access(run.deployment, adopt=adopt, prune=prune, allow_weak=allow_weak, say=task.say)
    if as_sql:
        for statement in made.sql():
            run.say(statement)
    else:
        print_plan(run, made, everything=everything)
    if made.obstacles:
        refused = JobFailed("an apply would refuse to begin:\n  " + "\n  ".join(made.obstacles))
        refused.details = {"plan": made.as_dict()}
        raise refused
    if not made.agrees:
        how = "migrate" if made.before_first else "access apply"
        raise AccessDrift(
            f"{counted(len(made.steps), 'statement')} would make the accounts agree with the manifest: ringfence {how}",
            made.as_dict(),
        )
    run.report(**made.as_dict())


@click.command(short_help="Make accounts and grants what is wanted.")
@click.option("--adopt", is_flag=True, help=f"{_ADOPT} What that takes away from them is listed first.")
@click.option("--prune", is_flag=True, help=_PRUNE)
@click.option("--allow-weak", is_flag=True, help=_WEAK)
@command
def apply(run: Run, adopt: bool, prune: bool, allow_weak: bool) -> None:
    """Make accounts and grants what the manifest says, under the deployment's lock; the schema is left as it is.

    Only the difference is sent: a second run changes nothing. The admin's login is in DB_*, each account's password in
    <SERVICE>_DB_PASS or <SERVICE>_DB_PASS_FILE.
    """
    with run.task("apply") as task:
        done = apply_access(
            run.deployment,
            adopt=adopt,
            prune=prune,
            allow_weak=allow_weak,
            say=task.say,
            look=lambda made: print_adoption(run, made),
        )
    for warning in done.warnings:
        run.say(f"warning: {warning}", style="yellow")
    for statement in done.statements:
        run.say(statement)
    run.say(
        f"{counted(len(done.statements), 'statement')} made the accounts agree with the manifest"
        if done.statements
        else f"{_all_agree(run)} with the manifest; nothing was to be done"
    )
    run.report(**done.as_dict())


def print_adoption(run: Run, made: Plan) -> None:
    """Print which accounts an apply is about to adopt, and what they lose; called before anything is changed.

    Args:
        run: the call of the verb.
        made: the plan.
    """
    for login in made.adopted:
        run.say(f"adopting {login}: its password becomes the one given", style="yellow")
    for loss in made.adoption.losses():
        run.say(f"adopting takes away {loss}", style="yellow")
    if rows := list(made.adoption.rest()):
        run.table(("account", "change", "verbs", "on", "now", "then", "held now through"), rows)
    for text in (*made.adoption.policies, *made.adoption.others):
        run.say(text, style="yellow")


def print_plan(run: Run, made: Plan, *, everything: bool) -> None:
    """Print the plan as a table, followed by its statements.

    Args:
        run: the call of the verb.
        made: the plan.
        everything: whether to also print notes, and rows without a difference.
    """
    for warning in made.warnings:
        run.say(f"warning: {warning}", style="yellow")
    for note in made.notes if everything else ():
        run.say(f"note: {note}")
    for kept in made.kept:
        run.say(kept)
    print_adoption(run, made)
    rows = list(made.differences())
    rows += [row for row in made.rows() if everything and not row.do]
    if rows:
        run.table(("account", "on", "verb", "is", "wanted", "will be", "by"), map(_cells, rows))
    if made.steps:
        run.say("")
        for statement in made.sql():
            run.say(statement)
    if not made.passwords_compared:
        run.say("passwords were not compared: none is set")
    if made.agrees:
        run.say(f"{_all_agree(run)} with the manifest")


def _cells(row: Row) -> tuple[str, ...]:
    return row.login or "everybody", row.on, row.verb, row.held, row.wanted, row.do, row.origin


def _all_agree(run: Run) -> str:
    return counted(len(run.deployment.accounts), "account agrees", "accounts agree")
