"""Selects revisions: all of them, a range, or those that a database does not have yet."""

from collections.abc import Iterable, Mapping

from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from ringfence.runtime.settings import Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import absent, reach
from ringfence.schema.errors import BadDeployment, Mistake
from ringfence.schema.revisions.scripts import Migrations, scripts_in, unreadable
from ringfence.schema.state import releases


def scripts_of(deployment: Deployment) -> Migrations:
    """Return the deployment's migrations, with every file loaded.

    Raises:
        BadDeployment: a file cannot be loaded.
    """
    try:
        return scripts_in(deployment.migrations)
    except Exception as error:  # a revision is the deployment's own code, and may raise anything
        raise unreadable(deployment, error) from error


def ordered(scripts: ScriptDirectory) -> tuple[Script, ...]:
    """Return every revision, each after those it depends on."""
    names = releases.ancestors(scripts, scripts.get_heads())
    return tuple(scripts.get_revision(name) for name in names)


def select(deployment: Deployment, after: str = "", to: str = "") -> frozenset[str]:
    """Return the revisions after one revision and up to another.

    Args:
        deployment: the deployment.
        after: the revision to exclude together with its ancestors; empty to exclude none.
        to: the last revision; empty for the heads.

    Raises:
        BadDeployment: one of them does not exist.
    """
    if not deployment.migrations.is_dir():
        return frozenset()
    scripts = scripts_of(deployment)
    try:
        wanted = set(releases.ancestors(scripts, [_name(scripts, to)] if to else scripts.get_heads()))
        return frozenset(wanted - set(releases.ancestors(scripts, [_name(scripts, after)] if after else ())))
    except CommandError as error:
        raise _wrong(deployment, str(error)) from error


def pending(deployment: Deployment, env: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return the revisions that the database of the `DB_*` variables does not have; it is only read.

    Args:
        deployment: the deployment.
        env: environment variables with the login (`DB_*`); the process's own environment when None.

    Raises:
        RingfenceError: the environment is wrong, or the database cannot be used.
        BadDeployment: the database is at a revision that is not among these migrations.
    """
    settings = Settings.from_env(env)
    every = select(deployment)
    if absent(settings):
        return every
    with reach(settings, existing=True).engine().connect() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    return every - applied(deployment, heads)


def applied(deployment: Deployment, heads: Iterable[str]) -> frozenset[str]:
    """Return every revision that a database at these heads has.

    Args:
        deployment: the deployment.
        heads: the database's current revisions; none for an empty database.

    Raises:
        BadDeployment: a head is not among the migrations.
    """
    heads = tuple(heads)
    if not heads:
        return frozenset()
    try:
        return frozenset(releases.ancestors(scripts_of(deployment), heads))
    except (CommandError, RevisionError) as error:
        told = f"the database is at {', '.join(heads)}, and the migrations do not hold that: {error}"
        raise _wrong(deployment, told) from error


def _name(scripts: ScriptDirectory, text: str) -> str:
    script = scripts.get_revision(text)
    if script is None:
        raise CommandError(f"there is no revision {text!r}")
    return script.revision


def _wrong(deployment: Deployment, message: str) -> BadDeployment:
    return BadDeployment([Mistake(deployment.migrations.name, None, message)])
