"""Views created by SQL text in revisions, with the options that a server drops if a replacing statement omits them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from alembic.operations import MigrateOperation, ops

_NAME = r"(?P<name>(?:[\"`]?[\w$ ]+[\"`]?\s*\.\s*)?(?:\"(?:[^\"]|\"\")+\"|`(?:[^`]|``)+`|[\w$]+))"
_ACCOUNT = r"(?:'[^']*'|`[^`]*`|[\w%]+)(?:\s*@\s*(?:'[^']*'|`[^`]*`|[\w.%]+)|\s*\(\s*\))?"
_FAMILY = rf"""
    (?:\s+ALGORITHM\s*=\s*(?P<algorithm>\w+))? (?:\s+DEFINER\s*=\s*(?P<definer>{_ACCOUNT}))?
    (?:\s+SQL\s+SECURITY\s+(?P<security>\w+))?
"""
_FLAGS = re.IGNORECASE | re.DOTALL | re.VERBOSE
_MADE = re.compile(
    rf"""\s*CREATE(?P<replaces>\s+OR\s+REPLACE)? {_FAMILY} (?:\s+(?:TEMP|TEMPORARY|RECURSIVE))* \s+VIEW
    (?:\s+IF\s+NOT\s+EXISTS)? \s+{_NAME} \s*(?:\([^()]*\)\s*)?
    (?:WITH\s*\((?P<with>[^()]*)\)\s*)? AS\b (?P<select>.*)""",
    _FLAGS,
)
_ALTERED = re.compile(
    rf"\s*ALTER {_FAMILY} \s+VIEW \s+{_NAME} \s*(?:\([^()]*\)\s*)? AS\b (?P<select>.*)", _FLAGS
)
_SET = re.compile(
    rf"\s*ALTER\s+VIEW(?:\s+IF\s+EXISTS)? \s+{_NAME} \s+(?P<verb>SET|RESET)\s*\((?P<with>[^()]*)\)", _FLAGS
)
_RENAMED = re.compile(
    rf"\s*ALTER\s+VIEW(?:\s+IF\s+EXISTS)? \s+{_NAME} \s+RENAME\s+TO\s+(?P<to>\"[^\"]+\"|\w+)", _FLAGS
)
_DROPPED = re.compile(rf"\s*DROP\s+VIEW(?:\s+IF\s+EXISTS)? \s+{_NAME}", _FLAGS)
_CHECK = re.compile(r"\bWITH\s+(?:CASCADED\s+|LOCAL\s+)?CHECK\s+OPTION\s*;?\s*\Z", re.IGNORECASE)
_LEADING = re.compile(r"\A(?:\s+|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)

POSTGRESQL_OPTIONS = ("security_invoker", "security_barrier", "check option")
FAMILY_OPTIONS = ("SQL SECURITY INVOKER", "DEFINER", "ALGORITHM", "check option")
ALTER_DROPS = ("check option",)
"""Options that ALTER VIEW … AS drops when it omits them; MySQL 9 and MariaDB 10.11 keep the others."""


@dataclass(frozen=True)
class Replaced:
    """A statement that defines a view's query."""

    name: str
    says: frozenset[str]
    """The options that it names, whatever their values."""
    has: frozenset[str]
    """The options that it switches on."""
    creates: bool
    """Whether it is a CREATE and not an ALTER."""
    replaces: bool
    """Whether it is CREATE OR REPLACE, or ALTER."""


@dataclass
class Views:
    """The views that revisions created, by name, each with its options; None for one that was dropped."""

    made: dict[str, frozenset[str] | None] = field(default_factory=dict)

    def apply(self, operation: MigrateOperation) -> None:
        """Apply the change that one operation makes to a view."""
        if not isinstance(operation, ops.ExecuteSQLOp):
            return
        text = _text(operation)
        if (one := replaced(operation)) is not None:
            kept = self.made.get(one.name) or frozenset()
            # ALTER VIEW … AS keeps the options that it does not name, except for the check option.
            kept = frozenset() if one.creates else kept - one.says - {"check option"}
            self.made[one.name] = kept | one.has
        elif found := _SET.match(text):
            name = _plain(found["name"])
            given = _options(found["with"])
            if found["verb"].upper() == "SET":
                on = frozenset(word for word, value in given.items() if value)
                self.made[name] = ((self.made.get(name) or frozenset()) - given.keys()) | on
            elif self.made.get(name) is not None:
                self.made[name] = (self.made[name] or frozenset()) - given.keys()
        elif found := _RENAMED.match(text):
            name = _plain(found["name"])
            schema = name.rpartition(".")[0]
            to = ".".join(filter(None, (schema, _plain(found["to"]))))
            if name in self.made:
                self.made[to] = self.made.pop(name)
        elif found := _DROPPED.match(text):
            self.made[_plain(found["name"])] = None


def replaced(operation: MigrateOperation) -> Replaced | None:
    """Parse a CREATE VIEW or ALTER VIEW … AS; None for any other operation."""
    if not isinstance(operation, ops.ExecuteSQLOp):
        return None
    text = _text(operation)
    found, creates = _MADE.match(text), True
    if found is None:
        found, creates = _ALTERED.match(text), False
    if found is None:
        return None
    words = found.groupdict()
    given = dict(_options(words.get("with") or ""))
    if words["security"]:
        given["SQL SECURITY INVOKER"] = words["security"].upper() == "INVOKER"
    if words["definer"]:
        given["DEFINER"] = not words["definer"].upper().startswith("CURRENT_USER")
    if words["algorithm"]:
        given["ALGORITHM"] = words["algorithm"].upper() != "UNDEFINED"
    if _CHECK.search(words["select"]):
        given["check option"] = True
    has = frozenset(word for word, value in given.items() if value)
    return Replaced(
        _plain(words["name"]), frozenset(given), has, creates, not creates or bool(words["replaces"])
    )


def _text(operation: ops.ExecuteSQLOp) -> str:
    return _LEADING.sub("", str(operation.sqltext))


def _options(text: str) -> Mapping[str, bool]:
    """Return PostgreSQL's view options with whether each is on; an option without a value is on.

    https://www.postgresql.org/docs/current/sql-createview.html
    """
    found = {}
    for part in filter(None, map(str.strip, text.split(","))):
        word, _, value = part.partition("=")
        name = word.strip().strip('"').lower().replace("check_option", "check option")
        found[name] = value.strip().strip("'\"").lower() not in ("false", "off", "0", "no")
    return found


def _plain(name: str) -> str:
    """Return a name without quotes; unquoted parts are folded to lower case, as PostgreSQL does."""
    parts = re.findall(r"\"(?:[^\"]|\"\")+\"|`(?:[^`]|``)+`|[\w$]+", name)
    return ".".join(part[1:-1] if part[0] in '"`' else part.lower() for part in parts)
