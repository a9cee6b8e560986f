"""Resolves the manifest against the models: looks up every name, and merges the rules into each account's grants."""

from collections.abc import Iterable, Iterator, Mapping

import sqlalchemy as sa

from ringfence.schema.documents import Document, Name, suggestion
from ringfence.schema.features import FEATURES
from ringfence.schema.manifest.grammar import ALL
from ringfence.schema.manifest.guards import check_guards
from ringfence.schema.manifest.merging import RequestedGrant, table_grants
from ringfence.schema.manifest.model import ANYWHERE, Account, Function, Origin, Policy
from ringfence.schema.manifest.parsing import AccountEntry, Manifest, Rule, Rules, parse_manifest
from ringfence.schema.manifest.past_manifest import PastRowsResolver, is_stand_in, with_stand_ins
from ringfence.schema.manifest.rows import RowsResolver
from ringfence.schema.models.adaptation import is_left_out
from ringfence.schema.sql.table_keys import key_of

RESERVED_PREFIX = "ringfence_"
"""The prefix of Ringfence's own tables, which a manifest cannot name."""


def resolve_accounts(
    document: Document, tables: Mapping[str, sa.Table], engines: Iterable[str]
) -> tuple[Account, ...]:
    """Resolve a manifest and return only its accounts; see `resolve`."""
    return resolve(document, tables, engines)[0]


def resolve(
    document: Document, tables: Mapping[str, sa.Table], engines: Iterable[str], *, past: bool = False
) -> tuple[tuple[Account, ...], Policy]:
    """Resolve a manifest against the models.

    Args:
        document: the file; it records every mistake.
        tables: the tables of the models, by `table` or `schema.table`.
        engines: the names of the deployment's engines.
        past: whether this is another version of the manifest, read only for a comparison: tables and columns that
            the models lack are taken over as it names them, and guards and logins are not checked.

    Returns:
        The accounts in the order of the file, and the other parts of the manifest. Both are only reliable when the
        document has no mistakes.
    """
    manifest = parse_manifest(document)
    engines = tuple(engines)
    if past:
        tables = with_stand_ins(manifest, tables)
    look_up = _Lookup(document, manifest, tables, engines, PastRowsResolver if past else RowsResolver)
    accounts = tuple(_account(look_up, entry) for entry in manifest.accounts)
    look_up.check_unused()
    look_up.check_binds()
    if not past:
        _check_logins(document, manifest, accounts, engines)
        _check_entries(document, manifest, accounts, engines)
        check_guards(document, manifest.guards, tables, look_up.sets, accounts)
    return accounts, Policy(
        tuple(name.text for name in manifest.removed),
        frozenset(name.text for name in manifest.public),
        manifest.passwords,
        look_up.scopes.names,
        frozenset(name.text for name in manifest.protected),
    )


def is_sensitive(column: sa.Column[object]) -> bool:
    """Whether the models mark a column `info={"sensitive": True}`."""
    return bool(column.info.get("sensitive"))


def is_view(table: sa.Table) -> bool:
    """Whether a table is a view: marked `info={"view": True}` in the models, or made by SQLAlchemy's `CreateView`."""
    return bool(table.info.get("view")) or table.is_view


