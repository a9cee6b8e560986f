"""Names that a server takes as the same whatever their case: a database's are spelled as the models spell them."""

import re
from collections.abc import Iterable, Mapping

from ringfence.schema.comparison.snapshot import Name, Snapshot
from ringfence.schema.sql.identifiers import Spelling


def spelled_alike(found: Snapshot, wanted: Snapshot, spelling: Spelling) -> Snapshot:
    """A snapshot in which names have the case that another one gives them, where the server takes both as one.

    A column that the models call `Title` is the one that the database calls `title` on MySQL, MariaDB and SQLite: it
    can neither be added beside it nor be distinguished from it.

    Args:
        found: what the database holds.
        wanted: the reference; its names win.
        spelling: says for which kinds of objects the case does not count.

    Returns:
        The snapshot as it was, where no name differs by its case alone.
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
        result.items[new_name] = _alike(facets, wanted.items.get(new_name, {}), words)
    return result


def _alike(
    facets: Mapping[str, str | None],
    wanted: Mapping[str, str | None],
    words: Iterable[tuple[re.Pattern[str], str]],
) -> dict[str, str | None]:
    """Facets, each as it is wanted where it differs by the names of columns alone."""
    found = dict(facets)
    for facet, text in facets.items():
        given = text or ""
        for word, new in words:
            given = word.sub(new.replace("\\", r"\\"), given)
        if given == wanted.get(facet):
            found[facet] = given
    return found


def _folded(name: Name, spelling: Spelling) -> Name:
    return Name(
        name.kind,
        spelling.key("schema", name.schema),
        spelling.key("table", name.table),
        spelling.key(name.kind, name.name),
    )
