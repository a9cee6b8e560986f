"""The grammar of the manifest: its keys, the shapes of their values, defaults and descriptions.

Both the parser's checks and the JSON Schema that editors use are made from these declarations. What only the parser can
check stands in `parsing`: names that must exist, and keys that exclude each other.
"""

import json
from dataclasses import dataclass
from typing import Any

from ringfence.runtime.mirror import VERBS
from ringfence.schema.documents import Name, Value
from ringfence.schema.manifest.model import ANYWHERE, PUBLIC
from ringfence.schema.manifest.shapes import (
    Boolean,
    Definition,
    Entries,
    Fields,
    Key,
    MappingOr,
    Object,
    OneOrMoreWords,
    Requirement,
    Schema,
    Shape,
    Version,
    WholeNumber,
    Word,
    Words,
)
from ringfence.schema.models.value_checks import BINDABLE

VERSION = 1
ALL = "all"
LOGIN = "@login"
SHORTHANDS = {"ro": ("select",), "rw": VERBS}
VERB_WORDS = (*SHORTHANDS, *VERBS)
_SCOPE_NAME = "[a-z][a-z0-9_]{0,30}"

NAMES = Definition("names", Words())
VERB = Word("a verb", choices=VERB_WORDS)
VERB_LIST = Definition("verbs", OneOrMoreWords(Words(VERB, empty="take the entry out")))


_COLUMN_LIST = Words(empty="write `all`, or take the entry out")


# -- rows

_REFERENCE = Word(
    "a reference to a scope, `:` with a lower-case letter and then at most 30 lower-case letters, digits and _; write a"
    " text that begins with a colon with two colons",
    pattern=f":{_SCOPE_NAME}",
)


@dataclass(frozen=True)
class RowsEntry:
    """The condition on one column as it is written, not yet checked against the column."""

    column: Name
    kind: str
    """equals, in, null, bound or login."""
    value: Any
    line: int


class Rows(Shape[tuple[RowsEntry, ...]]):
    """The condition that selects rows: column -> a constant, a list of constants, null, `:name` or `@login`."""

    def read(self, value: Value, what: str, line: int) -> tuple[RowsEntry, ...]:
        """See `Shape.read`."""
        found = [self._entry(name, item, what) for name, item in value.mapping(what)]
        if value.is_mapping and not value.node.value:
            value.mistake(f"{what} names no column; take it out where every row is meant")
        return tuple(entry for entry in found if entry is not None)

    def _entry(self, column: Name, value: Value, what: str) -> RowsEntry | None:
        if value.is_mapping:
            value.mistake(
                f"{column.text} in {what} must be a constant, a list of constants, null, :name or {LOGIN}"
            )
            return None
        if value.is_list:
            constants = [self._constant(item, what) for item in value.items(what)]
            if not constants:
                value.mistake(f"{column.text} in {what}: the list is empty, and no row would match")
            return RowsEntry(column, "in", tuple(constants), value.line)
        if not value.is_scalar:
            return RowsEntry(column, "null", None, value.line)
        text = value.constant()
        if _is_bound(text):
            if not _REFERENCE.accepts(Name(text, value.line), value.document):
                return None
            return RowsEntry(column, "bound", text[1:], value.line)
        if text == LOGIN:
            return RowsEntry(column, "login", None, value.line)
        return RowsEntry(column, "equals", _unescaped(text), value.line)

    def _constant(self, item: Value, what: str) -> Any:
        if not item.is_scalar:
            item.mistake(f"a list in {what} holds constants only; write null in an entry of its own")
            return None
        text = item.constant()
        if text == LOGIN or _is_bound(text):
            item.mistake(f"a list in {what} holds constants only, and {text!r} is not a constant")
        return _unescaped(text)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        scalar = [
            {"type": ["number", "boolean", "null"]},
            {"type": "string", "pattern": f"^(?!:(?!:))|^:{_SCOPE_NAME}$"},
        ]
        constant = [
            {"type": ["number", "boolean"]},
            {"type": "string", "pattern": f"^(?!:(?!:)|{LOGIN}$)"},
        ]
        listed = {"type": "array", "items": {"anyOf": constant}, "minItems": 1}
        return {"type": "object", "minProperties": 1, "additionalProperties": {"anyOf": [*scalar, listed]}}


