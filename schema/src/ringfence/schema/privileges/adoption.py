"""Show what adoption changes for existing accounts: each of their effective rights, before and after."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ringfence.schema.engines.effective_rights import EVERY, Effective, Reach, Right, dotted

LOST, CHANGED, GAINED, KEPT = "lost", "changed", "gained", "kept"
_ORDER = (LOST, CHANGED, GAINED, KEPT)
_VERBS = ("select", "insert", "update", "delete")
_OURS = "ringfence_"
# Every account gets these, so they are not listed.
_IMPLIED = frozenset({("schema", "usage"), ("database", "connect")})
_COLUMNS_OF = "table"


@dataclass(frozen=True, slots=True)
class Line:
    """One verb of one account on one object, before and after; None where the account does not have the right.

    `columns_…` is `all` or names of columns, and None for an object without columns. `taken` is the columns that the
    account loses while it keeps others.
    """

    login: str
    table: str
    kind: str
    verb: str
    columns_before: str | list[str] | None
    columns_after: str | list[str] | None
    rows_before: str | None
    rows_after: str | None
    change: str
    through: tuple[str, ...]
    """How the account has the right now: `grant`, `role x`, `PUBLIC`, `SET ROLE x`, `owner`."""
    lost_columns: tuple[str, ...] = ()

    @property
    def loses(self) -> bool:
        """Whether the account loses the right, loses columns of it, or may reach fewer rows than before."""
        fewer = self.change == CHANGED and self.rows_after not in (self.rows_before, EVERY)
        return self.change == LOST or bool(self.lost_columns) or fewer

    @property
    def before(self) -> str:
        """The present right, as text for people."""
        return _description(self.columns_before, self.rows_before)

    @property
    def after(self) -> str:
        """The right after the apply, as text for people."""
        return _description(self.columns_after, self.rows_after)

    def as_dict(self) -> dict[str, object]:
        """Return the line as a dictionary for a JSON document."""
        return {
            "login": self.login,
            "table": self.table,
            "kind": self.kind,
            "verb": self.verb,
            "columns_before": self.columns_before,
            "columns_after": self.columns_after,
            "rows_before": self.rows_before,
            "rows_after": self.rows_after,
            "change": self.change,
            "through": list(self.through),
        }

    def __str__(self) -> str:
        named = self.lost_columns or (self.columns_before if isinstance(self.columns_before, list) else ())
        columns = f" ({', '.join(named)})" if named and self.change in (LOST, CHANGED) else ""
        rows = (
            ""
            if self.change != CHANGED or self.lost_columns
            else f": rows {self.rows_before} -> {self.rows_after}"
        )
        return f"{self.login}: {self.verb}{columns} on {self.kind} {self.table}{rows}"


@dataclass
class Adoption:
    """The changes of an adoption, shown before the apply; losses first."""

    lines: list[Line] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    """Grants and policies that have no effect now, that take effect with the apply, or that remain without use."""
    others: list[str] = field(default_factory=list)
    """Effects on roles that are no accounts of the manifest."""

    @property
    def losses(self) -> list[Line]:
        """The lines by which an account loses something."""
        return [line for line in self.lines if line.loses]

    def as_dict(self) -> dict[str, object]:
        """Return the changes as a dictionary for a JSON document."""
        return {
            "effective": [line.as_dict() for line in self.lines],
            "policies": self.policies,
            "others": self.others,
        }

    def losses_as_text(self) -> Iterator[str]:
        """Yield the losses as text for people, with equal verbs and tables of an account in one line.

        Yields:
            A line, with how the rights are held now.
        """
        for lines, verbs, things in _grouped(line for line in self.lines if line.change == LOST):
            first = lines[0]
            columns = first.columns_before
            named = f" ({', '.join(columns)})" if isinstance(columns, list) else ""
            rows = "" if first.rows_before in (None, EVERY) else f", rows: {first.rows_before}"
            held = ", ".join(first.through)
            yield f"{first.login}: {verbs}{named} on {first.kind} {things}{rows} (held through {held})"

    def rest(self) -> Iterator[tuple[str, str, str, str, str, str, str]]:
        """Yield what is changed, gained or kept, as rows of a table for people.

        Yields:
            Account, change, verbs, objects, before, after, and how the rights are held now.
        """
        for lines, verbs, things in _grouped(line for line in self.lines if line.change != LOST):
            first = lines[0]
            on = things if first.kind == _COLUMNS_OF else f"{first.kind} {things}"
            yield first.login, first.change, verbs, on, first.before, first.after, ", ".join(first.through)


def adoption(found: Effective) -> Adoption:
    """Compare the effective rights of accounts now with those after an apply.

    A sequence counts as part of its tables: it has a line of its own only for an account without rights on them.

    Args:
        found: the effective rights of the accounts, now and after the apply.

    Returns:
        A line for each right, losses first, with the affected policies and other roles.
    """
    rights = {**found.now, **found.after}
    reached = {(right.login, right.schema, right.name) for right in rights if right.kind == "table"}
    lines = [
        line
        for right in rights
        if (right.kind, right.verb) not in _IMPLIED and not _part(found, right, reached)
        if (line := _line(found, right)).change in (LOST, CHANGED) or not right.name.startswith(_OURS)
    ]
    lines.sort(key=_location)
    return Adoption(lines, found.notes, found.others)


def _location(line: Line) -> tuple[int, str, str, int, str]:
    verb = _VERBS.index(line.verb) if line.verb in _VERBS else len(_VERBS)
    return _ORDER.index(line.change), line.login, line.table, verb, line.verb


def _part(found: Effective, right: Right, reached: set[tuple[str, str, str]]) -> bool:
    """Whether it is a right on a sequence that is covered by a line on one of its tables."""
    if right.kind != "sequence":
        return False
    tables = found.owned_sequences.get((right.schema, right.name), ())
    return any((right.login, *table) in reached for table in tables)


def _line(found: Effective, right: Right) -> Line:
    before, after = found.now.get(right), found.after.get(right)
    order = found.columns.get((right.schema, right.name), ())
    has = _columns(right, before, order)
    gets = _columns(right, after, order)
    taken: tuple[str, ...] = ()
    rows_before, rows_after = _rows(right, before), _rows(right, after)
    if before is None or after is None:
        change = GAINED if before is None else LOST
    else:
        same = has == gets and (before.condition == after.condition or rows_before == rows_after)
        change = KEPT if same else CHANGED
        rows_after = rows_before if same else rows_after
        kept = set(order if gets == "all" else gets or ())
        taken = tuple(column for column in (order if has == "all" else has or ()) if column not in kept)
    name = dotted(right.schema, right.name, found.default)
    through = before.through if before is not None else ()
    return Line(
        right.login, name, right.kind, right.verb, has, gets, rows_before, rows_after, change, through, taken
    )


def _columns(right: Right, reach: Reach | None, order: tuple[str, ...]) -> str | list[str] | None:
    """Return the columns of a right; `all` also when every column is named one by one."""
    if reach is None or right.kind != _COLUMNS_OF:
        return None
    if reach.columns is None or (order and reach.columns >= set(order)):
        return "all"
    return [column for column in order if column in reach.columns] or sorted(reach.columns)


def _rows(right: Right, reach: Reach | None) -> str | None:
    return reach.rows if reach is not None and right.kind == _COLUMNS_OF else None


def _description(columns: str | list[str] | None, rows: str | None) -> str:
    if columns is None:
        return "-"
    named = columns if isinstance(columns, str) else ", ".join(columns)
    return named if rows in (None, EVERY) else f"{named}; rows: {rows}"


def _grouped(lines: Iterable[Line]) -> Iterator[tuple[list[Line], str, str]]:
    """Group lines of an account that are equal but for the verb, and then those that are equal but for the object."""
    things: dict[tuple[object, ...], list[Line]] = {}
    for line in lines:
        key = (line.login, line.change, line.kind, line.table, line.before, line.after, line.through)
        things.setdefault(key, []).append(line)
    alike: dict[tuple[object, ...], list[list[Line]]] = {}
    for (login, change, kind, table, *said), group in things.items():
        verbs = ", ".join(line.verb for line in group)
        whole = not isinstance(group[0].columns_before, list) and not isinstance(group[0].columns_after, list)
        alike.setdefault((login, change, kind, verbs, *said, "" if whole else table), []).append(group)
    for groups in alike.values():
        yield groups[0], ", ".join(line.verb for line in groups[0]), ", ".join(g[0].table for g in groups)
