"""Checks the values in a mirror: parameters of types, literals and row conditions."""

from collections.abc import Callable, Mapping
from typing import Any

from ringfence.runtime.errors import DataError
from ringfence.runtime.mirror.model import DEFAULT_KINDS, TYPES, Default
from ringfence.runtime.settings.secret import invalid_text
from ringfence.runtime.values import values
from ringfence.runtime.values.generators import GENERATORS

UNSET = ("none", "error")
_NONE: Mapping[str, Any] = {}


class InvalidMirror(Exception):
    """An invalid part and its path; each caller prepends its own key to the path."""

    def __init__(self, what: str, *path: str | int) -> None:
        super().__init__(what)
        self.path = list(path)


def check_keys(given: Any, required: frozenset[str], allowed: frozenset[str]) -> dict[str, Any]:
    """Return an object that has these keys and no others.

    Args:
        given: the JSON.
        required: the keys it must have.
        allowed: the keys it may have.

    Raises:
        InvalidMirror: for any other value.
    """
    if not isinstance(given, dict):
        raise InvalidMirror(f"must be an object, and is {describe(given)}")
    if not (required <= given.keys() <= allowed):
        if missing := sorted(required - given.keys()):
            raise InvalidMirror(f"lacks {', '.join(missing)}")
        unknown = sorted(map(str, given.keys() - allowed))
        raise InvalidMirror(f"has keys this runtime does not know: {', '.join(unknown)}")
    return given


def text(value: Any, *path: str | int) -> str:
    """Return a non-empty text.

    Args:
        value: the JSON.
        path: its path in the mirror.

    Raises:
        InvalidMirror: for any other value.
    """
    if not isinstance(value, str) or not value:
        raise InvalidMirror(f"must be a text, and is {describe(value)}", *path)
    return storable_text(value, *path)


def texts(value: Any, *path: str | int) -> tuple[str, ...]:
    """Return a list of texts, which may be empty texts, as a tuple.

    Args:
        value: the JSON.
        path: its path in the mirror.

    Raises:
        InvalidMirror: for any other value.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidMirror(f"must be a list of texts, and is {describe(value)}", *path)
    return tuple(storable_text(item, *path, number) for number, item in enumerate(value))


def storable_text(value: str, *path: str | int) -> str:
    """Return a text that a database accepts; JSON can escape characters that none does.

    Args:
        value: the text.
        path: its path in the mirror.

    Raises:
        InvalidMirror: for a NUL character or half of a surrogate pair.
    """
    if invalid_text(value):
        raise InvalidMirror(
            "holds a NUL character or half of a surrogate pair, which no database takes", *path
        )
    return value


def describe(value: Any) -> str:
    """Return a short description of an invalid value."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return f"the number {value!r:.40}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}" if value else "empty"
    return "a list" if isinstance(value, list) else "an object"


def params_of(kind: str, given: Any) -> Mapping[str, Any]:
    """Return the parameters of a type.

    Args:
        kind: the portable type.
        given: the JSON.

    Raises:
        InvalidMirror: for unknown, invalid or missing parameters.
    """
    if not isinstance(given, dict):
        raise InvalidMirror(f"must be an object, and is {describe(given)}")
    if unknown := given.keys() - TYPES[kind]:
        raise InvalidMirror(
            f"has parameters that {kind} does not take: {', '.join(sorted(map(str, unknown)))}"
        )
    for name, value in given.items():
        _CHECKS[name](name, value)
    for name in _NEEDED.get(kind, ()):
        if name not in given:
            raise InvalidMirror(f"lacks {name}, which {kind} needs")
    if given.get("fixed") and "length" not in given:
        raise InvalidMirror("has fixed without length")
    return given


def _number(name: str, value: Any, least: int = 0) -> None:
    if type(value) is not int or value < least:
        raise InvalidMirror(f"must be a whole number from {least} on, and is {describe(value)}", name)


def _positive(name: str, value: Any) -> None:
    _number(name, value, 1)