def _is_bound(constant: object) -> bool:
    return isinstance(constant, str) and constant.startswith(":") and not constant.startswith("::")


def _unescaped(constant: Any) -> Any:
    """Remove the first of a doubled `:` or `@` that a text begins with."""
    return constant[1:] if isinstance(constant, str) and constant.startswith(("::", "@@")) else constant


# -- tables and views


@dataclass(frozen=True)
class Columns(Shape[tuple[Name, ...] | None]):
    """`all`, read as None, or a list of columns."""

    whole_rows: bool = False
    """Whether only `all` is accepted, because the verb affects whole rows."""

    def read(self, value: Value, what: str, line: int) -> tuple[Name, ...] | None:
        """See `Shape.read`."""
        if value.is_scalar and value.node.value == ALL:
            return None
        if self.whole_rows:
            value.mistake(f"{what} takes whole rows: write `all`")
            return None
        if not value.is_list:
            value.mistake(f"{what} must be `all` or a list of columns, not {value.kind()}")
            return None
        return _COLUMN_LIST.read(value, what, line)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        if self.whole_rows:
            return {"const": ALL}
        return {"anyOf": [{"const": ALL}, _COLUMN_LIST.schema(definitions)]}


ROWS = Key(
    "rows",
    Definition(
        "rows", Rows(), "Column -> constant, list of constants, null, :name or @login; all must hold."
    ),
    "The rows that may be touched.",
)
_COLUMNS = Definition("columns", Columns())
COLUMNS = Key("columns", _COLUMNS, "The columns, or `all` for every column that is not sensitive.")
_WHOLE_ROWS = Key("columns", Columns(whole_rows=True), "DELETE affects whole rows.")
_NO_ROWS = (
    "{what}: `rows:` are conditions on tables, and a view shows what its WHERE selects; where the WHERE reads what a"
    " session binds, write `binds: [NAME]`"
)
_OF_TABLE: Shape[Fields] = Object(
    (COLUMNS, ROWS), (Requirement((COLUMNS, ROWS), "{what} names neither `columns:` nor `rows:`"),)
)
_DELETE_OF_TABLE: Shape[Fields] = Object(
    (_WHOLE_ROWS, ROWS), (Requirement((_WHOLE_ROWS, ROWS), "{what} names neither `columns:` nor `rows:`"),)
)
_OF_VIEW: Shape[Fields] = Object(
    (COLUMNS,), (Requirement((COLUMNS,), "{what} names no `columns:`"),), refused={"rows": _NO_ROWS}
)
_DELETE_OF_VIEW: Shape[Fields] = Object(
    (_WHOLE_ROWS,), (Requirement((_WHOLE_ROWS,), "{what} names no `columns:`"),), refused={"rows": _NO_ROWS}
)

VERB_KEYS = {
    verb: Key(
        verb,
        MappingOr(_DELETE_OF_TABLE, Columns(whole_rows=True))
        if verb == "delete"
        else Definition("verb_of_table", MappingOr(_OF_TABLE, _COLUMNS)),
    )
    for verb in VERBS
}
_VERB_KEYS_OF_VIEW = {
    verb: Key(
        verb,
        MappingOr(_DELETE_OF_VIEW, Columns(whole_rows=True))
        if verb == "delete"
        else Definition("verb_of_view", MappingOr(_OF_VIEW, _COLUMNS)),
    )
    for verb in VERBS
}
VERBS_KEY = Key("verbs", VERB_LIST, "The verbs, each on every column that is not sensitive.")
ALSO = Key("also", NAMES, "Sensitive columns, which no shorthand and no `all` includes.")
WIDEN = Key(
    "widen",
    Boolean(),
    "Whether this rule and others for the same verb may together grant more than each of them.",
    default=False,
)
BINDS = Key("binds", NAMES, "The scopes that the view's own WHERE reads, for which sessions bind a value.")
_NO_VERB = "{what} names no verb: one of " + ", ".join(VERB_WORDS)

