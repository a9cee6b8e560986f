"""Determines which generator or constant the Python function of a default is equivalent to.

Functions are not run: their source is interpreted. A function made of assignments, conditions on its own arguments and
a `return`, a lambda or a `functools.partial` is followed down to known calls such as `datetime.utcnow()` or
`str(uuid.uuid4())`.
"""

import ast
import builtins
import datetime as dt
import functools
import inspect
import linecache
import secrets
import textwrap
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ringfence.runtime.values import generators

_DEEP = 5


@dataclass(frozen=True)
class Value:
    """A constant, or an object that a name refers to."""

    value: Any


@dataclass(frozen=True)
class GeneratorResult:
    """The result of one of the runtime's generators."""

    generator: str


_MILLISECONDS = GeneratorResult("epoch * 1000")
"""An intermediate result, which `int` turns into `epoch_milliseconds`; it is no generator."""
Meaning = Value | GeneratorResult


class _UnknownError(Exception):
    """The result cannot be determined exactly."""


def meaning(function: Callable[..., Any]) -> Meaning | None:
    """Determine what a function returns when called without arguments, or with SQLAlchemy's context.

    Args:
        function: the default of a model's column; it is not called.

    Returns:
        A constant, or a generator of the runtime; None where the result cannot be determined exactly.
    """
    try:
        found: object = _call(function, (), {}, 0)
    except Exception:  # noqa: BLE001 - it interprets arbitrary code: what cannot be interpreted is unknown
        return None
    if isinstance(found, Value):
        return found if isinstance(found.value, bool | int | float | str | None) else None
    # A name can be bound to a tuple or dict of meanings (*args, **kwargs), which is no single value.
    return found if isinstance(found, GeneratorResult) and found is not _MILLISECONDS else None


def _call(function: Any, arguments: Sequence[Meaning], named: Mapping[str, Meaning], depth: int) -> Meaning:
    if isinstance(function, functools.partial):
        given = [*map(Value, function.args), *arguments]
        keywords: dict[str, Meaning] = {k: Value(v) for k, v in function.keywords.items()}
        return _call(function.func, given, keywords | dict(named), depth)
    if not named and (found := _of_calls(function, arguments)) is not None:
        return found
    if function == dt.datetime.now:
        zone = named.get("tz", arguments[0] if arguments else Value(None))
        if len(arguments) + len(named) <= 1 and isinstance(zone, Value):
            return GeneratorResult("now_local") if zone.value is None else _in_zone(zone.value)
    if isinstance(function, FunctionType) and depth < _DEEP:
        return _inline(function, arguments, named, depth + 1)
    raise _UnknownError


def _of_calls(function: Any, arguments: Sequence[Meaning]) -> Meaning | None:
    """Look a call up in the tables of known functions and arguments; None where it is in none."""
    if not arguments and function in (str, int, float, bool):
        return Value(function())
    if not arguments:
        name = generators.name_of(function) or next((name for f, name in _PLAIN if f == function), None)
        return None if name is None else GeneratorResult(name)
    return _OF_ONE.get((function, arguments[0])) if len(arguments) == 1 and _hashable(function) else None


_PLAIN: tuple[tuple[Callable[..., Any], str], ...] = (
    (dt.datetime.utcnow, "now_naive"),
    (dt.datetime.today, "now_local"),
    (dt.date.today, "today_local"),
    (time.time, "epoch"),
    (uuid.uuid4, "uuid4"),
    (dict, "empty_object"),
    (list, "empty_list"),
    (secrets.token_urlsafe, "token"),
)
_OF_ONE: Mapping[tuple[Any, Meaning], Meaning] = {
    (str, GeneratorResult("uuid4")): GeneratorResult("uuid4_text"),
    (int, GeneratorResult("epoch")): GeneratorResult("epoch_seconds"),
    (int, _MILLISECONDS): GeneratorResult("epoch_milliseconds"),
    (secrets.token_urlsafe, Value(32)): GeneratorResult("token"),
}


def _hashable(thing: object) -> bool:
    return type(thing).__hash__ is not None


def _in_zone(zone: Any) -> Meaning:
    """The result of `datetime.now(zone)`, which is only known for UTC."""
    moments = (dt.datetime(2000, month, 1) for month in (1, 7))  # noqa: DTZ001 - as utcoffset() takes them
    if isinstance(zone, dt.tzinfo) and all(not zone.utcoffset(moment) for moment in moments):
        name = zone.tzname(None) or str(zone)
        if "UTC" in name.upper():
            return GeneratorResult("now")
    raise _UnknownError


