"""Finds the source file and line of a table or column of the models: in its class, or in its call of `Table(…)`."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ringfence.schema.errors import Mistake


class SourceLines:
    """Finds the source lines of models, in the deployment's folder or in an installed package.

    Args:
        root: the deployment's folder; paths inside it are shown relative to it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._classes: dict[int, type[Any]] | None = None
        self._modules: dict[int, set[str]] = {}

    def mistake(self, table: sa.Table, column: str | None, message: str) -> Mistake:
        """Make a mistake at the source line of a column, or of its table.

        Args:
            table: of the models.
            column: its name; None for the table.
            message: what is wrong.
        """
        file, line = self.find(table, column)
        return Mistake(file, line, message)

    def find(self, table: sa.Table, column: str | None = None) -> tuple[str, int | None]:
        """Find the source line of a column, or of its table.

        Args:
            table: of the models.
            column: its name; None for the table.

        Returns:
            The file and the line. Where only the class is known, its module and None; where nothing is, "models" and
            None.
        """
        if self._classes is None:
            self._look()
        cls = (self._classes or {}).get(id(table))
        found = _in_class(cls, column) if cls is not None else None
        for file in self._modules.get(id(table.metadata), ()) if found is None else ():
            found = found or _in_calls(file, str(table.name), column)
        if found is None:
            return (cls.__module__ if cls is not None else "models"), None
        file, line = found
        return display_path(Path(file), self._root), line

    def _look(self) -> None:
        """Collect, from all imported modules, the class of each table and the files with tables of each metadata."""
        self._classes = {}
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not file.endswith(".py"):
                continue
            for value in list(vars(module).values()):
                if inspect.isclass(value):
                    table = value.__dict__.get("__table__")
                    if isinstance(table, sa.Table):
                        self._classes.setdefault(id(table), value)
                elif type(value) is sa.Table:
                    self._modules.setdefault(id(value.metadata), set()).add(file)
                elif type(value) is sa.MetaData:
                    self._modules.setdefault(id(value), set()).add(file)
        for cls in self._classes.values():
            owner = getattr(sys.modules.get(cls.__module__), "__file__", None)
            if owner:
                self._modules.setdefault(id(cls.__table__.metadata), set()).add(owner)


def display_path(path: Path, folder: Path) -> str:
    """Write a path for messages: relative to a folder where it is inside it.

    Args:
        path: to write.
        folder: the deployment's.
    """
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _in_class(cls: type[Any], column: str | None) -> tuple[str, int] | None:
    """Find the line of a column in a class or its base classes, else that of the class."""
    first: tuple[str, int] | None = None
    for each in cls.__mro__ if column else (cls,):
        if each is object:
            continue
        try:
            file = inspect.getsourcefile(each)
            lines, start = inspect.getsourcelines(each)
        except (OSError, TypeError):
            continue
        if file is None:
            continue
        first = first or (file, start)
        pattern = re.compile(rf"\s+{re.escape(column)}\s*[:=]") if column else None
        offset = next((n for n, text in enumerate(lines) if pattern and pattern.match(text)), None)
        if offset is not None:
            return file, start + offset
    return first


def _in_calls(file: str, table: str, column: str | None) -> tuple[str, int] | None:
    """Find the line of `Table("name", …)`, or of the `Column("name", …)` in it."""
    for call in _calls(file, "Table"):
        if _first(call) == table:
            inner = (each for each in ast.walk(call) if isinstance(each, ast.Call) and _first(each) == column)
            return file, next((each.lineno for each in inner if column), call.lineno)
    return None


@cache
def _calls(file: str, name: str) -> tuple[ast.Call, ...]:
    """Every call of a function or method of this name in a file."""
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(_named(tree, name))


def _named(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name == getattr(node.func, "attr", getattr(node.func, "id", None)):
            yield node


def _first(call: ast.Call) -> object:
    """The first argument of a call, where it is a constant."""
    return call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