class _Lookup:
    """Looks up the names of a manifest, and records unknown ones as mistakes."""

    def __init__(
        self,
        document: Document,
        manifest: Manifest,
        tables: Mapping[str, sa.Table],
        engines: tuple[str, ...],
        scopes: type[RowsResolver],
    ) -> None:
        self.document = document
        self.manifest = manifest
        self.tables = tables
        self.engines = engines
        self.scopes = scopes(document, manifest.scopes, engines)
        self.sets = {name: self._members(name, names) for name, names in manifest.sets.items()}
        self.except_ = {id(rules): self._except(rules) for rules in manifest.all_rules()}

    def _members(self, name: str, members: tuple[Name, ...]) -> frozenset[str]:
        for member in members:
            if member.text.startswith("$"):
                self.document.mistake(member.line, f"the set {name!r} names a set; a set holds tables only")
        return frozenset(m.text for m in members if not m.text.startswith("$") and self.table(m) is not None)

    def _except(self, rules: Rules) -> frozenset[str]:
        found: set[str] = set()
        for name in rules.except_:
            if not name.text.startswith("$"):
                found |= {name.text} if self.table(name) is not None else set()
            elif (known := self.sets.get(name.text[1:])) is not None:
                found |= known
            else:
                self.document.mistake(
                    name.line, f"there is no set {name.text!r}{self._near(name, self.sets, '$')}"
                )
        return frozenset(found)

    @staticmethod
    def _near(name: Name, known: Iterable[str], prefix: str = "") -> str:
        return suggestion(name.text, (f"{prefix}{item}" for item in known))

    def table(self, name: Name) -> sa.Table | None:
        """Look up a table; None, with a mistake recorded, for a set, an unknown table or one of Ringfence's own."""
        if name.text.startswith(RESERVED_PREFIX):
            self.document.mistake(
                name.line,
                f"{name.text!r} is one of Ringfence's own tables: every account may read those that it needs",
            )
        elif name.text.startswith("$"):
            self.document.mistake(name.line, f"{name.text!r} is a set; sets are used in `except:`")
        elif (table := self.tables.get(name.text)) is not None:
            return table
        else:
            near = self._near(name, self.tables)
            self.document.mistake(name.line, f"there is no table {name.text!r} in the models{near}")
        return None

    def columns(self, table: sa.Table, names: Iterable[Name]) -> set[str]:
        """Look up columns by their names in the database; unknown and left-out ones are recorded as mistakes."""
        known = {column.name: column for column in table.columns}
        found = set()
        for name in names:
            if name.text in known and not is_left_out(known[name.text]):
                found.add(name.text)
            elif name.text in known:
                self.document.mistake(
                    name.line,
                    f"{name.text!r} of {_key(table)!r} is left out in ringfence.toml: no account is granted it",
                )
            else:
                self.document.mistake(
                    name.line, f"{_key(table)!r} has no column {name.text!r}{self._near(name, known)}"
                )
        return found

    def rules(self, entry: AccountEntry) -> Iterator[tuple[Rule, list[sa.Table]]]:
        """Resolve the account's own rules and those of its groups, each with its tables."""
        given = [entry.tables]
        for name in entry.groups:
            if name.text in self.manifest.groups:
                given.append(self.manifest.groups[name.text][1])
            else:
                near = self._near(name, self.manifest.groups)
                self.document.mistake(name.line, f"there is no group {name.text!r}{near}")
        for rules in given:
            yield from self.resolve(rules)

    def resolve(self, rules: Rules) -> Iterator[tuple[Rule, list[sa.Table]]]:
        """Resolve the table of each rule; `all` gives every table without the views and those under `except:`."""
        for rule in rules.rules:
            if rule.table.text == ALL:
                excepted = self.except_[id(rules)]
                every = (table for key, table in self.tables.items() if key not in excepted)
                yield rule, [table for table in every if not is_view(table)]
            elif (table := self.table(rule.table)) is not None and self._of_kind(rule, table):
                yield rule, [table]

    def _of_kind(self, rule: Rule, table: sa.Table) -> bool:
        """Check that a view is under `views:`, a table under `tables:`, and that a view allows the rule's writes."""
        mistake, line = self.document.mistake, rule.table.line
        if is_view(table) is not rule.view:
            problem = (
                "is a view: name it under `views:`"
                if is_view(table)
                else "is not a view: name it under `tables:`, or"
            )
            more = "" if is_view(table) else ' mark it info={"view": True} in the models'
            mistake(line, f"{rule.table.text!r} {problem}{more}")
            return False
        writes = [verb for verb in rule.verbs if verb != "select"]
        if rule.view and writes and not table.info.get("updatable"):
            mistake(
                line,
                f"{', '.join(writes)} on the view {rule.table.text!r}: nothing is written through it, unless the models"
                ' mark it info={"view": True, "updatable": True}',
            )
        elif (
            rule.view
            and writes
            and (unable := [e for e in self.engines if not FEATURES[e].writes_through_views])
        ):
            mistake(
                line,
                f"{', '.join(writes)} on the view {rule.table.text!r}: {', '.join(unable)} cannot express it; write to"
                " its tables, or take the engine out of ringfence.toml",
            )
        return True

    def check_unused(self) -> None:
        """Resolve the groups that no account is in, so that mistakes in them are reported too."""
        used = {name.text for entry in self.manifest.accounts for name in entry.groups}
        for name, (_, rules) in self.manifest.groups.items():
            if name not in used:
                for rule, found in self.resolve(rules):
                    for table in found:
                        list(_requests(self, rule, table, ""))

    def check_binds(self) -> None:
        """Check the names under `binds:`, after all rules were resolved: a use in `rows:` declares a scope too."""
        for rules in self.manifest.all_rules():
            for rule in rules.rules:
                for name in rule.binds:
                    if name.text not in self.scopes.names:
                        self.document.mistake(
                            name.line,
                            f"binds of {rule.table.text!r}: there is no scope"
                            f" {name.text!r}{self._near(name, self.scopes.names)}; under `scopes:` it is"
                            f" declared with its type, as in `{{{name.text}: {{type: integer}}}}`",
                        )


def _key(table: sa.Table) -> str:
    return key_of(table.schema, str(table.name))


def _account(look_up: _Lookup, entry: AccountEntry) -> Account:
    template = look_up.manifest.login_template
    login = entry.login.text if entry.login else template.replace("{service}", entry.service.text)
    requests: dict[str, dict[str, list[RequestedGrant]]] = {}
    for rule, tables in look_up.rules(entry):
        for table in tables:
            for verb, request in _requests(look_up, rule, table, login):
                requests.setdefault(_key(table), {}).setdefault(verb, []).append(request)
    return Account(
        service=entry.service.text,
        login=login,
        grants=tuple(
            grant
            for key, table in look_up.tables.items()
            if key in requests
            for grant in table_grants(look_up.document, entry.service.text, table, requests[key])
        ),
        origin=Origin(look_up.document.file, entry.service.line),
        limits=tuple((name.text, value) for name, value in entry.limits),
        workloads=tuple(name.text for name in entry.workloads),
        functions=tuple(
            Function(name.text, Origin(look_up.document.file, name.line)) for name in entry.functions
        ),
        host=entry.host.text.lower() if entry.host else ANYWHERE,
    )


