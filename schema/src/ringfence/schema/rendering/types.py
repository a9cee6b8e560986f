"""Column types and server defaults as the source text of a revision, which means the same on every engine.

A TypeDecorator of the application is written as the types that it has in the database, so that a migration still runs
after the application has changed or removed it. A `UserDefinedType` can only be imported.
"""

import copy
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.util import CommandError
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.sql.elements import BindParameter, False_, Null, TextClause, True_
from sqlalchemy.sql.functions import Function, FunctionElement
from sqlalchemy.types import TypeEngine, to_instance

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.models import columns
from ringfence.schema.models.types import DIALECTS
from ringfence.schema.sql.dialects import unconnected

_OURS = "ringfence.schema.models"
_NAMED = tuple(dict.fromkeys(DIALECTS.values()))


def render_type(type_: TypeEngine[Any], context: AutogenContext) -> str:
    """Return the source of a type with its variants.

    Args:
        type_: A type of the models, or of a database.
        context: Receives the imports of the classes that the source names.

    Raises:
        CommandError: A class of the application cannot be imported by its name.
    """
    base = _base(type_, context)
    variants: dict[str, list[str]] = {}
    for dialect in _NAMED if _varies(type_) else ():
        text = _on(type_, dialect, context)
        if text != base:
            variants.setdefault(text, []).append(dialect)
    return base + "".join(
        f".with_variant({text}, {', '.join(map(repr, dialects))})" for text, dialects in variants.items()
    )


def render_default(default: Any, context: AutogenContext) -> str | Literal[False]:
    """Return the source of a server default as the models declare it; Alembic would compile it for one engine.

    Args:
        default: The default of a column, or its text.
        context: Receives the imports.

    Returns:
        The source, or False to leave it to Alembic: a computed column, an identity, or another expression.
    """
    expression = default.arg if isinstance(default, sa.DefaultClause) else default
    if isinstance(expression, str):
        return written_value(expression)
    return _expression(expression, context) or False


def written_value(value: Any) -> str:
    """Return a value as source that needs no import: a member of a `StrEnum` is written as its text.

    Args:
        value: The value of a default.
    """
    for cls in () if isinstance(value, bool) else (str, int, float):
        if isinstance(value, cls):
            return cls.__repr__(value)  # a subclass may have a repr of its own
    return repr(value)


def _expression(expression: Any, context: AutogenContext) -> str | None:
    prefix = context.opts["sqlalchemy_module_prefix"] or ""
    if isinstance(expression, TextClause):
        return None if sqlalchemy_compat.has_parameters(expression) else f"{prefix}text({expression.text!r})"
    for cls, word in ((True_, "true"), (False_, "false"), (Null, "null")):
        if isinstance(expression, cls):
            return f"{prefix}{word}()"
    if isinstance(expression, BindParameter):
        plain = isinstance(expression.value, bool | int | float | str) or expression.value is None
        return written_value(expression.value) if plain else None
    if not isinstance(expression, FunctionElement):
        return None
    arguments = [_expression(each, context) for each in expression.clauses]
    words = [each for each in arguments if each is not None]
    if len(words) < len(arguments):
        return None
    if type(expression) is Function:
        path = ".".join((*expression.packagenames, expression.name))
        return f"{prefix}func.{path}({', '.join(words)})" if _is_path(path) else None
    if type(expression).__module__.startswith("sqlalchemy."):
        return f"{prefix}func.{expression.name}({', '.join(words)})"
    return None if words else f"{_imported(type(expression), context)}()"


