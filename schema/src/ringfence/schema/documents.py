"""A YAML file read with the line of every key and value in hand, collecting mistakes as it goes."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ringfence.schema.errors import Mistake

_NULL = "tag:yaml.org,2002:null"
_INTEGER = "tag:yaml.org,2002:int"
# The same nodes and lines, five times as fast, where PyYAML was built with libyaml.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOLEAN = "tag:yaml.org,2002:bool"


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, or `; known are …` when there are few, or nothing."""
    choices = sorted(known)
    if near := difflib.get_close_matches(name, choices, n=1, cutoff=0.6):
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(choices)}" if 0 < len(choices) <= 12 else ""


@dataclass(frozen=True)
class Name:
    """A name as it is written in the file, with its line."""

    text: str
    line: int


class Value:
    """One node of the file."""

    def __init__(self, document: "Document", node: yaml.Node) -> None:
        self.document = document
        self.node = node
        self.line: int = node.start_mark.line + 1

    @property
    def is_mapping(self) -> bool:
        """Whether this is `key: value` pairs."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether this is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_scalar(self) -> bool:
        """Whether this is a single word or number, and not empty."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag != _NULL

    def wrong(self, message: str) -> None:
        """Note a mistake at this line."""
        self.document.wrong(self.line, message)

    def mapping(self, what: str) -> Iterator[tuple[Name, "Value"]]:
        """The pairs. A value that is no mapping, a key twice, or a key that is no word is a mistake."""
        if not self.is_mapping:
            self.wrong(f"{what} must be `key: value` pairs, not {self.kind()}")
            return
        seen: dict[str, int] = {}
        for key, value in self.node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.document.wrong(line, f"a key of {what} must be a word")
            elif key.value in seen:
                self.document.wrong(
                    line, f"{key.value!r} stands twice in {what}; first in line {seen[key.value]}"
                )
            else:
                seen[key.value] = line
                yield Name(key.value, line), Value(self.document, value)

    def fields(self, what: str, known: Iterable[str]) -> Mapping[str, tuple[Name, "Value"]]:
        """The pairs of a mapping whose keys are fixed; an unknown key is a mistake."""
        known = tuple(known)
        found = {}
        for name, value in self.mapping(what):
            if name.text in known:
                found[name.text] = (name, value)
            else:
                self.document.wrong(
                    name.line, f"{what} has no key {name.text!r}{suggestion(name.text, known)}"
                )
        return found

    def items(self, what: str) -> Iterator["Value"]:
        """The items of a list; anything else is a mistake."""
        if not self.is_list:
            self.wrong(f"{what} must be a list, not {self.kind()}")
            return
        for item in self.node.value:
            yield Value(self.document, item)

    def names(self, what: str) -> tuple[Name, ...]:
        """A list of words; a word twice is a mistake."""
        found: dict[str, Name] = {}
        for item in self.items(what):
            name = item.name(f"an item of {what}")
            if name is None:
                continue
            if name.text in found:
                self.document.wrong(name.line, f"{name.text!r} stands twice in {what}")
            else:
                found[name.text] = name
        return tuple(found.values())

    def name(self, what: str) -> Name | None:
        """One word, as it is written: YAML's `on` and `no` are names here like any other."""
        if not self.is_scalar:
            self.wrong(f"{what} must be a word, not {self.kind()}")
            return None
        return Name(self.node.value, self.line)

    def integer(self, what: str) -> int | None:
        """A whole number."""
        if self.is_scalar and self.node.tag == _INTEGER:
            return int(yaml.safe_load(self.node.value))
        self.wrong(f"{what} must be a whole number, not {self.kind()}")
        return None

    def truth(self, what: str) -> bool:
        """True or false."""
        if self.is_scalar and self.node.tag == _BOOLEAN:
            return bool(self.constant())
        self.wrong(f"{what} must be true or false, not {self.kind()}")
        return False

    def constant(self) -> Any:
        """A scalar as YAML understands it: string, number, boolean, null or date."""
        return yaml.SafeLoader("").construct_object(self.node)

    def kind(self) -> str:
        """What this is, for a message."""
        if self.is_mapping:
            return "pairs"
        if self.is_list:
            return "a list"
        return repr(self.node.value) if self.is_scalar else "nothing"


class Document:
    """One YAML file and the mistakes found in it."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.mistakes: list[Mistake] = []
        self.root: Value | None = None
        try:
            node = yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self.wrong(line, f"is not YAML: {error.problem}")
            return
        except yaml.YAMLError as error:
            self.wrong(1, f"is not YAML: {error}")
            return
        if node is None:
            self.wrong(1, "is empty; the least is `version: 1` and `accounts:`")
        else:
            self.root = Value(self, node)

    def wrong(self, line: int, message: str) -> None:
        """Note a mistake."""
        self.mistakes.append(Mistake(self.file, line, message))
