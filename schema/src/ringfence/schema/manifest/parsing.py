"""Parses the manifest by its grammar, without the models, and checks what a JSON Schema cannot express."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from ringfence.runtime.mirror import VERBS
from ringfence.schema.documents import Document, Name, collection_paused
from ringfence.schema.manifest import grammar
from ringfence.schema.manifest.grammar import SHORTHANDS, RowsEntry
from ringfence.schema.manifest.model import PasswordSource
from ringfence.schema.manifest.shapes import Fields


@dataclass(frozen=True)
class Rule:
    """One entry for one table or view.

    `verbs` maps each verb to its columns, or to None for every column that is not sensitive and those of `also`.
    """

    table: Name
    verbs: Mapping[str, tuple[Name, ...] | None]
    also: tuple[Name, ...]
    line: int
    rows: Mapping[str, tuple[RowsEntry, ...]] = field(default_factory=dict)
    """The rows by verb; a verb without an entry reaches every row."""
    widen: bool = False
    """Whether merging this rule with others may grant more than each of them alone."""
    view: bool = False
    """Whether it is under `views:`."""
    binds: tuple[Name, ...] = ()
    """The bound scopes that a view's WHERE reads."""


@dataclass(frozen=True)
class Rules:
    """The rules under `tables:` and `views:`; `except_` excludes tables from the rules for `all`."""

    rules: tuple[Rule, ...] = ()
    except_: tuple[Name, ...] = ()


@dataclass(frozen=True)
class ScopeEntry:
    """One bound scope that `scopes:` declares."""

    name: Name
    type: Name
    setting: str
    unset: str


@dataclass(frozen=True)
class AccountEntry:
    """One account as the manifest writes it, not yet resolved."""

    service: Name
    login: Name | None
    groups: tuple[Name, ...]
    tables: Rules
    limits: tuple[tuple[Name, str], ...] = ()
    workloads: tuple[Name, ...] = ()
    host: Name | None = None
    functions: tuple[Name, ...] = ()


@dataclass(frozen=True)
class Guard:
    """A rule that the resolved grants must obey, on a table, a `$set` of tables or a column, as it is written."""

    key: Name
    columns: tuple[Name, ...] | None
    """The columns of the table `key` that it is about; None where it is about `key` as a whole."""
    only: Mapping[str, tuple[Name, ...]]
    """Verb -> the only services that may have it."""
    never: tuple[str, ...]
    """The verbs that no account may have."""
    never_line: int = 0


@dataclass
class Manifest:
    """The parsed manifest, with names not yet resolved."""

    file: str
    login_template: str = "{service}"
    sets: dict[str, tuple[Name, ...]] = field(default_factory=dict)
    groups: dict[str, tuple[Name, Rules]] = field(default_factory=dict)
    accounts: list[AccountEntry] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    protected: tuple[Name, ...] = ()
    removed: tuple[Name, ...] = ()
    public: tuple[Name, ...] = ()
    passwords: PasswordSource = field(default_factory=PasswordSource)
    scopes: dict[str, ScopeEntry] = field(default_factory=dict)

    def all_rules(self) -> Iterator[Rules]:
        """The rules of every group, then those of every account."""
        yield from (rules for _, rules in self.groups.values())
        yield from (entry.tables for entry in self.accounts)


@collection_paused()
def parse_manifest(document: Document) -> Manifest:
    """Parse a manifest.

    Args:
        document: the file; it records every mistake.

    Returns:
        What could be parsed.
    """
    if document.root is None:
        return Manifest(document.file)
    top = grammar.MANIFEST.read(document.root, "the manifest", 1)
    return Manifest(
        document.file,
        login_template=(top.get(grammar.DEFAULTS) or Fields({})).text(grammar.LOGIN_TEMPLATE),
        sets={name.text: members for name, members in top.get(grammar.SETS) or ()},
        groups={
            name.text: (name, _rules(fields, document)) for name, fields in top.get(grammar.GROUPS) or ()
        },
        accounts=[_account(service, fields, document) for service, fields in top.get(grammar.ACCOUNTS) or ()],
        guards=[_guard(key, fields, document) for key, fields in top.get(grammar.GUARDS) or ()],
        protected=top.names(grammar.PROTECTED),
        removed=top.names(grammar.REMOVED),
        public=top.names(grammar.OPEN_TO_PUBLIC),
        passwords=_passwords(top.get(grammar.PASSWORDS) or Fields({})),
        scopes=_scopes(top),
    )


def _passwords(fields: Fields) -> PasswordSource:
    folder, variable = fields.get(grammar.PASSWORD_FOLDER), fields.get(grammar.PASSWORD_VARIABLE)
    return PasswordSource(
        folder.text if folder else None,
        fields.text(grammar.PASSWORD_FILE),
        variable.text if variable else None,
    )


def _scopes(top: Fields) -> dict[str, ScopeEntry]:
    return {
        name.text: ScopeEntry(
            name,
            type_,
            fields.text(grammar.SETTING) or f"ringfence.{name.text}",
            fields.text(grammar.UNSET),
        )
        for name, fields in top.get(grammar.SCOPES) or ()
        if (type_ := fields.get(grammar.SCOPE_TYPE)) is not None
    }