def _is_path(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _varies(type_: TypeEngine[Any]) -> bool:
    return bool(sqlalchemy_compat.variants(type_)) or _is_decorator(type_)


def _is_decorator(type_: TypeEngine[Any]) -> bool:
    """Return whether a type is an application's TypeDecorator, which is written as the type that it wraps."""
    return (
        isinstance(type_, sa.TypeDecorator)
        and not isinstance(type_, columns.PORTABLE)
        and not type(type_).__module__.startswith("sqlalchemy.")
        and sqlalchemy_compat.compilers(type(type_)) is None  # it has DDL of its own
    )


def _base(type_: TypeEngine[Any], context: AutogenContext) -> str:
    """Return the source of a type for dialects without a variant."""
    return _base(type_.impl_instance, context) if _is_decorator(type_) else _plain(type_, context)  # type: ignore[attr-defined]


def _on(type_: TypeEngine[Any], dialect: str, context: AutogenContext) -> str:
    """Return the source of a type for one dialect."""
    variant = sqlalchemy_compat.variants(type_).get(dialect)
    if variant is not None:
        return _on(variant, dialect, context)
    if not isinstance(type_, sa.TypeDecorator) or not _is_decorator(type_):
        return _plain(type_, context)
    inner = type_.load_dialect_impl(_instance(dialect))
    return _on(type_.impl_instance if inner is type_ else inner, dialect, context)


@cache
def _instance(dialect: str) -> sa.Dialect:
    """Return a dialect that leaves types as they are, and does not replace them by a driver's own."""
    made = copy.copy(unconnected(dialect))
    given: Callable[[Any], TypeEngine[Any]] = to_instance
    vars(made)["type_descriptor"] = given
    return made


def _plain(type_: TypeEngine[Any], context: AutogenContext) -> str:
    """Return the source of a type without its variants: its class with the arguments."""
    cls = type(type_)
    if isinstance(type_, DOMAIN):
        return _domain(type_, context)
    # The repr of a decorator shows only what it decorates.
    text = sa.util.generic_repr(type_) if isinstance(type_, sa.Interval) else repr(type_)
    words = re.findall(r"(\w+)=", text)
    within = [*vars(type_).values(), *(getattr(type_, word, None) for word in words)]
    for inner in (each for each in within if isinstance(each, TypeEngine) and each is not type_):
        text = text.replace(f"={inner!r}", f"={render_type(inner, context)}", 1)
        text = text.replace(f"({inner!r}", f"({render_type(inner, context)}", 1)
        text = text.replace(f", {inner!r}", f", {render_type(inner, context)}", 1)
    name = getattr(type_, "name", None)
    if isinstance(name, sa.sql.naming.conv):
        final = f"{context.opts['alembic_module_prefix'] or ''}f({str(name)!r})"
        text = text.replace(f"name={str(name)!r}", f"name={final}", 1)
    if isinstance(type_, (*columns.PORTABLE, columns.DeclaredAs)):
        context.imports.add(f"import {_OURS}")
        return f"{_OURS}.{text}"
    return text.replace(cls.__name__, _imported(cls, context), 1) if text.startswith(cls.__name__) else text


def _domain(domain: DOMAIN, context: AutogenContext) -> str:
    """Return the source of a domain by its name and base; the revision creates it, with its CHECK, before any table."""
    words = [repr(domain.name), render_type(domain.data_type, context)]
    words += [f"schema={domain.schema!r}"] if domain.schema else []
    return f"{_imported(DOMAIN, context)}({', '.join([*words, 'create_type=False'])})"


def _imported(cls: type[Any], context: AutogenContext) -> str:
    """Return a class as a revision names it, and add its import.

    Raises:
        CommandError: The class is defined in a function, and cannot be imported.
    """
    if dialect := re.match(r"sqlalchemy\.dialects\.(\w+)", cls.__module__):
        context.imports.add(f"from sqlalchemy.dialects import {dialect[1]}")
        return f"{dialect[1]}.{cls.__name__}"
    if cls.__module__.startswith("sqlalchemy."):
        prefix: str = context.opts["sqlalchemy_module_prefix"] or ""
        return f"{prefix}{'' if hasattr(sa, cls.__name__) else 'types.'}{cls.__name__}"
    if "<locals>" in cls.__qualname__:
        raise CommandError(
            f"the class {cls.__module__}.{cls.__qualname__} is defined in a function, so a revision cannot import it:"
            " move it to the top of its module"
        )
    context.imports.add(f"import {cls.__module__}")
    return f"{cls.__module__}.{cls.__qualname__}"
