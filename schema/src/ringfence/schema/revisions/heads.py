"""Migrations with several heads: explains where they branch and how to merge them."""

from pathlib import Path

from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import BadDeployment, Mistake


def explain(scripts: ScriptDirectory) -> str | None:
    """Return a message that explains several heads and how to merge them; None if there is at most one."""
    heads = [scripts.get_revision(name) for name in sorted(scripts.get_heads())]
    if len(heads) < 2:
        return None
    told = ", ".join(f"{head.revision} ({Path(head.path).name}: {_first_line(head)})" for head in heads)
    common = _common(scripts, heads)
    where = f"both go on from {common}" if len(heads) == 2 else f"all go on from {common}"
    return (
        f"the migrations have several heads, {told}; {where if common else 'they have nothing in common'}. Two branches"
        " each added a revision, most likely. Where they have nothing to do with each other, join them with `alembic"
        " merge heads`; else let the one that no database has come after the other: change its down_revision"
    )


def one_head(deployment: Deployment, scripts: ScriptDirectory) -> str | None:
    """Return the head; None while there is no revision.

    Args:
        deployment: the deployment of the migrations.
        scripts: the migrations.

    Raises:
        BadDeployment: there are several heads.
    """
    if problem := explain(scripts):
        raise BadDeployment([Mistake(deployment.display_path(deployment.migrations), None, problem)])
    return next(iter(scripts.get_heads()), None)


def _first_line(script: Script) -> str:
    return (script.doc or "").split("\n", 1)[0] or "without a message"


def _common(scripts: ScriptDirectory, heads: list[Script]) -> str | None:
    """Return the newest revision that all heads descend from; None if there is none."""
    try:
        lines = [
            [one.revision for one in scripts.revision_map.iterate_revisions(head.revision, "base")]
            for head in heads
        ]
    except CommandError:
        return None
    shared = set(lines[0]).intersection(*lines[1:])
    return next((name for name in lines[0] if name in shared), None)