def _inline(
    function: FunctionType, arguments: Sequence[Meaning], named: Mapping[str, Meaning], depth: int
) -> Meaning:
    """Interpret the body of a function with these arguments."""
    if hasattr(function, "__wrapped__"):
        raise _UnknownError  # `inspect` shows the wrapped function, not what the decorator does with it
    parameters = inspect.signature(function).parameters.values()
    required = [
        p
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if not arguments and len(required) == 1:
        arguments = (Value(_CONTEXT),)  # SQLAlchemy passes its context to a function of one argument
    bound = inspect.signature(function).bind(*arguments, **named)
    names: dict[str, Meaning] = {p.name: Value(p.default) for p in parameters if p.default is not p.empty}
    names |= bound.arguments
    reader = _Reader(function, names, depth)
    if function.__name__ == "<lambda>":
        return reader.read(_body_of_lambda(function.__code__))
    found = reader.run(_body(function))
    if found is None:
        raise _UnknownError
    return found


_CONTEXT = object()


class _Reader:
    """Interprets expressions and statements of a function, with the names in its scope."""

    def __init__(self, function: FunctionType, names: Mapping[str, Meaning], depth: int) -> None:
        closed = inspect.getclosurevars(function).nonlocals
        self._names = {**{name: Value(value) for name, value in closed.items()}, **names}
        self._globals = function.__globals__
        self._depth = depth

    def read(self, node: ast.expr) -> Meaning:
        """Evaluate an expression; raises _UnknownError where its value cannot be determined."""
        match node:
            case ast.Constant():
                return Value(node.value)
            case ast.Name():
                return self._name(node.id)
            case ast.Dict(keys=[]):
                return GeneratorResult("empty_object")
            case ast.List(elts=[]):
                return GeneratorResult("empty_list")
            case ast.Attribute():
                return self._attribute(self.read(node.value), node.attr)
            case ast.BinOp(op=ast.Mult()):
                pair = self.read(node.left), self.read(node.right)
                if pair in ((GeneratorResult("epoch"), Value(1000)), (Value(1000), GeneratorResult("epoch"))):
                    return _MILLISECONDS
            case ast.Call():
                return self._called(node)
        raise _UnknownError

    def run(self, statements: Sequence[ast.stmt]) -> Meaning | None:
        """Evaluate what a body returns; None where it ends without a return."""
        for statement in statements:
            match statement:
                case ast.Return(value=ast.expr() as value):
                    return self.read(value)
                case ast.Assign(targets=[ast.Name(id=name)]):
                    self._names[name] = self.read(statement.value)
                case ast.If():
                    chosen = statement.body if self._holds(statement.test) else statement.orelse
                    if (found := self.run(chosen)) is not None:
                        return found
                case ast.Pass():
                    pass
                case _:
                    raise _UnknownError
        return None

    def _holds(self, test: ast.expr) -> bool:
        """Evaluate a condition, which must be a constant, or an argument that is one."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return not self._holds(test.operand)
        found = self.read(test)
        if isinstance(found, Value) and isinstance(found.value, bool | int | str | None):
            return bool(found.value)
        raise _UnknownError

    def _name(self, name: str) -> Meaning:
        if name in self._names:
            return self._names[name]
        if name in self._globals:
            return Value(self._globals[name])
        return Value(getattr(builtins, name))

    @staticmethod
    def _attribute(base: Meaning, name: str) -> Meaning:
        if base == GeneratorResult("uuid4") and name == "hex":
            return GeneratorResult("uuid4_hex")
        if isinstance(base, Value) and isinstance(base.value, ModuleType | type):
            return Value(getattr(base.value, name))
        raise _UnknownError

    def _called(self, node: ast.Call) -> Meaning:
        arguments = [self.read(each) for each in node.args]
        named = {each.arg: self.read(each.value) for each in node.keywords if each.arg is not None}
        if len(named) != len(node.keywords):
            raise _UnknownError
        if isinstance(node.func, ast.Attribute):
            base = self.read(node.func.value)
            if isinstance(base, GeneratorResult):
                return _method(base, node.func.attr, arguments, named)
        function = self.read(node.func)
        if isinstance(function, Value) and function.value is not _CONTEXT:
            return _call(function.value, arguments, named, self._depth)
        raise _UnknownError


def _method(
    base: GeneratorResult, name: str, arguments: Sequence[Meaning], named: Mapping[str, Meaning]
) -> Meaning:
    if (
        name in ("lower", "__str__")
        and not arguments
        and not named
        and base.generator in ("uuid4_text", "uuid4_hex")
    ):
        return base
    if (
        name == "replace"
        and list(arguments) == [Value("-"), Value("")]
        and base == GeneratorResult("uuid4_text")
    ):
        return GeneratorResult("uuid4_hex")
    if name == "date" and not arguments and not named and base.generator in _DATES:
        return GeneratorResult(_DATES[base.generator])
    if (
        name == "replace"
        and not arguments
        and base == GeneratorResult("now")
        and named == {"tzinfo": Value(None)}
    ):
        return GeneratorResult("now_naive")
    if (
        name == "replace"
        and not arguments
        and base == GeneratorResult("now_naive")
        and set(named) == {"tzinfo"}
    ):
        zone = named["tzinfo"]
        return _in_zone(zone.value if isinstance(zone, Value) else None)
    raise _UnknownError


_DATES = {"now": "today", "now_naive": "today", "now_local": "today_local"}


def _body(function: FunctionType) -> list[ast.stmt]:
    """The statements of a function, without its docstring."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list:
        raise _UnknownError
    return tree.body[1:] if ast.get_docstring(tree) is not None else tree.body


def _body_of_lambda(code: CodeType) -> ast.expr:
    """The expression of a lambda, cut out of its source file by the positions in its code object."""
    first: list[tuple[int, int]] = []
    last: list[tuple[int, int]] = []
    for line, end_line, column, end_column in code.co_positions():
        if line and end_line and column is not None and end_column is not None and end_column != column:
            first.append((line, column))
            last.append((end_line, end_column))
    (line, column), (end_line, end_column) = min(first), max(last)
    lines = [text.encode() for text in linecache.getlines(code.co_filename)[line - 1 : end_line]]
    lines[-1] = lines[-1][:end_column]
    lines[0] = lines[0][column:]
    return ast.parse(f"({b''.join(lines).decode()})", mode="eval").body