def _scale(name: str, value: Any) -> None:
    _number(name, value, -1000)  # PostgreSQL allows a negative scale, which rounds to tens or hundreds


def _flag(name: str, value: Any) -> None:
    if value is not True and value is not False:
        raise InvalidMirror(f"must be true or false, and is {describe(value)}", name)


def _labels(name: str, value: Any) -> None:
    if len(set(texts(value, name))) != len(value):
        raise InvalidMirror("has a label twice", name)


def _class(name: str, value: Any) -> None:
    module, colon, attribute = text(value, name).partition(":")
    if not (module and colon and attribute):
        raise InvalidMirror("must be module:Qualified.Name", name)


def _members(name: str, value: Any) -> None:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InvalidMirror("must be an object of texts, label to name", name)


def _item(name: str, value: Any) -> None:
    try:
        given = check_keys(value, frozenset({"type"}), frozenset({"type", "params"}))
        typed(given)
    except InvalidMirror as error:
        error.path.insert(0, name)
        raise


_CHECKS: Mapping[str, Callable[[str, Any], None]] = {
    "bits": _positive,
    "digits": _positive,
    "precision": _number,
    "length": _number,
    "scale": _scale,
    "unsigned": _flag,
    "single": _flag,
    "fixed": _flag,
    "timezone": _flag,
    "binary": _flag,
    "password": _flag,
    "values": _labels,
    "enum": _class,
    "members": _members,
    "item": _item,
}
_NEEDED: Mapping[str, tuple[str, ...]] = {"array": ("item",), "set": ("values",), "enum": ("values",)}