RULE = Definition(
    "rule",
    Object(
        (VERBS_KEY, ALSO, *VERB_KEYS.values(), ROWS, WIDEN),
        (Requirement((VERBS_KEY, *VERB_KEYS.values()), _NO_VERB),),
    ),
)
VIEW_RULE = Definition(
    "view_rule",
    Object(
        (VERBS_KEY, ALSO, *_VERB_KEYS_OF_VIEW.values(), BINDS),
        (Requirement((VERBS_KEY, *_VERB_KEYS_OF_VIEW.values()), _NO_VERB),),
        refused={"rows": _NO_ROWS, "widen": _NO_ROWS},
    ),
)


@dataclass(frozen=True)
class TableEntries:
    """What `tables:` holds: each table with its rules, in the order of the file, and the tables under `except:`."""

    rules: tuple[tuple[Name, int, Fields | tuple[Name, ...]], ...] = ()
    """The table, the line of the rule, and its keys or only its verbs."""
    except_: tuple[Name, ...] = ()


class Tables(Shape[TableEntries]):
    """`tables:`: table -> verbs, a rule or a list of rules; `except:` takes tables out of `all:`."""

    _EXCEPT = "except"
    _RULE = MappingOr(RULE, VERB_LIST)

    def read(self, value: Value, what: str, line: int) -> TableEntries:
        """See `Shape.read`."""
        rules: list[tuple[Name, int, Fields | tuple[Name, ...]]] = []
        except_: tuple[Name, ...] = ()
        except_line = 0
        for table, body in value.mapping(what):
            label = repr(table.text)
            if table.text == self._EXCEPT:
                except_, except_line = NAMES.read(body, self._EXCEPT, table.line), table.line
            elif body.is_list and any(item.is_mapping for item in body.items(label)):
                rules += [
                    (table, item.line, self._RULE.read(item, label, item.line)) for item in body.items(label)
                ]
            else:
                rules.append((table, body.line, self._RULE.read(body, label, body.line)))
        if except_line and not any(table.text == ALL for table, _, _ in rules):
            value.document.mistake(
                except_line, "`except:` takes tables out of `all:`, and there is no `all:`"
            )
        return TableEntries(tuple(rules), except_)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        rule = self._RULE.schema(definitions)
        rules = {"type": "array", "items": rule, "contains": {"type": "object"}}
        return {
            "type": "object",
            "properties": {self._EXCEPT: NAMES.schema(definitions)},
            "dependentRequired": {self._EXCEPT: [ALL]},
            "additionalProperties": {"anyOf": [*rule["anyOf"], rules]},
        }


TABLES = Key(
    "tables",
    Definition(
        "tables", Tables(), "By `table` or `schema.table`; `all` is every table except those under `except`."
    ),
)
VIEWS = Key(
    "views",
    Definition(
        "views",
        Entries(
            MappingOr(VIEW_RULE, VERB_LIST),
            Word("a view: `all` means tables, and views are named one by one", pattern=f"(?!{ALL}$).*"),
        ),
        "By `view` or `schema.view`; writes only where the models mark the view as updatable.",
    ),
)


# -- accounts

