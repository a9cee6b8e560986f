"""Run every lint rule on revisions, for every engine of the deployment."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alembic.operations import ops
from alembic.script import Script
from sqlalchemy.types import TypeEngine

from ringfence.runtime.mirror import Mirror
from ringfence.schema.deployment import Deployment
from ringfence.schema.lint.finding import Finding, Severity
from ringfence.schema.lint.rule import LintContext, OperationCheck, RevisionCheck, Rule
from ringfence.schema.lint.rules import RULES, comments
from ringfence.schema.mirror import SUFFIX
from ringfence.schema.models.types import DIALECTS
from ringfence.schema.revisions.contract import contract_of
from ringfence.schema.revisions.recording import RecordedOperation, Recording
from ringfence.schema.revisions.scripts import Migrations
from ringfence.schema.revisions.selection import ordered, scripts_of
from ringfence.schema.revisions.source import Source
from ringfence.schema.revisions.table_state import Schema
from ringfence.schema.sql.dialects import unconnected
from ringfence.schema.sql.table_keys import key_of


@dataclass(frozen=True)
class _FindingKey:
    """Identity of a finding: equal findings on several engines are merged into one."""

    revision: str
    rule: str
    line: int
    message: str
    whole: bool


def lint(
    deployment: Deployment,
    revisions: Collection[str] | None = None,
    mirrors: Iterable[Path] = (),
    migrations: Migrations | None = None,
) -> tuple[Finding, ...]:
    """Check what revisions do, without a database.

    Args:
        deployment: the deployment.
        revisions: ids of the revisions to check; None for all. The others are only run to know the schema before.
        mirrors: folders with the mirrors of the running services; empty for the deployment's own folder.
        migrations: the deployment's migrations, where the caller has read them; None to read them.

    Returns:
        The findings that no comment allows, sorted by file and line.

    Raises:
        BadDeployment: the migrations cannot be read.
        BadMirror: a mirror cannot be read.
    """
    if not deployment.migrations.is_dir():
        return ()
    scripts = scripts_of(deployment) if migrations is None else migrations
    every = ordered(scripts)
    chosen = {script.revision for script in every} if revisions is None else set(revisions)
    running = tuple(_mirrors(mirrors or (deployment.mirrors,)))
    found: dict[_FindingKey, dict[str, Severity]] = {}
    for dialect in dict.fromkeys(DIALECTS[engine] for engine in deployment.engines):
        engines = [engine for engine in deployment.engines if DIALECTS[engine] == dialect]
        ups = {script.revision: scripts.recording(script, dialect) for script in every}
        context = LintContext(running, deployment.accounts, _after(ups.values()))
        before = Schema()
        for number, script in enumerate(every):
            up = ups[script.revision]
            if script.revision not in chosen:
                _apply(before, up)
                continue
            down = scripts.recording(script, dialect, "downgrade")
            here = replace(context, later=frozenset(one.revision for one in every[number + 1 :]))
            for place, engine, severity in _check_revision(script, up, down, before, engines, here):
                found.setdefault(place, {})[engine] = severity
    return _findings(deployment, [script for script in every if script.revision in chosen], found)


Types = Mapping[str, Mapping[str, TypeEngine[Any]]]
"""table -> column -> type, as revisions declare them."""


def states(deployment: Deployment) -> dict[str, Types]:
    """Return the declared column types after each revision.

    Args:
        deployment: the deployment.

    Returns:
        revision -> types, from the oldest revision to the newest.

    Raises:
        BadDeployment: the migrations cannot be read.
    """
    if not deployment.migrations.is_dir():
        return {}
    scripts = scripts_of(deployment)
    dialect = DIALECTS[deployment.engines[0]]
    schema = Schema()
    found: dict[str, Types] = {}
    for script in ordered(scripts):
        _apply(schema, scripts.recording(script, dialect))
        found[script.revision] = schema.types()
    return found


def at_head(deployment: Deployment) -> Schema:
    """Return the schema after all revisions, as they declare it.

    Args:
        deployment: the deployment.

    Raises:
        BadDeployment: the migrations cannot be read.
    """
    schema = Schema()
    if deployment.migrations.is_dir():
        scripts = scripts_of(deployment)
        for script in ordered(scripts):
            _apply(schema, scripts.recording(script, DIALECTS[deployment.engines[0]]))
    return schema


def _after(recordings: Iterable[Recording]) -> Schema:
    """Return the schema after all recorded operations."""
    schema = Schema()
    for recording in recordings:
        _apply(schema, recording)
    return schema


def _apply(schema: Schema, recording: Recording) -> None:
    for done in recording.done:
        schema.apply(done.operation)


def _mirrors(folders: Iterable[Path]) -> Iterator[Mirror]:
    for folder in folders:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            yield Mirror.load(path)


def _check_revision(
    script: Script,
    up: Recording,
    down: Recording,
    state: Schema,
    engines: Sequence[str],
    context: LintContext,
) -> Iterator[tuple[_FindingKey, str, Severity]]:
    """Yield what the rules find in one revision on engines of one dialect, and apply the revision to `state`."""
    dialect = unconnected(DIALECTS[engines[0]])
    created: set[str] = set()
    revision, contract = script.revision, contract_of(script)
    for done in up.done:
        for engine in engines:
            step = OperationCheck(done, engine, dialect, state, frozenset(created), context, contract)
            for rule in RULES.values():
                if rule.check_operation and engine in rule.severity:
                    for message in rule.check_operation(step):
                        place = _FindingKey(revision, rule.id, done.line, message, whole=False)
                        yield place, engine, rule.severity[engine]
        state.apply(done.operation)
        _add_created(done, created)
    for engine in engines:
        whole = RevisionCheck(engine, up, down, frozenset(created))
        for rule in RULES.values():
            if rule.check_revision and engine in rule.severity:
                for hit in rule.check_revision(whole):
                    # -1 and -2 stand for the line of upgrade() and downgrade(), which `_findings` looks up.
                    line = hit.line or (-1 if hit.function == "upgrade" else -2)
                    place = _FindingKey(revision, rule.id, line, hit.message, whole=hit.line is None)
                    yield place, engine, rule.severity[engine]


def _add_created(done: RecordedOperation, created: set[str]) -> None:
    """Add a table that this revision creates, also under its new name after a rename."""
    op = done.operation
    if isinstance(op, ops.CreateTableOp):
        created.add(key_of(op.schema, op.table_name))
    elif isinstance(op, ops.RenameTableOp) and key_of(op.schema, op.table_name) in created:
        created.add(key_of(op.schema, op.new_table_name))


def _findings(
    deployment: Deployment, scripts: Iterable[Script], found: Mapping[_FindingKey, Mapping[str, Severity]]
) -> tuple[Finding, ...]:
    """Return the findings that no comment allows, and the findings about the comments themselves."""
    by_revision: dict[str, list[_FindingKey]] = {}
    for place in found:
        by_revision.setdefault(place.revision, []).append(place)
    findings = []
    for script in scripts:
        source = Source(Path(script.path))
        file = deployment.display_path(source.path.resolve())

        def finding(
            rule: Rule,
            line: int,
            message: str,
            severities: Mapping[str, Severity],
            *,
            script: Script = script,
            file: str = file,
        ) -> Finding:
            worst = max(severities.values(), default=Severity.ERROR)
            engines = tuple(engine for engine in deployment.engines if engine in severities)
            return Finding(file, line, rule.id, message, worst, engines, script.revision, rule.resolution)

        for place in by_revision.get(script.revision, ()):
            line = (
                source.function("upgrade" if place.line == -1 else "downgrade") if place.whole else place.line
            )
            if source.allowed(place.rule, line, whole=place.whole) is None:
                findings.append(finding(RULES[place.rule], line, place.message, found[place]))
        findings += [finding(*problem, {}) for problem in comments.check_comments(source, RULES)]
    return tuple(sorted(findings))
