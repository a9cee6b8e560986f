"""COUNT and DISTINCT over fields, with the same result on every engine."""

import functools
import operator
from typing import Any

from pydal.helpers.methods import xorify
from pydal.objects import Expression, Field

from ringfence.runtime.errors import ArgumentError, NotSupportedError


class Counting:
    """Counts and distinct selects, mixed in before the adapter."""

    def count(self, query: Any, distinct: Any = None) -> int:
        """Count rows; error messages name the tables.

        Args:
            query: the condition.
            distinct: None, True for distinct records, or the field or fields whose distinct values are counted.

        Raises:
            ArgumentError: for `True` with a table without a key, and for text in place of a field.
        """
        context = self.context_of(query, ())  # type: ignore[attr-defined]  # the adapter's
        self.execute(self._count(query, distinct), context=context)  # type: ignore[attr-defined]
        return int(self.fetchone()[0])  # type: ignore[attr-defined]

    def _count(self, query: Any, distinct: Any = None) -> Any:
        """Return the SQL of a count of rows, of a field's values, or of several fields' combinations without NULLs."""
        if distinct is True:
            self._countable(query)
            distinct = None
        fields = self.parts("count", distinct)
        if len(fields) < 2 and any(table.is_cte for table in self.tables(query).values()):  # type: ignore[attr-defined]  # defined by PyDAL's class, which is untyped
            # PyDAL omits the WITH clause that such a query needs
            counted = fields[0].count(distinct=True) if fields else Expression(self.db, lambda: "COUNT(*)")  # type: ignore[attr-defined]  # defined by PyDAL's class, which is untyped
            return self._select_wcols(query, [counted])[1]  # type: ignore[attr-defined]  # defined by PyDAL's class, which is untyped
        if len(fields) < 2:
            return super()._count(query, fields[0] if fields else None)  # type: ignore[misc]  # defined by PyDAL's class, which is untyped
        known = functools.reduce(operator.and_, [field != None for field in fields])  # noqa: E711  # PyDAL's IS NOT NULL
        narrowed = known if query is None else query & known
        narrowed.ignore_common_filters = getattr(query, "ignore_common_filters", False)
        named = [field.with_alias(f"c{number}") for number, field in enumerate(fields)]
        sql = str(self._select_wcols(narrowed, named, distinct=True)[1])  # type: ignore[attr-defined]
        return f"SELECT COUNT(*) FROM ({sql.rstrip(';')}) AS counted"

    def _countable(self, query: Any) -> None:
        """Raise ArgumentError if records might be identical, which they cannot be in tables with a key."""
        for name, table in self.tables(query).items():  # type: ignore[attr-defined]
            mirror = getattr(table, "_mirror", None)
            if mirror is None or not mirror.primary_key:
                raise ArgumentError(
                    f"count(distinct=True): {name} has no key that tells its records apart: name the fields"
                )

    def parts(self, verb: str, distinct: Any) -> list[Any]:
        """Return the fields of `distinct=`, given as one field, a list, or `one | other`.

        Args:
            verb: the method's name, for its error.
            distinct: the option's value; None and False mean no fields.

        Raises:
            ArgumentError: for anything but fields and expressions: text would become part of the statement.
        """
        if distinct is None or distinct is False:
            return []
        found: list[Any] = []
        for part in distinct if isinstance(distinct, list | tuple) else [distinct]:
            if not isinstance(part, Expression):
                raise ArgumentError(f"{verb}(distinct=…) takes True or fields, not a {type(part).__name__}")
            if not isinstance(part, Field) and part.op == self.dialect.comma:  # type: ignore[attr-defined]
                found += self.parts(verb, [part.first, part.second])
            else:
                found.append(part)
        return found

    def distinct_of(self, fields: Any, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return the changes to a select's options that its `distinct=` requires.

        Args:
            fields: what is selected.
            attributes: the select's options.

        Raises:
            NotSupportedError: for fields in `distinct=`, where the engine has no DISTINCT ON.
        """
        given = attributes.get("distinct")
        wanted = [] if given is True else self.parts("select", given)
        changed: dict[str, Any] = {}
        if wanted:
            if not self.dialect.distinct_on:  # type: ignore[attr-defined]
                raise NotSupportedError(
                    "select(distinct=field) is DISTINCT ON, which this engine has not: "
                    "select that field with distinct=True, or group by it"
                )
            changed["distinct"] = xorify(wanted)
        ordered = attributes.get("orderby") or not attributes.get("orderby_on_limitby", True)
        if given and attributes.get("limitby") and not ordered:
            # PyDAL orders by the key, which servers refuse if DISTINCT does not include it
            order = wanted or [field for field in fields if isinstance(field, Field)]
            changed |= {"orderby": xorify(order)} if order else {"orderby_on_limitby": False}
        return changed
