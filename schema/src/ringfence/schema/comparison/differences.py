"""Compare two snapshots object by object, without any query to a server."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ringfence.schema.comparison.snapshot import KINDS, Facets, Name, Snapshot

_ORDER = {kind: n for n, kind in enumerate(KINDS)}
_CONSTRAINTS = ("unique", "check", "exclude", "foreign key")
_UNNAMED = "("


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that differs: `found` is None if the database lacks it, `wanted` is None if the models lack it."""

    name: Name
    wanted: Facets | None
    found: Facets | None

    @property
    def missing(self) -> bool:
        """Whether the database lacks the object."""
        return self.found is None

    @property
    def extra(self) -> bool:
        """Whether the models lack the object."""
        return self.wanted is None

    @property
    def changed(self) -> tuple[str, ...]:
        """The names of the facets that differ; empty unless both sides have the object."""
        if self.wanted is None or self.found is None:
            return ()
        words = sorted(self.wanted.keys() | self.found.keys())
        return tuple(word for word in words if self.wanted.get(word) != self.found.get(word))

    def __str__(self) -> str:
        """Return for example `add table song` or `modify column song.title: type TEXT, wanted VARCHAR(20)`."""
        if self.wanted is None or self.found is None:
            return f"{'remove' if self.extra else 'add'} {self.name}"
        facets = (
            f"{word} {_shown(self.found.get(word))}, wanted {_shown(self.wanted.get(word))}"
            for word in self.changed
        )
        return f"modify {self.name}: {'; '.join(facets)}"


def _shown(value: str | None) -> str:
    return "none" if value is None else value


def compare(
    wanted: Snapshot,
    found: Snapshot,
    has_own_name: Callable[[Name], bool] = lambda name: True,
    created_separately: Callable[[Name], bool] = lambda name: name.kind == "trigger",
) -> list[Difference]:
    """Return every difference, in the order in which the objects can be created.

    Objects of a table that is missing or extra as a whole are not listed. The name of a primary key is not compared:
    renaming it would require dropping it, and every foreign key to it before.

    Args:
        wanted: the reference, made from the models.
        found: the snapshot of the database.
        has_own_name: whether the models give a wanted constraint its name. If not, the server chose the name, and
            constraints with the same definition are equal; so is a constraint that has no name in the database.
        created_separately: whether an object of a table is created by a statement other than CREATE TABLE, so that it
            is listed even if its table is missing.

    Returns:
        The differences; the order of the objects in the snapshots has no influence.
    """
    pairs = [
        Difference(name, wanted.items.get(name), found.items.get(name))
        for name in sorted(wanted.items.keys() | found.items.keys())
        if wanted.items.get(name) != found.items.get(name)
    ]
    pairs = list(_without_renamed(pairs, has_own_name))
    whole = {
        (each.name.schema, each.name.table)
        for each in pairs
        if each.name.kind == "table" and not each.changed
    }
    kept = [
        each
        for each in pairs
        if each.name.kind in ("table", "view")
        or (each.name.schema, each.name.table) not in whole
        or (each.missing and created_separately(each.name))
    ]
    return sorted(kept, key=lambda each: (_ORDER[each.name.kind], each.name))


def _without_renamed(pairs: Iterable[Difference], named: Callable[[Name], bool]) -> Iterator[Difference]:
    """Pair constraints that are missing under one name and extra under another, where the name is irrelevant."""
    extra: dict[tuple[str, str, str], list[Difference]] = {}
    missing = []
    for each in pairs:
        owner = (each.name.kind, each.name.schema, each.name.table)
        if each.extra and each.name.kind in ("primary key", *_CONSTRAINTS):
            extra.setdefault(owner, []).append(each)
        elif each.missing and each.name.kind in ("primary key", *_CONSTRAINTS):
            missing.append((owner, each))
        else:
            yield each
    for owner, each in missing:
        candidates = extra.get(owner, [])
        for other in candidates:
            same = each.wanted == other.found
            nameless = other.name.name.startswith(_UNNAMED) or not named(each.name)
            if each.name.kind == "primary key" or (same and nameless):
                candidates.remove(other)
                if not same:
                    yield Difference(other.name, each.wanted, other.found)
                break
        else:
            yield each
    for rest in extra.values():
        yield from rest
