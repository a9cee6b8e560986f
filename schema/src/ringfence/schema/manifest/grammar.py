"""Parses the manifest and checks its grammar, without the models."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ringfence.runtime.mirror import VERBS
from ringfence.schema.documents import Document, Name, Value, suggestion
from ringfence.schema.manifest.login_settings import LIMITS, read_limits
from ringfence.schema.manifest.model import PUBLIC, PasswordSource
from ringfence.schema.manifest.rows import ScopeEntry, read_scopes
from ringfence.schema.manifest.rules import Rules, read_rules, read_verbs, read_word

VERSION = 1

_TOP = (
    "version",
    "defaults",
    "sets",
    "accounts",
    "groups",
    "guards",
    "scopes",
    "removed",
    "protected",
    "public",
    "passwords",
)
_ACCOUNT_LATER = ("passwords",)
_MAY = ("tables", "views", "functions", "groups")
_ACCOUNT = ("login", "workloads", *_MAY, *LIMITS, "host", *_ACCOUNT_LATER)
_SIGNATURE = re.compile(r"[^()]+\([^()]*\)\Z")
_SERVICE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")


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


def read(document: Document) -> Manifest:
    """Parse a manifest.

    Args:
        document: the file; it records every mistake, and every key that this version does not support yet.

    Returns:
        What could be parsed.
    """
    manifest = Manifest(document.file)
    if document.root is None:
        return manifest
    top = document.root.fields("the manifest", _TOP)
    if "version" not in top:
        document.mistake(1, f"says no version; write `version: {VERSION}`")
    elif top["version"][1].integer("version") not in (VERSION, None):
        document.mistake(
            top["version"][0].line, f"is of a version this program does not know; it knows {VERSION}"
        )
    if "accounts" not in top:
        document.mistake(1, "names no accounts; write `accounts:`")
    for key, reader in (
        ("defaults", _defaults),
        ("sets", _sets),
        ("groups", _groups),
        ("accounts", _accounts),
        ("guards", _guards),
        ("protected", _protected),
        ("removed", _removed),
        ("public", _public),
        ("passwords", _passwords),
        ("scopes", _scopes),
    ):
        if key in top:
            reader(manifest, top[key][1])
    return manifest


def _later(name: Name, document: Document, what: str) -> None:
    document.mistake(
        name.line, f"not yet: `{what}` is understood but not applied by this version; take it out"
    )


def _defaults(manifest: Manifest, value: Value) -> None:
    fields = value.fields("defaults", ("login",))
    if "login" not in fields:
        return
    template = fields["login"][1].name("defaults.login")
    if template is None:
        return
    rest = template.text.replace("{service}", "")
    if rest == template.text or "{" in rest or "}" in rest:
        value.document.mistake(template.line, 'defaults.login must hold "{service}" and no other braces')
    else:
        manifest.login_template = template.text


def _sets(manifest: Manifest, value: Value) -> None:
    for name, members in value.mapping("sets"):
        manifest.sets[name.text] = members.names(f"the set {name.text!r}")


def _groups(manifest: Manifest, value: Value) -> None:
    for name, body in value.mapping("groups"):
        fields = body.fields(f"the group {name.text!r}", ("tables", "views"))
        manifest.groups[name.text] = (name, read_rules(fields))
        if not fields:
            value.document.mistake(name.line, f"the group {name.text!r} has no `tables:`")


def _protected(manifest: Manifest, value: Value) -> None:
    manifest.protected = value.names("protected")


def _removed(manifest: Manifest, value: Value) -> None:
    manifest.removed = value.names("removed")


def _scopes(manifest: Manifest, value: Value) -> None:
    manifest.scopes = read_scopes(value)


def _public(manifest: Manifest, value: Value) -> None:
    manifest.public = value.names("public")
    for name in manifest.public:
        if name.text not in PUBLIC:
            value.document.mistake(
                name.line,
                f"{name.text!r} is nothing that `public:` may leave open{suggestion(name.text, PUBLIC)}",
            )


def _passwords(manifest: Manifest, value: Value) -> None:
    fields = value.fields("passwords", ("dir", "key", "json"))
    texts = {key: name.text for key in fields if (name := fields[key][1].name(f"passwords.{key}"))}
    if ("dir" in fields) == ("json" in fields):
        value.mistake("passwords says either `dir:`, a folder of files, or `json:`, a variable")
    if "key" in texts:
        bare = texts["key"]
        for word in ("login", "service", "LOGIN", "SERVICE"):
            bare = bare.replace(f"{{{word}}}", "")
        if bare == texts["key"] or "{" in bare or "}" in bare or "/" in bare:
            value.mistake(
                "passwords.key must hold {login}, {service}, {LOGIN} or {SERVICE}, and no other braces nor /"
            )
            del texts["key"]
    manifest.passwords = PasswordSource(texts.get("dir"), texts.get("key", "{login}"), texts.get("json"))


def _accounts(manifest: Manifest, value: Value) -> None:
    for service, body in value.mapping("accounts"):
        what = f"the account {service.text!r}"
        if not _SERVICE.match(service.text):
            value.document.mistake(
                service.line,
                f"{what}: a service's name starts with a letter and holds letters, digits, - _ and . only",
            )
        fields = body.fields(what, _ACCOUNT)
        for key in _ACCOUNT_LATER:
            if key in fields:
                _later(fields[key][0], value.document, f"{key}:")
        groups = fields["groups"][1].names(f"groups of {service.text!r}") if "groups" in fields else ()
        if not groups and not set(_MAY).difference(["groups"]).intersection(fields):
            value.document.mistake(service.line, f"{what} may touch nothing: give it `tables:` or `groups:`")
        manifest.accounts.append(
            AccountEntry(
                service=service,
                login=fields["login"][1].name(f"login of {service.text!r}") if "login" in fields else None,
                groups=groups,
                tables=read_rules(fields),
                limits=tuple(read_limits(service, fields)),
                workloads=fields["workloads"][1].names("workloads") if "workloads" in fields else (),
                host=fields["host"][1].name(f"host of {service.text!r}") if "host" in fields else None,
                functions=_functions(fields["functions"][1]) if "functions" in fields else (),
            )
        )


def _functions(value: Value) -> tuple[Name, ...]:
    """Read function signatures; a name alone would not identify one of several overloaded functions."""
    found = value.names("functions")
    for name in found:
        if not _SIGNATURE.match(name.text):
            value.document.mistake(
                name.line,
                f"{name.text!r} is no signature: write the function with the types of its arguments, as in"
                " refresh_totals(integer) or reports.touch()",
            )
    return tuple(name for name in found if _SIGNATURE.match(name.text))


def _guards(manifest: Manifest, value: Value) -> None:
    for key, body in value.mapping("guards"):
        fields = body.fields(f"the guard of {key.text!r}", ("only", "never", "columns"))
        never = read_verbs(fields["never"][1], "never") if "never" in fields else ()
        only = _only(fields["only"][1]) if "only" in fields else {}
        columns = fields["columns"][1].names("columns") if "columns" in fields else None
        if "only" not in fields and "never" not in fields:
            value.document.mistake(key.line, f"the guard of {key.text!r} says neither `only:` nor `never:`")
        line = fields["never"][0].line if "never" in fields else key.line
        manifest.guards.append(Guard(key, columns, only, never, line))


def _only(value: Value) -> Mapping[str, tuple[Name, ...]]:
    """Read `only:`, verb -> the only services that may have it: one list for all verbs, or a list for each verb."""
    if not value.is_mapping:
        return dict.fromkeys(VERBS, value.names("only"))
    found: dict[str, tuple[Name, ...]] = {}
    for word, services in value.mapping("only"):
        for verb in read_word(word, value.document):
            if verb in found:
                value.document.mistake(word.line, f"`only:` says twice who may {verb}")
            found.setdefault(verb, services.names(f"only of {word.text!r}"))
    return found
