"""Checks the resolved grants against the manifest's guards."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import sqlalchemy as sa

from ringfence.schema.documents import Document, Name, suggestion
from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.manifest.parsing import Guard

_BY_COLUMN = ("select", "insert", "update")


@dataclass(frozen=True, slots=True)
class _Subject:
    """A table, or one column of it, that a guard is about."""

    table: str
    column: str | None

    def __str__(self) -> str:
        return self.table if self.column is None else f"{self.table}.{self.column}"

    def concerns(self, grant: Grant) -> bool:
        """Whether a grant gives its verb on this table or column."""
        if grant.key != self.table:
            return False
        if self.column is None:
            return True
        return grant.verb in _BY_COLUMN and (grant.columns is None or self.column in grant.columns)


def check_guards(
    document: Document,
    guards: Iterable[Guard],
    tables: Mapping[str, sa.Table],
    sets: Mapping[str, AbstractSet[str]],
    accounts: Iterable[Account],
) -> None:
    """Record unknown names in guards, and every grant that violates a guard, at the line that asks for the grant.

    Args:
        document: the manifest; it records the mistakes.
        guards: as they are written.
        tables: those of the models, by `table` or `schema.table`.
        sets: the name of a set -> the keys of its tables.
        accounts: with their resolved grants.
    """
    accounts = tuple(accounts)
    services = [account.service for account in accounts]
    for guard in guards:
        for name in dict.fromkeys(name for names in guard.only.values() for name in names):
            if name.text not in services:
                document.mistake(
                    name.line, f"there is no account {name.text!r}{suggestion(name.text, services)}"
                )
        for subject in _subjects(document, guard, tables, sets):
            for account in accounts:
                for grant in account.grants:
                    if subject.concerns(grant):
                        _check_grant(document, guard, subject, account, grant)


def _check_grant(document: Document, guard: Guard, subject: _Subject, account: Account, grant: Grant) -> None:
    """Record each rule of a guard that a grant violates, at each line that asks for the grant."""
    what = f"{account.service!r} gets {grant.verb} on {str(subject)!r}"
    for origin in (grant.origin, *grant.other_origins):
        for rule in _violated(guard, account, grant):
            document.mistake(origin.line, f"{what}, and the guard in line {guard.key.line} says {rule}")


def _violated(guard: Guard, account: Account, grant: Grant) -> Iterator[str]:
    only = guard.only.get(grant.verb)
    if only is not None and account.service not in {name.text for name in only}:
        yield f"only {', '.join(sorted(name.text for name in only)) or 'no account'}"
    if grant.verb in guard.never:
        yield f"never {grant.verb}"


def _subjects(
    document: Document, guard: Guard, tables: Mapping[str, sa.Table], sets: Mapping[str, AbstractSet[str]]
) -> list[_Subject]:
    """Resolve the tables and columns that a guard is about; unknown names are recorded as mistakes."""
    key = guard.key
    if key.text.startswith("$"):
        members = sets.get(key.text[1:])
        if members is None:
            near = suggestion(key.text, (f"${name}" for name in sets))
            document.mistake(key.line, f"there is no set {key.text!r}{near}")
        elif guard.columns is not None:
            document.mistake(key.line, f"{key.text!r} is a set of tables: name a table with `columns:`")
        else:
            return [_Subject(table, None) for table in sorted(members)]
        return []
    found = _of_key(document, key, tables)
    if found is None or guard.columns is None:
        subjects = [] if found is None else [found]
    elif found.column is not None:
        document.mistake(key.line, f"{key.text!r} is a column already: `columns:` belongs at a table")
        subjects = []
    else:
        subjects = list(_of_columns(document, guard.columns, found.table, tables[found.table]))
    if "delete" in guard.never and any(subject.column for subject in subjects):
        document.mistake(guard.never_line, "delete takes whole rows: guard the table, not a column of it")
    return subjects


def _of_columns(
    document: Document, columns: Iterable[Name], table: str, model: sa.Table
) -> Iterator[_Subject]:
    known = [str(column.name) for column in model.columns]
    for name in columns:
        if name.text in known:
            yield _Subject(table, name.text)
        else:
            near = suggestion(name.text, known)
            document.mistake(name.line, f"the table {table!r} has no column {name.text!r}{near}")


def _of_key(document: Document, key: Name, tables: Mapping[str, sa.Table]) -> _Subject | None:
    """Resolve `table` or `table.column`; both names may hold dots, so the text is split at each dot in turn."""
    columns = [
        _Subject(table, column)
        for table, column in _cuts(key.text)
        if table in tables and any(str(each.name) == column for each in tables[table].columns)
    ]
    found = ([_Subject(key.text, None)] if key.text in tables else []) + columns
    if len(found) == 1:
        return found[0]
    if found:
        meanings = " and ".join(
            f"the table {one}" if one.column is None else f"the column {one.column} of {one.table}"
            for one in found
        )
        document.mistake(
            key.line,
            f"{key.text!r} is {meanings}: write a column as `table: {{columns: [column], …}}`, and a table in a `$set`",
        )
        return None
    of = next((table for table, _ in _cuts(key.text) if table in tables), None)
    if of is not None:
        column = key.text[len(of) + 1 :]
        near = suggestion(column, (str(each.name) for each in tables[of].columns))
        document.mistake(key.line, f"the table {of!r} has no column {column!r}{near}")
    else:
        document.mistake(
            key.line, f"there is no table {key.text!r} in the models{suggestion(key.text, tables)}"
        )
    return None


def _cuts(text: str) -> Iterator[tuple[str, str]]:
    """Each way to split a text at one dot, the last dot first."""
    for dot in range(len(text) - 1, 0, -1):
        if text[dot] == ".":
            yield text[:dot], text[dot + 1 :]