GROUPS_OF_ACCOUNT = Key("groups", NAMES, "The groups whose rules the account has beside its own.")
FUNCTIONS = Key(
    "functions",
    Words(
        Word(
            "a signature: write the function with the types of its arguments, as in refresh_totals(integer) or"
            " reports.touch()",
            pattern=r"[^()]+\([^()]*\)",
        )
    ),
    "Functions that the account may execute, each by its signature: refresh_totals(integer). Not on SQLite.",
)
LOGIN_OF_ACCOUNT = Key(
    "login", Word(), "The database login; by default what `defaults.login` makes of the service's name."
)
WORKLOADS = Key("workloads", NAMES, "What runs under this account; a workload has one account.")
CONNECTION_LIMIT = Key("connection_limit", WholeNumber(1), "The maximum number of connections.")
VALID_UNTIL = Key("valid_until", Word(), "The date or time at which the password expires; PostgreSQL only.")
SETTING_KEYS = (
    Key("search_path", OneOrMoreWords(Words()), "The schemas in which unqualified names are looked up."),
    *(
        Key(name, Word(), "A duration in milliseconds, or with its unit: 30s.")
        for name in (
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
            "idle_session_timeout",
        )
    ),
)
SETTINGS = Key("settings", Object(SETTING_KEYS), "Settings of the account's sessions; PostgreSQL only.")
HOST = Key(
    "host",
    Word(
        "a host of an account: an address, a name, or a pattern such as 10.0.%",
        pattern="[A-Za-z0-9_.:%/-]+",
        longest=60,  # the limit of MariaDB before 10.6
    ),
    "The host that it may log in from, where % matches anything; MySQL, MariaDB and Galera only.",
    default=ANYWHERE,
)
ACCOUNT = Definition(
    "account",
    Object(
        (
            LOGIN_OF_ACCOUNT,
            WORKLOADS,
            TABLES,
            VIEWS,
            FUNCTIONS,
            GROUPS_OF_ACCOUNT,
            CONNECTION_LIMIT,
            VALID_UNTIL,
            SETTINGS,
            HOST,
        ),
        (
            Requirement(
                (TABLES, VIEWS, FUNCTIONS, GROUPS_OF_ACCOUNT),
                "{what} has no privileges: give it `tables:` or `groups:`",
                filled=True,
            ),
        ),
    ),
)


# -- the other parts


class ServicesByVerb(Shape[tuple[tuple[Name | None, tuple[Name, ...]], ...]]):
    """A list of services, read as one entry without a verb, or verb -> list of services."""

    _BY_VERB = Entries(NAMES, VERB, child="only of {key!r}")

    def read(self, value: Value, what: str, line: int) -> tuple[tuple[Name | None, tuple[Name, ...]], ...]:
        """See `Shape.read`."""
        if value.is_mapping:
            return self._BY_VERB.read(value, what, line)
        return ((None, NAMES.read(value, what, line)),)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        return {"anyOf": [NAMES.schema(definitions), self._BY_VERB.schema(definitions)]}


LOGIN_TEMPLATE = Key(
    "login",
    Word(
        'a template of logins: it holds "{service}" and no other braces',
        pattern=r"[^{}]*\{service\}(?:[^{}]|\{service\})*",
    ),
    'The login of an account that gives none, made from the service\'s name: "{service}-rw".',
    default="{service}",
)
ONLY = Key(
    "only",
    ServicesByVerb(),
    "The services that alone may have any privilege; or, by verb, the services that alone may have the verb.",
)
NEVER = Key("never", VERB_LIST, "The verbs that no account may have.")
GUARDED_COLUMNS = Key("columns", NAMES, "The columns of the table that the guard applies to.")
GUARD = Object(
    (GUARDED_COLUMNS, ONLY, NEVER),
    (Requirement((ONLY, NEVER), "{what} has neither `only:` nor `never:`"),),
    child="{key}",
)
SCOPE_TYPE = Key("type", Word("a type that a session can bind", choices=BINDABLE), "The type of the value.")
SETTING = Key(
    "setting",
    Word("a setting: write it like app.tenant_id", pattern=r"[a-z_][a-z0-9_]*([.][a-z_][a-z0-9_]*)+"),
    "The PostgreSQL setting that holds the value; by default ringfence.<name>.",
)
UNSET = Key(
    "unset",
    Word("a value of `unset:`", choices=("none", "error")),
    "What a session that binds no value gets: no rows, or an error.",
    default="none",
)
SCOPE = Object(
    (SCOPE_TYPE, SETTING, UNSET),
    (Requirement((SCOPE_TYPE,), "{what} has no `type:`; one of " + ", ".join(BINDABLE)),),
)
_PLACEHOLDER = r"\{(?:login|service|LOGIN|SERVICE)\}"
PASSWORD_FOLDER = Key("dir", Word(), "A folder with one password file for each account.")
PASSWORD_FILE = Key(
    "key",
    Word(
        "a template of file names: it holds {login}, {service}, {LOGIN} or {SERVICE}, and no other braces and no /",
        pattern=f"[^{{}}/]*{_PLACEHOLDER}(?:[^{{}}/]|{_PLACEHOLDER})*",
    ),
    "The name of an account's password file, with {login}, {service}, {LOGIN} or {SERVICE}.",
    default="{login}",
)
PASSWORD_VARIABLE = Key(
    "json", Word(), "An environment variable that holds a JSON object, login or service -> password."
)
PASSWORDS = Key(
    "passwords",
    Object(
        (PASSWORD_FOLDER, PASSWORD_FILE, PASSWORD_VARIABLE),
        (
            Requirement(
                (PASSWORD_FOLDER, PASSWORD_VARIABLE),
                "{what} has either `dir:`, a folder of files, or `json:`, a variable",
                exactly=True,
            ),
        ),
        child="{what}.{key}",
    ),
    "The source of the passwords for which no variable <SERVICE>_DB_PASS is set.",
)