def _requests(
    look_up: _Lookup, rule: Rule, table: sa.Table, login: str
) -> Iterator[tuple[str, RequestedGrant]]:
    """What one rule asks for on one table, verb by verb.

    A table with a sensitive column is never granted as a whole, as that would include sensitive columns added later.
    """
    origin = Origin(look_up.document.file, rule.line)
    sensitive = {column.name for column in table.columns if is_sensitive(column)}
    left_out = {column.name for column in table.columns if is_left_out(column)}
    also = look_up.columns(table, rule.also)
    for name in rule.also:
        if name.text in also - sensitive and not is_stand_in(table):
            look_up.document.mistake(
                name.line, f"{name.text!r} of {_key(table)!r} is not sensitive: it is in already"
            )
    for verb, named in rule.verbs.items():
        if named is not None:
            columns: set[str] | None = look_up.columns(table, named)
        elif verb == "delete" or not (sensitive or left_out):
            columns = None
        else:
            columns = ({column.name for column in table.columns} - sensitive | also) - left_out
        part = look_up.scopes.conjunction(table, rule.rows[verb], login) if verb in rule.rows else None
        if columns is None or columns:
            yield (
                verb,
                RequestedGrant(
                    # SQLAlchemy's names are of a subclass of str (quoted_name) that drivers do not accept.
                    None if columns is None else frozenset(map(str, columns)),
                    None if part is None else (part,),
                    origin,
                    rule.widen,
                    tuple((name.text, name.line) for name in named or ()),
                    frozenset(name.text for name in rule.binds),
                ),
            )
        elif named is None:
            look_up.document.mistake(
                rule.line, f"{verb} of {_key(table)!r}: all its columns are sensitive or left out; name them"
            )


def _check_logins(
    document: Document, manifest: Manifest, accounts: tuple[Account, ...], engines: tuple[str, ...]
) -> None:
    protected = {name.text for name in manifest.protected}
    limits = [(longest, FEATURES[e]) for e in engines if (longest := FEATURES[e].longest_login) is not None]
    limits.sort(key=lambda limit: limit[0])
    logins: dict[str, Account] = {}
    variables: dict[str, Account] = {}
    for account in accounts:
        line, login = account.origin.line, account.login
        if login in protected:
            document.mistake(line, f"{account.service!r} has the login {login!r}, which is protected")
        if not login or any(ord(c) < 32 or ord(c) == 127 for c in login) or login != login.strip():
            document.mistake(
                line,
                f"{login!r} is not a login: it is empty, or it has blanks at an end or control characters",
            )
        if exceeded := [(most, engine) for most, engine in limits if engine.name_length(login) > most]:
            most, engine = exceeded[0]
            document.mistake(
                line,
                f"the login {login!r} is longer than the {most} {engine.name_unit} that {engine.name} takes",
            )
        if (other := logins.setdefault(login, account)) is not account:
            document.mistake(
                line,
                f"{account.service!r} has the login {login!r} of {other.service!r} (line {other.origin.line})",
            )
        if (other := variables.setdefault(account.variable, account)) is not account:
            document.mistake(
                line, f"{account.service!r} and {other.service!r} would share {account.variable}: rename one"
            )


def _check_entries(
    document: Document, manifest: Manifest, accounts: tuple[Account, ...], engines: tuple[str, ...]
) -> None:
    """Check that every engine supports the properties of logins, workloads are unique, and removed logins unused."""
    owners: dict[str, Name] = {}
    for entry in manifest.accounts:
        host = [Name("host", entry.host.line)] if entry.host else []
        for name in [name for name, _ in entry.limits] + host:
            unable = [
                e for e in engines if FEATURES[e].has_accounts and name.text not in FEATURES[e].login_settings
            ]
            if unable:
                document.mistake(
                    name.line,
                    f"{name.text} of {entry.service.text!r}: {', '.join(unable)} cannot express it for an account; take"
                    " it out, or the engine out of ringfence.toml",
                )
        _check_functions(document, entry, engines)
        for name in entry.workloads:
            if (owner := owners.setdefault(name.text, entry.service)) is not entry.service:
                document.mistake(
                    name.line,
                    f"the workload {name.text!r} is one of {owner.text!r} (line {owner.line}): each has one account",
                )
    declared = {account.login: account for account in accounts}
    for name in manifest.removed:
        if name.text in declared:
            document.mistake(
                name.line, f"the login {name.text!r} is removed, and {declared[name.text].service!r} has it"
            )


def _check_functions(document: Document, entry: AccountEntry, engines: tuple[str, ...]) -> None:
    for name in entry.functions:
        if unable := [e for e in engines if not FEATURES[e].has_stored_functions]:
            document.mistake(
                name.line,
                f"{name.text}: {', '.join(unable)} stores no functions; take it out, or the engine out of"
                " ringfence.toml",
            )
