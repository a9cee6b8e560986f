"""Add the differences of `access plan` to a proof, because attempts of an account cannot show all of them.

Some privileges cannot be tried without taking effect, and a missing policy is invisible on a table without rows.
Differences that an attempt has shown already are not reported again.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, Change, relations
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.model import Account
from ringfence.schema.privileges.plan import Plan, Row, make_plan
from ringfence.schema.verification.attempts import VERBS
from ringfence.schema.verification.proof import ALL_ACCOUNTS, Finding, Proof

RESOLUTION = (
    "`ringfence access plan` shows the statements that resolve it, and `ringfence access apply` runs them"
)
_ATTEMPTED_AS: Mapping[str, tuple[str, ...]] = {
    "create": ("create table", "create view", "create schema"),
    "index": ("create index",),
    "trigger": ("create trigger",),
    # Verbs on a sequence; MariaDB treats it as a table.
    **dict.fromkeys(("usage", "update", "insert", "select"), ("draw",)),
}
"""Verb of a privilege -> the verbs of the attempts that it allows, where these have other names."""
_OF_ACCOUNTS = frozenset({"limit", "lock", "drop-old-host"})
"""Kinds of steps about accounts that become findings; for the other kinds, the login of the account was tried."""

_Location = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ComparablePlan:
    """A plan, and what is needed to compare it with a proof.

    Args:
        plan: the plan, made without passwords, because the proof logs in.
        default: the schema of a table that names none.
        engine: the server's engine.
        tied: obstacles about rights that other findings report anyway.
    """

    plan: Plan
    default: str
    engine: str
    reported_elsewhere: frozenset[str]


def plan_to_compare(
    connection: sa.Connection, backend: Backend, deployment: Deployment
) -> ComparablePlan | None:
    """Make the plan of an apply.

    Args:
        connection: the admin's.
        backend: the server.
        deployment: the manifest and models.

    Returns:
        The plan, for `note_differences` after all attempts; None where the engine has no accounts.

    Raises:
        sqlalchemy.exc.DBAPIError: the server refuses to show what accounts hold.
        RingfenceError: the deployment or its migrations cannot be read.
    """
    if backend.accounts is None:
        return None
    plan = make_plan(connection, backend, deployment, None)
    accounts = backend.accounts.hosts.at_declared(connection, deployment.accounts.values())
    tied = frozenset(accounts.privileges.unrevocable(connection, plan.change))
    default = sa.inspect(connection).default_schema_name or ""
    return ComparablePlan(plan, default, backend.identity.engine, tied)


def note_differences(
    found: ComparablePlan, deployment: Deployment, chosen: Collection[str], proof: Proof
) -> None:
    """Add the differences of the plan that no finding reports yet to a proof.

    There is a finding for each verb on each object, each limit, each policy, view or trigger, and each obstacle. The
    finding of a DDL attempt that was not denied, but failed later, is replaced by the finding of the held privilege.

    Args:
        found: the result of `planned`.
        deployment: the manifest and models.
        chosen: the logins that were tried; differences that concern only others are left out.
        proof: the proof, after all attempts.
    """
    reading = _PlanDifferences(found, deployment, chosen, proof)
    more = list(reading.findings())
    proof.findings = [one for one in proof.findings if not reading.answers(one)] + more


class _PlanDifferences:
    def __init__(
        self, found: ComparablePlan, deployment: Deployment, chosen: Collection[str], proof: Proof
    ) -> None:
        self._plan, self._default, self._tied = found.plan, found.default, found.reported_elsewhere
        self._proof = proof
        self._exposed = {str(one): one.login for one in found.plan.exposures}
        self._chosen = chosen
        self._accounts = list(deployment.accounts.values())
        self._services = {account.login: account.service for account in self._accounts}
        self._whole = set(self._services) <= set(chosen)
        self._keys = {
            (table.schema or found.default, str(table.name)): key for key, table in deployment.tables.items()
        }
        # Privileges on a view before a table were tried under the table's name.
        self._through: dict[tuple[str, str, str], str] = {}
        for account in self._accounts:
            routed = relations((found.engine,), account, deployment.tables)
            for (key, _), by_engine in routed.items():
                table = deployment.tables.get(key)
                if table is not None and found.engine in by_engine:
                    schema = table.schema or found.default
                    self._through[account.login, schema, by_engine[found.engine]] = key

    def findings(self) -> Iterator[Finding]:
        """Yield a finding for each difference that is not reported yet."""
        yield from self._rights("excess", self._plan.change.revoke)
        yield from self._rights("missing", self._plan.change.grant)
        yield from self._limits()
        yield from self._rows()
        yield from self._obstacles()

    def answers(self, attempt: Finding) -> bool:
        """Whether an excess privilege in the plan answers an attempt that was not proven."""
        return attempt.kind == "not-proven" and any(
            (p.login, self._object_name(p)) == (attempt.login, attempt.table)
            and attempt.verb in (p.verb, *_ATTEMPTED_AS.get(p.verb, ()))
            for p in self._plan.change.revoke
            if p.kind == "table" and p.verb not in VERBS
        )

    # -- affected logins, and what is reported already

    def _concerns(self, login: str) -> bool:
        """Whether the proof covers this login; an empty one stands for all accounts."""
        return not login or (login in self._chosen if login in self._services else self._whole)

    def _service(self, login: str) -> str:
        return self._services.get(login, login) or ALL_ACCOUNTS

    def _mentioned(self, login: str, name: str) -> bool:
        """Whether the message of a finding for this login, or for all accounts, contains the name as a word."""
        word = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
        return any(
            word.search(one.message) for one in self._proof.findings if not login or one.login in (login, "")
        )

    # -- rights

    def _rights(self, kind: str, privileges: Iterable[Privilege]) -> Iterator[Finding]:
        things: dict[tuple[str, str, str, str, str], list[str]] = {}
        for p in privileges:
            # A plan does not read accounts that do not exist or are not managed: another finding reports these.
            unseen = kind == "missing" and p.login not in self._plan.managed
            if self._concerns(p.login) and not unseen:
                things.setdefault((p.login, p.kind, p.schema, p.name, p.verb), []).append(p.column)
        for (login, of, schema, name, verb), columns in things.items():
            right = Privilege(login, of, schema, name, verb)
            if self._is_tried(kind, right):
                continue
            on = f"{of} {'.'.join(filter(None, (schema, name)))}".strip()
            if kind == "excess":
                message = f"{login} holds it on {on}, and the manifest does not give it"
            else:
                by = self._plan.origins.get((login, schema, name, verb), "the manifest")
                message = f"{by} gives it, and {login} does not hold it on {on}"
            named = tuple(sorted(filter(None, columns)))
            message = f"{message}; {RESOLUTION}"
            yield Finding(kind, self._service(login), login, verb, self._object_name(right), named, message)

    def _object_name(self, p: Privilege) -> str:
        """Return the key of a table in the models, or its name; for other objects, the kind and the name."""
        schema = "" if p.schema == self._default and p.name else p.schema
        name = ".".join(filter(None, (schema, p.name)))
        return self._keys.get((p.schema, p.name), name) if p.kind == "table" else f"{p.kind} {name}".strip()

    def _is_tried(self, kind: str, p: Privilege) -> bool:
        """Whether an attempt or an exposure has reported this privilege already."""
        if p.kind == "role":
            return self._mentioned(p.login, p.name)
        verbs = {p.verb, *_ATTEMPTED_AS.get(p.verb, ())}
        above = _covers_database(p, self._default)
        names = {self._object_name(p), self._through.get((p.login, p.schema, p.name), "")}
        if p.schema in ("", self._default):
            names.add(p.name)
        kinds = {kind} if kind == "excess" else {kind, "not-proven"}
        for one in self._proof.findings:
            if one.login != p.login or one.kind not in kinds or one.verb not in verbs:
                continue
            if above or one.table in names:
                return True
        # The message of a denied statement names the schema, sequence or function for which a privilege was missing.
        of_table = p.kind == "table"
        return kind == "missing" and not of_table and self._mentioned(p.login, _bare(p.name or p.schema))

    # -- accounts and row security

    def _limits(self) -> Iterator[Finding]:
        rows = dict.fromkeys(
            one
            for step in self._plan.steps
            if step.kind in _OF_ACCOUNTS
            for one in step.of
            if isinstance(one, Row)
        )
        for row in rows:
            word = row.on.removeprefix("limit ")
            if not self._concerns(row.login) or (word != row.on and self._mentioned(row.login, word)):
                continue
            by = f" as {row.origin} says" if row.origin else ""
            message = (
                f"{row.on} of {row.login} is {row.current}, and should be {row.declared}{by}; {RESOLUTION}"
            )
            yield Finding("excess", self._service(row.login), row.login, None, None, (), message)

    def _rows(self) -> Iterator[Finding]:
        changes = [
            step.statement.about
            for step in self._plan.steps
            if step.kind == "row-security" and step.statement.about
        ]
        for change in dict.fromkeys(changes):
            if not self._concerns(change.login) or self._is_shown(change):
                continue
            key = None if change.table is None else self._keys.get(change.table, ".".join(change.table))
            by = f" as {change.by} says" if change.by else ""
            message = f"{change.on} is {change.current}, and should be {change.declared}{by}; {RESOLUTION}"
            service, verb = self._service(change.login), (change.verb or None) if key else None
            yield Finding(change.finding, service, change.login, verb, key, (), message)

    def _is_shown(self, change: Change) -> bool:
        """Whether attempts on rows have shown the effect of the change, or could not reach the table."""
        if change.table is None:
            return False
        key = self._keys.get(change.table, ".".join(change.table))
        by_rows = any(
            table == key and change.login in ("", login) and change.verb in ("", verb)
            for login, verb, table in self._proof.row_findings
        )
        unreached = any(
            (one.kind, one.login, one.table) == ("not-proven", change.login, key)
            for one in self._proof.findings
        )
        blind = change.finding == "missing" and self._mentioned(change.login, ".".join(change.table))
        return by_rows or unreached or blind

    def _obstacles(self) -> Iterator[Finding]:
        """Yield a finding for each obstacle: an apply would refuse, so the manifest is not fully in force."""
        for text in dict.fromkeys(self._plan.obstacles):
            named = self._logins_of(text)
            about = [login for login in named if login in self._chosen]
            # The attempts have reported missing tables already.
            reported = text in self._tied or text in self._plan.missing or self._is_reported(text)
            if reported or (named and not about):
                continue
            login = about[0] if len(named) == 1 else ""
            message = f"an apply refuses to begin: {text}"
            yield Finding("not-proven", self._service(login), login, None, None, (), message)

    def _logins_of(self, text: str) -> list[str]:
        """Return the logins that an obstacle is about; for an exposure, its own login, if any."""
        if text in self._exposed:
            return [login for login in (self._exposed[text],) if login in self._services]
        return [account.login for account in self._accounts if _is_about(text, account)]

    def _is_reported(self, text: str) -> bool:
        return text in self._proof.warnings or any(
            one.message and text.startswith(one.message) for one in self._proof.findings
        )


def _is_about(text: str, account: Account) -> bool:
    """Whether an obstacle begins with the account's login, or with a line of the manifest about the account.

    Later in the text the same word may be the name of a schema, a policy or another object.
    """
    origins = {
        account.origin,
        *(grant.origin for grant in account.grants),
        *(function.origin for function in account.functions),
    }
    begins = rf"(the account )?'?{re.escape(account.login)}(?![\w-])"
    return bool(re.match(begins, text)) or any(text.startswith(f"{origin}: ") for origin in origins)


def _covers_database(p: Privilege, default: str) -> bool:
    """Whether the privilege is on the default schema or database exactly, or on the whole server.

    A privilege on the server is reported as an exposure; a pattern of databases may match more than this one.
    """
    if p.kind in ("schema", "database"):
        return re.sub(r"\\(.)", r"\1", p.schema) in ("", default)
    return p.kind == "server"


def _bare(name: str) -> str:
    """Return the name without a function's arguments and without quotes."""
    return name.partition("(")[0].strip('"')
