"""Give names of a snapshot the case that the models use, where the server compares names without regard to case."""

import re
from collections.abc import Iterable, Mapping

from ringfence.schema.comparison.snapshot import Name, Snapshot
from ringfence.schema.sql.identifiers import NameRules


def match_case(found: Snapshot, wanted: Snapshot, spelling: NameRules) -> Snapshot:
    """Return the snapshot of the database with its names in the case of the reference.

    On MySQL, MariaDB and SQLite, a column that the models call `Title` is the column that the database calls `title`:
    the server takes both names for the same column.

    Args:
        found: the snapshot of the database.
        wanted: the reference, whose spelling is used.
        spelling: defines for which kinds of objects the server ignores case.

    Returns:
        A new snapshot; `found` itself if no name differs by case alone.
    """
    known = {_folded(name, spelling): name for name in wanted.items}
    renamed = {
        name: new
        for name in found.items
        if name not in wanted.items and (new := known.get(_folded(name, spelling))) and new not in found.items
    }
    if not renamed:
        return found
    columns: dict[tuple[str, str], list[tuple[re.Pattern[str], str]]] = {}
    for old, new in renamed.items():
        if old.kind == "column" and old.name != new.name:
            word = re.compile(rf"(?<![\w$]){re.escape(old.name)}(?![\w$])")
            columns.setdefault((old.schema, old.table), []).append((word, new.name))
    result = Snapshot()
    for name, facets in found.items.items():
        new_name = renamed.get(name, name)
        words = columns.get((name.schema, name.table), ())
        result.items[new_name] = _with_expected_case(facets, wanted.items.get(new_name, {}), words)
    return result


def _with_expected_case(
    facets: Mapping[str, str | None],
    wanted: Mapping[str, str | None],
    words: Iterable[tuple[re.Pattern[str], str]],
) -> dict[str, str | None]:
    """Return the facets, with the wanted value for each one that differs only by the case of column names."""
    found = dict(facets)
    for facet, text in facets.items():
        given = text or ""
        for word, new in words:
            given = word.sub(new.replace("\\", r"\\"), given)
        if given == wanted.get(facet):
            found[facet] = given
    return found


def _folded(name: Name, spelling: NameRules) -> Name:
    return Name(
        name.kind,
        spelling.key("schema", name.schema),
        spelling.key("table", name.table),
        spelling.key(name.kind, name.name),
    )