def typed(given: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the portable type and its parameters.

    Args:
        given: an object with `type` and optional `params`.

    Raises:
        InvalidMirror: for an unknown type or invalid parameters.
    """
    kind = given["type"]
    if not isinstance(kind, str) or kind not in TYPES:
        raise InvalidMirror(f"is a type this runtime does not know: {describe(kind)}", "type")
    params = given.get("params")
    if params is None and "params" not in given:
        return kind, _NONE
    try:
        return kind, params_of(kind, params)
    except InvalidMirror as error:
        error.path.insert(0, "params")
        raise


def default(given: Any, kind: str, params: Mapping[str, Any]) -> Default:
    """Return the default of a column of this type.

    Args:
        given: the JSON.
        kind: the column's portable type.
        params: the type's parameters.

    Raises:
        InvalidMirror: when it is invalid.
    """
    check_keys(given, frozenset({"kind"}), frozenset({"kind", "value"}))
    how, value = given["kind"], given.get("value")
    if not isinstance(how, str) or how not in DEFAULT_KINDS:
        raise InvalidMirror(f"is a kind this runtime does not know: {describe(how)}", "kind")
    if "value" in given or how not in ("server", "computed", "literal"):
        _ARISES[how](value, kind, params)
    return Default(how, value)


def _of_the_server(value: Any, kind: str, params: Mapping[str, Any]) -> None:
    raise InvalidMirror("must be left out: the server makes it", "value")


def _generated(value: Any, kind: str, params: Mapping[str, Any]) -> None:
    if not isinstance(value, str) or value not in GENERATORS:
        raise InvalidMirror(
            f"is a generator this runtime does not know: {describe(value)}; upgrade ringfence-runtime",
            "value",
        )


def _sequence(value: Any, kind: str, params: Mapping[str, Any]) -> None:
    try:
        for name, part in check_keys(value, frozenset({"name"}), frozenset({"name", "schema"})).items():
            text(part, name)
    except InvalidMirror as error:
        error.path.insert(0, "value")
        raise


def literal(value: Any, kind: str, params: Mapping[str, Any], *path: str | int) -> None:
    """Check that the runtime accepts a constant for a type.

    Args:
        value: the constant.
        kind: the portable type.
        params: the type's parameters.
        path: the constant's path in the mirror.

    Raises:
        InvalidMirror: when it does not.
    """
    if kind == "json":
        return
    check = _CHECKS_BY_TYPE.get(kind)
    try:
        if kind == "enum" and "values" in params and value not in params["values"]:
            raise DataError("it is none of the labels")
        if check is not None:
            check(params)(value)
        elif not isinstance(value, str | int | float | list):
            raise DataError(f"it is {describe(value)}")
    except DataError as error:
        raise InvalidMirror(f"is no value of the type {kind}: {error}", *path) from None


_ARISES: Mapping[str, Callable[[Any, str, Mapping[str, Any]], object]] = {
    "server": _of_the_server,
    "computed": _of_the_server,
    "generator": _generated,
    "sequence": _sequence,
    "service": lambda value, kind, params: text(value, "value"),
    "literal": lambda value, kind, params: literal(value, kind, params, "value"),
}


def _integers(bits: int) -> Callable[[Mapping[str, Any]], values.Check]:
    return lambda params: values.bounded_integer(bits, params)


_CHECKS_BY_TYPE: Mapping[str, Callable[[Mapping[str, Any]], values.Check]] = {
    "boolean": lambda params: values.boolean,
    "float": lambda params: values.floating,
    "decimal": lambda params: values.bounded_decimal(params.get("precision"), params.get("scale")),
    "string": lambda params: values.bounded_text(params.get("length")),
    "text": lambda params: values.bounded_text(params.get("length"), octets_count=True),
    "citext": lambda params: values.text,
    "enum": lambda params: values.text,
    "inet": lambda params: values.text,
    "date": lambda params: values.date,
    "time": lambda params: values.time,
    "datetime": lambda params: values.aware_datetime if params.get("timezone") else values.naive_datetime,
    "uuid": lambda params: values.identifier,
    "bytes": lambda params: values.octets,
    "interval": lambda params: values.interval,
} | {kind: _integers(bits) for kind, bits in values.INTEGER_BITS.items()}


def conditions(given: Any, *path: str | int) -> tuple[Mapping[str, Mapping[str, Any]], ...]:
    """Return the row conditions of a verb.

    Args:
        given: the JSON.
        path: its path in the mirror.

    Raises:
        InvalidMirror: when they are invalid.
    """
    if not isinstance(given, list) or not given:
        raise InvalidMirror("must be a list of alternatives; without any rows in mind it is left out", *path)
    for number, part in enumerate(given):
        if not isinstance(part, dict) or not part:
            raise InvalidMirror("must be an object, column to condition", *path, number)
        for column, condition in part.items():
            try:
                _condition(condition)
            except InvalidMirror as error:
                error.path[:0] = [*path, number, column]
                raise
    return tuple(given)


_WORDS = frozenset({"equals", "in", "null", "bound", "login"})


def _condition(given: Any) -> None:
    check_keys(given, frozenset({"type"}), _WORDS | {"type", "params"})
    kind, params = typed(given)
    words = _WORDS & given.keys()
    if len(words) != 1:
        raise InvalidMirror(f"must say one of {', '.join(sorted(_WORDS))}")
    (word,) = words
    value = given[word]
    if word == "bound":
        text(value, word)
    elif word == "equals":
        literal(value, kind, params, word)
    elif word == "in":
        if not isinstance(value, list) or not value:
            raise InvalidMirror("must be a list of constants", word)
        for number, item in enumerate(value):
            literal(item, kind, params, word, number)
    elif value is not True:
        raise InvalidMirror(f"must be true, and is {describe(value)}", word)


def scope(given: Any) -> Mapping[str, Any]:
    """Return the description of a bound scope.

    Raises:
        InvalidMirror: when it is invalid.
    """
    required = frozenset({"type", "setting", "unset"})
    typed(check_keys(given, required, required | {"params"}))
    text(given["setting"], "setting")
    if given["unset"] not in UNSET:
        raise InvalidMirror(f"must be one of {', '.join(UNSET)}", "unset")
    return dict(given)
