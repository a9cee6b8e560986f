"""The runtime's checks of values, by portable type: what a service may store in a column."""

from collections.abc import Callable, Mapping
from typing import Any

from ringfence.runtime.values import values

CHECKS: Mapping[str, Callable[[Mapping[str, Any]], values.Check]] = {
    "boolean": lambda params: values.boolean,
    "smallint": lambda params: values.bounded_integer(16, params),
    "integer": lambda params: values.bounded_integer(32, params),
    "bigint": lambda params: values.bounded_integer(64, params),
    "float": lambda params: values.floating,
    "decimal": lambda params: values.bounded_decimal(params.get("precision"), params.get("scale")),
    "string": lambda params: values.bounded_text(params.get("length")),
    "text": lambda params: values.bounded_text(params.get("length"), octets_count=True),
    "citext": lambda params: values.text,
    "enum": values.choice,
    "date": lambda params: values.date,
    "time": lambda params: values.time,
    "datetime": lambda params: values.aware_datetime if params.get("timezone") else values.naive_datetime,
    "uuid": lambda params: values.identifier,
    "bytes": lambda params: values.octets,
    "interval": lambda params: values.interval,
}
"""The check of a value, made from the parameters of its type; it returns the value, or raises DataError."""

COMPARABLE = (
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "decimal",
    "string",
    "text",
    "citext",
    "enum",
    "date",
    "datetime",
    "uuid",
)
"""The types whose values every engine compares for equality in the same way."""

BINDABLE = tuple(name for name in COMPARABLE if name not in ("enum", "datetime"))
"""The types that a session can bind: without enum, which is bound as a string, and datetime, which may have a zone."""
