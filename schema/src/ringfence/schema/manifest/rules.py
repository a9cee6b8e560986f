"""Parses the rules of the manifest for tables and views: verbs, columns, rows, and the scopes that a view reads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ringfence.runtime.mirror import VERBS
from ringfence.schema.documents import Document, Name, Value, suggestion
from ringfence.schema.manifest.rows import RowsEntry, read_rows

SHORTHANDS: Mapping[str, tuple[str, ...]] = {"ro": ("select",), "rw": VERBS}
WORDS = (*SHORTHANDS, *VERBS)
ALL = "all"

_RULE = ("verbs", "also", "rows", "widen", *VERBS)


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


def read_rules(fields: Mapping[str, tuple[Name, Value]]) -> Rules:
    """Parse `tables:` and `views:` of an account or a group, recording mistakes.

    Args:
        fields: its keys with their values.
    """
    tables = _tables(fields["tables"][1]) if "tables" in fields else Rules()
    views = tuple(_views(fields["views"][1])) if "views" in fields else ()
    return Rules(tables.rules + views, tables.except_)


def _views(value: Value) -> Iterator[Rule]:
    for view, body in value.mapping("views"):
        if view.text == ALL:
            value.document.mistake(view.line, "`all` speaks of tables; views are named one by one")
            continue
        rule = _rule(view, body, "binds")
        if rule.rows or rule.widen:
            value.document.mistake(
                view.line,
                f"the view {view.text!r} shows what its WHERE says: `rows:` are of tables; where the WHERE reads what a"
                " session binds, write `binds: [NAME]`",
            )
        yield replace(rule, rows={}, widen=False, view=True)


def _tables(value: Value) -> Rules:
    rules: list[Rule] = []
    except_: tuple[Name, ...] = ()
    except_line = 0
    for table, body in value.mapping("tables"):
        if table.text == "except":
            except_, except_line = body.names("except"), table.line
        elif body.is_list and any(item.is_mapping for item in body.items(table.text)):
            rules += [_rule(table, item) for item in body.items(table.text)]
        else:
            rules.append(_rule(table, body))
    if except_line and not any(rule.table.text == ALL for rule in rules):
        value.document.mistake(except_line, "`except:` takes tables out of `all:`, and there is no `all:`")
    return Rules(tuple(rules), except_)


def _rule(table: Name, body: Value, *more: str) -> Rule:
    """Parse one entry: a shorthand, a list of verbs, or a mapping with the keys of `_RULE` and those in `more`."""
    document = body.document
    if not body.is_mapping:
        verbs = read_verbs(body, f"the verbs of {table.text!r}")
        return Rule(table, dict.fromkeys(verbs), (), body.line)
    what = f"the entry of {table.text!r}"
    fields = body.fields(what, (*_RULE, *more))
    given: dict[str, tuple[Name, ...] | None] = {}
    rows: dict[str, tuple[RowsEntry, ...]] = {}
    if "verbs" in fields:
        given.update(dict.fromkeys(read_verbs(fields["verbs"][1], f"the verbs of {table.text!r}")))
    for verb in VERBS:
        if verb in fields:
            name, value = fields[verb]
            if verb in given:
                document.mistake(
                    name.line, f"{verb} of {table.text!r} stands under `verbs:` too; say it once"
                )
            given[verb] = _verb(verb, value, table, rows)
    if "rows" in fields:
        for verb in rows:
            document.mistake(
                fields["rows"][0].line, f"rows of {table.text!r} stand under {verb} too; say them once"
            )
        rows = dict.fromkeys(given, read_rows(table, fields["rows"][1]))
    also = fields["also"][1].names(f"also of {table.text!r}") if "also" in fields else ()
    if not given and not (set(fields) & {"verbs", *VERBS}):
        document.mistake(body.line, f"{what} names no verb: one of {', '.join(WORDS)}")
    if also and given and not any(verb != "delete" and columns is None for verb, columns in given.items()):
        document.mistake(
            fields["also"][0].line, f"`also:` of {table.text!r} adds to no verb: name the columns there"
        )
    widen = "widen" in fields and fields["widen"][1].boolean(f"widen of {table.text!r}")
    binds = fields["binds"][1].names(f"binds of {table.text!r}") if "binds" in fields else ()
    return Rule(table, given, also, body.line, rows, widen, binds=binds)


def _verb(
    verb: str, value: Value, table: Name, rows: dict[str, tuple[RowsEntry, ...]]
) -> tuple[Name, ...] | None:
    """Parse the value of one verb: its columns, or a mapping of `columns:` and `rows:`, which are put into `rows`."""
    if not value.is_mapping:
        return _columns(verb, value, table)
    fields = value.fields(f"{verb} of {table.text!r}", ("columns", "rows"))
    if "rows" in fields:
        rows[verb] = read_rows(table, fields["rows"][1])
    return _columns(verb, fields["columns"][1], table) if "columns" in fields else None


def _columns(verb: str, value: Value, table: Name) -> tuple[Name, ...] | None:
    """Parse the columns of one verb; None for `all`."""
    if value.is_scalar and value.node.value == ALL:
        return None
    if verb == "delete":
        value.mistake(f"delete of {table.text!r} takes whole rows: write `delete: all`")
        return None
    if not value.is_list:
        value.mistake(f"{verb} of {table.text!r} must be `all` or a list of columns, not {value.kind()}")
        return None
    columns = value.names(f"{verb} of {table.text!r}")
    if not columns and not value.node.value:
        value.mistake(f"{verb} of {table.text!r} names no column; write `all`, or take it out")
    return columns


def read_verbs(value: Value, what: str) -> tuple[str, ...]:
    """Parse a shorthand or a list of verbs, recording mistakes.

    Args:
        value: the scalar or the list.
        what: names it in messages.

    Returns:
        The verbs, each once, in the order of `VERBS`.
    """
    if value.is_scalar:
        name = value.name(what)
        names: tuple[Name, ...] = (name,) if name else ()
    else:
        names = value.names(what)
        if value.is_list and not value.node.value:
            value.mistake(f"{what}: the list is empty; take the entry out")
    found = {verb for name in names for verb in read_word(name, value.document)}
    return tuple(verb for verb in VERBS if verb in found)


def read_word(name: Name, document: Document) -> tuple[str, ...]:
    """Expand a verb or a shorthand to verbs; empty, with a mistake recorded, for any other word."""
    if name.text in SHORTHANDS:
        return SHORTHANDS[name.text]
    if name.text in VERBS:
        return (name.text,)
    document.mistake(name.line, f"{name.text!r} is no verb{suggestion(name.text, WORDS)}")
    return ()
