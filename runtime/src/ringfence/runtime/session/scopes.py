"""The values that sessions bind to the scopes of their mirror, and the statements that require them."""

from collections.abc import Mapping
from typing import Any

from ringfence.runtime.engines import NO_SCOPE, StatementContext
from ringfence.runtime.errors import BadMirror, DataError, UnknownName, must_bind
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.values.codecs import Codec, Make, codec_for

BINDABLE = frozenset(
    "boolean smallint integer bigint decimal string text date datetime uuid enum citext".split()
)
"""Types whose values compare equally as the text of a setting, as a variable and in a function, on every engine."""


class Scopes:
    """The scopes that a mirror binds per session.

    Args:
        mirror: declares each scope with its type, and the verbs that use it.
        codecs: the backend's codecs, which convert the values.

    Raises:
        BadMirror: the type of a scope cannot be bound.
    """

    def __init__(self, mirror: Mirror, codecs: Mapping[str, Make]) -> None:
        self._service = mirror.service
        self._codecs = {name: _codec(name, item, codecs) for name, item in mirror.scopes.items()}
        needed = {name for name, item in mirror.scopes.items() if item.get("unset") == "error"}
        self._needed = _uses(mirror, needed) if needed else {}

    @property
    def has_required(self) -> bool:
        """Whether some statements fail without a bound scope, so that each must be checked before it is sent."""
        return bool(self._needed)

    def fit(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Convert the given values to the types of their scopes.

        Args:
            given: name of the scope -> value.

        Raises:
            UnknownName: the mirror does not bind a scope of that name.
            DataError: the value does not fit the scope's type, or is None or empty.
        """
        fitted = {}
        for name, value in given.items():
            if name not in self._codecs:
                known = ", ".join(sorted(self._codecs)) or "none"
                raise UnknownName(
                    f"the mirror of {self._service} binds no scope {name} (it binds {known}): declare it in the"
                    " manifest, with a `rows:` of a table or a `binds:` of a view that uses it"
                )
            if value is None or value == "":
                # PostgreSQL reports a setting that is not set as empty text.
                raise DataError(
                    f"scope {name}: it is bound to {value!r}, which stands for no value: leave the name out"
                )
            try:
                fitted[name] = self._codecs[name].check(value)
            except DataError as error:
                raise DataError(f"scope {name}: {error}") from error.__cause__
        return fitted or NO_SCOPE

    def require(self, context: StatementContext, bound: Mapping[str, Any]) -> None:
        """Check, before a statement is sent, that the scopes it requires are bound.

        Args:
            context: the verb and the tables of the statement.
            bound: the values that the session binds.

        Raises:
            InterfaceError: a table needs a scope that the session did not bind, and the manifest says `unset: error`
                for it.
        """
        for table in (context.table or "").split(", "):
            for name in self._needed.get((table, context.verb or ""), ()):
                if name not in bound:
                    raise must_bind(context.verb, table, name)


def _codec(name: str, item: Mapping[str, Any], codecs: Mapping[str, Make]) -> Codec:
    if item.get("type") not in BINDABLE:
        raise BadMirror(
            f"scopes.{name}: a session cannot bind the type {item.get('type')}; make the mirrors again"
        )
    return codec_for(codecs, item["type"], item.get("params", {}), f"scopes.{name}")


def _uses(mirror: Mirror, names: set[str]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Map (table, verb) to those of the names that the scope, or the view itself, uses."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for key, table in mirror.tables.items():
        for verb, given in table.verbs.items():
            conditions = [condition for part in given.scope or () for condition in part.values()]
            bound = [condition.get("bound", "") for condition in conditions]
            if used := names.intersection((*bound, *given.binds)):
                found[key, verb] = tuple(sorted(used))
    return found
