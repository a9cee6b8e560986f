"""Reads a YAML file so that every key and value knows its line, and collects the mistakes found in it."""

import difflib
import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from ringfence.schema.errors import Mistake

_NULL = "tag:yaml.org,2002:null"
_INTEGER = "tag:yaml.org,2002:int"
# Gives the same nodes and lines five times as fast, where PyYAML was built with libyaml.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOLEAN = "tag:yaml.org,2002:bool"


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the cyclic garbage collector while many objects are made that all stay in use.

    Each of its passes visits every node of the file, which for a large file takes longer than reading it, and frees
    nothing. The collector is left paused where it was paused before.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def suggestion(name: str, known: Iterable[str]) -> str:
    """Write the end of a message about an unknown name.

    Args:
        name: the unknown name.
        known: the names that are valid.

    Returns:
        `; did you mean 'x'?` for the most similar valid name, else `; known are …` where there are at most 12, else "".
    """
    choices = sorted(known)
    if near := difflib.get_close_matches(name, choices, n=1, cutoff=0.6):
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(choices)}" if 0 < len(choices) <= 12 else ""


@dataclass(frozen=True, slots=True)
class Name:
    """A name as it is written in the file, with its line."""

    text: str
    line: int


class Value:
    """One node of a YAML file.

    Args:
        document: the file, which collects the mistakes.
        node: PyYAML's node.
    """

    __slots__ = ("document", "line", "node")

    def __init__(self, document: "Document", node: yaml.Node) -> None:
        self.document = document
        self.node = node
        self.line: int = node.start_mark.line + 1

    @property
    def is_mapping(self) -> bool:
        """Whether this is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether this is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_scalar(self) -> bool:
        """Whether this is a scalar other than null."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag != _NULL

    def mistake(self, message: str) -> None:
        """Record a mistake at the line of this node."""
        self.document.mistake(self.line, message)

    def mapping(self, what: str) -> Iterator[tuple[Name, "Value"]]:
        """Iterate over the pairs of a mapping, recording mistakes.

        A node that is no mapping, a duplicate key and a key that is no scalar are mistakes.

        Args:
            what: names this node in messages.

        Yields:
            Each key with its value.
        """
        if not self.is_mapping:
            self.mistake(f"{what} must be `key: value` pairs, not {self.kind()}")
            return
        seen: dict[str, int] = {}
        document = self.document
        for key, value in self.node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.document.mistake(line, f"a key of {what} must be a word")
            elif key.value in seen:
                self.document.mistake(
                    line, f"{key.value!r} is duplicated in {what}; first in line {seen[key.value]}"
                )
            else:
                seen[key.value] = line
                yield Name(key.value, line), Value(document, value)

    def fields(self, what: str, known: Iterable[str]) -> Mapping[str, tuple[Name, "Value"]]:
        """Read a mapping whose keys are fixed; an unknown key is recorded as a mistake.

        Args:
            what: names this node in messages.
            known: the keys that are valid.

        Returns:
            Key -> the key with its line, and its value.
        """
        known = tuple(known)
        found = {}
        for name, value in self.mapping(what):
            if name.text in known:
                found[name.text] = (name, value)
            else:
                self.document.mistake(
                    name.line, f"{what} has no key {name.text!r}{suggestion(name.text, known)}"
                )
        return found

    def items(self, what: str) -> Iterator["Value"]:
        """Iterate over the items of a list; a node that is no list is recorded as a mistake.

        Args:
            what: names this node in messages.
        """
        if not self.is_list:
            self.mistake(f"{what} must be a list, not {self.kind()}")
            return
        for item in self.node.value:
            yield Value(self.document, item)

    def names(self, what: str) -> tuple[Name, ...]:
        """Read a list of names, recording items that are no scalars and duplicates as mistakes.

        Args:
            what: names this node in messages.

        Returns:
            The valid names, each once, in the order of the list.
        """
        found: dict[str, Name] = {}
        for item in self.items(what):
            name = item.name(f"an item of {what}")
            if name is None:
                continue
            if name.text in found:
                self.document.mistake(name.line, f"{name.text!r} is duplicated in {what}")
            else:
                found[name.text] = name
        return tuple(found.values())

    def name(self, what: str) -> Name | None:
        """Read a scalar as the text that is written, so that YAML's booleans `on` and `no` can be names.

        Args:
            what: names this node in messages.

        Returns:
            The name; None where this is no scalar, which is recorded as a mistake.
        """
        if not self.is_scalar:
            self.mistake(f"{what} must be a word, not {self.kind()}")
            return None
        return Name(self.node.value, self.line)

    def integer(self, what: str) -> int | None:
        """Read an integer.

        Args:
            what: names this node in messages.

        Returns:
            The number; None where this is no integer, which is recorded as a mistake.
        """
        if self.is_scalar and self.node.tag == _INTEGER:
            return int(yaml.safe_load(self.node.value))
        self.mistake(f"{what} must be a whole number, not {self.kind()}")
        return None

    def boolean(self, what: str) -> bool:
        """Read a boolean.

        Args:
            what: names this node in messages.

        Returns:
            The value; False where this is no boolean, which is recorded as a mistake.
        """
        if self.is_scalar and self.node.tag == _BOOLEAN:
            return bool(self.constant())
        self.mistake(f"{what} must be true or false, not {self.kind()}")
        return False

    def constant(self) -> Any:
        """Convert a scalar by YAML's rules, to a string, number, boolean, date or None."""
        return yaml.constructor.SafeConstructor().construct_object(self.node)

    def kind(self) -> str:
        """Describe this node for a message: "pairs", "a list", "nothing" or the scalar itself."""
        if self.is_mapping:
            return "pairs"
        if self.is_list:
            return "a list"
        return repr(self.node.value) if self.is_scalar else "nothing"


class Document:
    """One YAML file with the mistakes found in it; `root` is None where it is empty or no YAML.

    Args:
        file: its name, as mistakes show it.
        text: its content.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.mistakes: list[Mistake] = []
        self.root: Value | None = None
        try:
            with collection_paused():
                node = yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self.mistake(line, f"is not YAML: {error.problem}")
            return
        except yaml.YAMLError as error:
            self.mistake(1, f"is not YAML: {error}")
            return
        if node is None:
            self.mistake(1, "is empty; the least is `version: 1` and `accounts:`")
        else:
            self.root = Value(self, node)

    def mistake(self, line: int, message: str) -> None:
        """Record a mistake at a line, counted from 1."""
        self.mistakes.append(Mistake(self.file, line, message))