# -- the file

FORMAT_VERSION = Key("version", Version(VERSION), "The version of the manifest's format.")
DEFAULTS = Key("defaults", Object((LOGIN_TEMPLATE,), child="{what}.{key}"), "Defaults of the accounts.")
SETS = Key(
    "sets",
    Entries(NAMES, child="the set {key!r}"),
    "Sets of tables, which `except:` and guards name as $set.",
)
GROUPS = Key(
    "groups",
    Entries(
        Object((TABLES, VIEWS), (Requirement((TABLES, VIEWS), "{what} has no `tables:` and no `views:`"),)),
        child="the group {key!r}",
    ),
    "Rules that accounts share; an account names its groups under `groups:`.",
)
ACCOUNTS = Key(
    "accounts",
    Entries(
        ACCOUNT,
        Word(
            "a service's name: it starts with a letter and holds letters, digits, - _ and . only",
            pattern="[A-Za-z][A-Za-z0-9_.-]*",
        ),
        child="the account {key!r}",
    ),
    "The accounts, one for each service, by the service's name.",
)
GUARDS = Key(
    "guards",
    Entries(GUARD, child="the guard of {key!r}"),
    "Rules that the resulting privileges must satisfy: for a table, a $set of tables, or a column as table.column.",
)
SCOPES = Key(
    "scopes",
    Entries(
        SCOPE,
        Word(
            "a name of a scope: a lower-case letter, then at most 30 lower-case letters, digits and _",
            pattern=_SCOPE_NAME,
        ),
        child="the scope {key!r}",
    ),
    "The scopes whose value sessions bind; `rows:` refer to them as :name.",
)
REMOVED = Key(
    "removed",
    NAMES,
    "Logins that were removed: `access apply` locks them, and with `--prune` drops them.",
)
PROTECTED = Key("protected", NAMES, "Logins that no account may have.")
OPEN_TO_PUBLIC = Key(
    "public",
    Words(Word("a privilege that `public:` can leave granted", choices=PUBLIC)),
    "What PostgreSQL grants to PUBLIC by default and is not to be revoked.",
)
MANIFEST = Object(
    (
        FORMAT_VERSION,
        DEFAULTS,
        SETS,
        ACCOUNTS,
        GROUPS,
        GUARDS,
        SCOPES,
        REMOVED,
        PROTECTED,
        OPEN_TO_PUBLIC,
        PASSWORDS,
    ),
    (
        Requirement((FORMAT_VERSION,), f"has no version; write `version: {VERSION}`"),
        Requirement((ACCOUNTS,), "has no accounts; write `accounts:`"),
    ),
    child="{key}",
)


def json_schema() -> Schema:
    """The JSON Schema of the manifest, as far as a schema can express the grammar."""
    definitions: dict[str, Schema] = {}
    root = MANIFEST.schema(definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ringfence access manifest",
        "description": "Which service may access which tables, columns and rows of one shared database.",
        **root,
        "$defs": definitions,
    }


def json_schema_text() -> str:
    """The text of `access.schema.json`, by which editors complete and check a manifest."""
    return json.dumps(json_schema(), indent=2) + "\n"
