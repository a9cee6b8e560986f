"""The values that sessions bind to the scopes of their mirror, and the statements that cannot do without."""

from collections.abc import Mapping
from typing import Any

from ringfence.runtime.engines import NO_SCOPE, Doing
from ringfence.runtime.errors import BadMirror, BadValue, Misuse, must_bind
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.values.codecs import Codec, Make, codec_for

BINDABLE = frozenset(
    "boolean smallint integer bigint decimal string text date datetime uuid enum citext".split()
)
"""The types whose values compare alike as text of a setting, as a variable and in a function, on every engine."""


class Scopes:
    """What a mirror binds per session.

    Args:
        mirror: names each with its type, and the verbs whose scopes use it.
        codecs: the backend's, by which values are fitted.

    Raises:
        BadMirror: for a type that cannot be bound.
    """

    def __init__(self, mirror: Mirror, codecs: Mapping[str, Make]) -> None:
        self._service = mirror.service
        self._codecs = {name: _codec(name, item, codecs) for name, item in mirror.scopes.items()}
        needed = {name for name, item in mirror.scopes.items() if item.get("unset") == "error"}
        self._needed = _uses(mirror, needed) if needed else {}

    @property
    def demanding(self) -> bool:
        """Whether some statement fails without its scope, and so must be looked at before it is sent."""
        return bool(self._needed)

    def fit(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values as their types take them.

        Raises:
            Misuse: for a name that the mirror does not bind.
            BadValue: for a value that the name's type does not take, or that stands for none.
        """
        fitted = {}
        for name, value in given.items():
            if name not in self._codecs:
                known = ", ".join(sorted(self._codecs)) or "none"
                raise Misuse(
                    f"the mirror of {self._service} binds no scope {name} (it binds {known}): declare it in the"
                    " manifest, with a `rows:` of a table or a `binds:` of a view that uses it"
                )
            if value is None or value == "":
                # Empty text is how PostgreSQL has a setting that is not set.
                raise BadValue(
                    f"scope {name}: it is bound to {value!r}, which stands for no value: leave the name out"
                )
            try:
                fitted[name] = self._codecs[name].fit(value)
            except BadValue as error:
                raise BadValue(f"scope {name}: {error}") from error.__cause__
        return fitted or NO_SCOPE

    def demand(self, doing: Doing, bound: Mapping[str, Any]) -> None:
        """Look at what a statement is about, before it is sent.

        Raises:
            Misuse: when a table's scope uses a name that the session did not bind, and the manifest says
                `unset: error` of it.
        """
        for table in (doing.table or "").split(", "):
            for name in self._needed.get((table, doing.verb or ""), ()):
                if name not in bound:
                    raise must_bind(doing.verb, table, name)


def _codec(name: str, item: Mapping[str, Any], codecs: Mapping[str, Make]) -> Codec:
    if item.get("type") not in BINDABLE:
        raise BadMirror(
            f"scopes.{name}: a session cannot bind the type {item.get('type')}; make the mirrors again"
        )
    return codec_for(codecs, item["type"], item.get("params", {}), f"scopes.{name}")


def _uses(mirror: Mirror, names: set[str]) -> dict[tuple[str, str], tuple[str, ...]]:
    """(table, verb) -> those of the names that its scope, or the view itself, uses."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for key, table in mirror.tables.items():
        for verb, given in table.verbs.items():
            conditions = [condition for part in given.scope or () for condition in part.values()]
            bound = [condition.get("bound", "") for condition in conditions]
            if used := names.intersection((*bound, *given.binds)):
                found[key, verb] = tuple(sorted(used))
    return found