def _account(service: Name, fields: Fields, document: Document) -> AccountEntry:
    return AccountEntry(
        service=service,
        login=fields.get(grammar.LOGIN_OF_ACCOUNT),
        groups=fields.names(grammar.GROUPS_OF_ACCOUNT),
        tables=_rules(fields, document),
        limits=tuple(_limits(service, fields, document)),
        workloads=fields.names(grammar.WORKLOADS),
        host=fields.get(grammar.HOST),
        functions=fields.names(grammar.FUNCTIONS),
    )


def _limits(service: Name, fields: Fields, document: Document) -> Iterator[tuple[Name, str]]:
    """The properties of a login, each with its value as text, in the form that servers report it."""
    number = fields.get(grammar.CONNECTION_LIMIT)
    if number is not None:
        yield fields.name(grammar.CONNECTION_LIMIT), str(number)
    until = fields.get(grammar.VALID_UNTIL)
    if until is not None:
        try:
            moment = datetime.fromisoformat(until.text)
        except ValueError:
            document.mistake(
                until.line,
                f"valid_until of the account {service.text!r} must be a date or a time: 2027-01-31T12:00:00+00:00",
            )
        else:
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            yield (
                fields.name(grammar.VALID_UNTIL),
                moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S+00"),
            )
    yield from _settings(fields.get(grammar.SETTINGS) or Fields({}))


def _settings(fields: Fields) -> Iterator[tuple[Name, str]]:
    for name, value in fields.items():
        if isinstance(value, tuple):
            yield name, ", ".join(item.text for item in value)
        elif value is not None:
            yield name, value.text


def _guard(key: Name, fields: Fields, document: Document) -> Guard:
    line = fields.name(grammar.NEVER).line if grammar.NEVER in fields else key.line
    return Guard(
        key,
        fields.get(grammar.GUARDED_COLUMNS),
        _only(fields.get(grammar.ONLY) or (), document),
        _verbs(fields.names(grammar.NEVER)),
        line,
    )


def _only(
    given: Iterable[tuple[Name | None, tuple[Name, ...]]], document: Document
) -> Mapping[str, tuple[Name, ...]]:
    """Verb -> the only services that may have it; an entry without a verb is for all verbs."""
    found: dict[str, tuple[Name, ...]] = {}
    for word, services in given:
        for verb in VERBS if word is None else _verbs((word,)):
            if word is not None and verb in found:
                document.mistake(word.line, f"`only:` names twice who may {verb}")
            found.setdefault(verb, services)
    return found


def _rules(fields: Fields, document: Document) -> Rules:
    tables = fields.get(grammar.TABLES) or grammar.TableEntries()
    views = fields.get(grammar.VIEWS) or ()
    rules = [_rule(table, given, line, document) for table, line, given in tables.rules]
    rules += [_rule(view, given, _first_line(given, view), document, view=True) for view, given in views]
    return Rules(tuple(rules), tables.except_)


def _first_line(given: Fields | tuple[Name, ...], view: Name) -> int:
    """The line in which the rule of a view begins, as the rule of a table does: that of its first key or verb."""
    names = given if isinstance(given, tuple) else (name for name, _ in given.items())
    return next(iter(names), view).line


def _rule(
    table: Name, given: Fields | tuple[Name, ...], line: int, document: Document, *, view: bool = False
) -> Rule:
    if isinstance(given, tuple):
        return Rule(table, dict.fromkeys(_verbs(given)), (), line, view=view)
    verbs: dict[str, tuple[Name, ...] | None] = dict.fromkeys(_verbs(given.names(grammar.VERBS_KEY)))
    rows: dict[str, tuple[RowsEntry, ...]] = {}
    for verb, key in grammar.VERB_KEYS.items():
        if key not in given:
            continue
        if verb in verbs:
            document.mistake(
                given.name(key).line, f"{verb} of {table.text!r} is under `verbs:` too; name it once"
            )
        value = given.get(key)
        if isinstance(value, Fields):
            verbs[verb] = value.get(grammar.COLUMNS)
            if grammar.ROWS in value:
                rows[verb] = value.get(grammar.ROWS) or ()
        else:
            verbs[verb] = value
    if grammar.ROWS in given:
        line_of_rows = given.name(grammar.ROWS).line
        for verb in rows:
            document.mistake(line_of_rows, f"rows of {table.text!r} are under {verb} too; name them once")
        rows = dict.fromkeys(verbs, given.get(grammar.ROWS) or ())
    also = given.names(grammar.ALSO)
    if also and verbs and not any(verb != "delete" and columns is None for verb, columns in verbs.items()):
        document.mistake(
            given.name(grammar.ALSO).line,
            f"`also:` of {table.text!r} has no effect, as every verb names its columns: name these there too",
        )
    widen = bool(given.get(grammar.WIDEN))
    return Rule(table, verbs, also, line, rows, widen, view, given.names(grammar.BINDS))


def _verbs(words: tuple[Name, ...]) -> tuple[str, ...]:
    """Expand verbs and shorthands to verbs, each once, in the order of `VERBS`."""
    return _expanded(tuple(name.text for name in words))


@lru_cache
def _expanded(words: tuple[str, ...]) -> tuple[str, ...]:
    found = {verb for word in words for verb in SHORTHANDS.get(word, (word,))}
    return tuple(verb for verb in VERBS if verb in found)
