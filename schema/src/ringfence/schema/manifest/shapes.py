"""Building blocks for the grammar of a YAML file.

Each shape reads a value, recording mistakes, and writes the JSON Schema of the values that it accepts, so that parser
and schema are made from one declaration.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from ringfence.schema.documents import Document, Name, Value, suggestion

Schema = dict[str, Any]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U_co = TypeVar("U_co", covariant=True)


class Shape(ABC, Generic[T_co]):
    """What a value may look like."""

    @abstractmethod
    def read(self, value: Value, what: str, line: int) -> T_co:
        """Read a value, recording what the shape does not accept as mistakes.

        Args:
            value: to read.
            what: names the value in messages.
            line: of the value's key, at which missing parts are recorded.
        """

    @abstractmethod
    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """Write the JSON Schema of the values that `read` accepts.

        Args:
            definitions: the `$defs` of the schema, which receive those of this shape.
        """


@dataclass(frozen=True)
class Definition(Shape[T_co]):
    """A shape that the schema defines once, under a name, and refers to."""

    name: str
    shape: Shape[T_co]
    description: str = ""

    def read(self, value: Value, what: str, line: int) -> T_co:
        """See `Shape.read`."""
        return self.shape.read(value, what, line)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        if self.name not in definitions:
            definitions[self.name] = {}  # its place in the order of first use
            definitions[self.name] = _described(self.shape.schema(definitions), self.description)
        return {"$ref": f"#/$defs/{self.name}"}


@dataclass(frozen=True)
class Word(Shape[Name | None]):
    """A scalar other than null, read as the text that is written; None where it is not accepted."""

    thing: str = ""
    """What the word must be, for the message `'x' is not …`."""
    choices: tuple[str, ...] = ()
    """The words that are accepted, where they are few."""
    pattern: str = ""
    """The regular expression that the whole word must match, in the syntax that Python and ECMA 262 share."""
    longest: int | None = None
    """The maximum length in characters."""

    def read(self, value: Value, what: str, line: int) -> Name | None:
        """See `Shape.read`."""
        name = value.name(what)
        return name if name is not None and self.accepts(name, value.document) else None

    def accepts(self, name: Name, document: Document) -> bool:
        """Whether a word is accepted; recorded as a mistake where it is not."""
        if self.choices and name.text not in self.choices:
            document.mistake(
                name.line, f"{name.text!r} is not {self.thing}{suggestion(name.text, self.choices)}"
            )
        elif (self.pattern and not re.fullmatch(self.pattern, name.text)) or (
            self.longest is not None and len(name.text) > self.longest
        ):
            document.mistake(name.line, f"{name.text!r} is not {self.thing}")
        else:
            return True
        return False

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`; YAML reads some unquoted words as numbers or booleans, and here they are words."""
        if self.choices:
            return {"enum": list(self.choices)}
        found: Schema = {"type": "string" if self.pattern else ["string", "number", "boolean"]}
        if self.pattern:
            found["pattern"] = f"^{self.pattern}$" if "|" not in self.pattern else f"^(?:{self.pattern})$"
        return found | ({} if self.longest is None else {"maxLength": self.longest})


@dataclass(frozen=True)
class Words(Shape[tuple[Name, ...]]):
    """A list of different words."""

    item: Word = Word()
    empty: str = ""
    """What to do about an empty list; "" accepts it."""

    def read(self, value: Value, what: str, line: int) -> tuple[Name, ...]:
        """See `Shape.read`."""
        names = value.names(what)
        if self.empty and value.is_list and not value.node.value:
            value.mistake(f"{what}: the list is empty; {self.empty}")
        return tuple(name for name in names if self.item.accepts(name, value.document))

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        least = {"minItems": 1} if self.empty else {}
        return {"type": "array", "items": self.item.schema(definitions), **least, "uniqueItems": True}


@dataclass(frozen=True)
class OneOrMoreWords(Shape[tuple[Name, ...]]):
    """A word, or a list of different words."""

    words: Words

    def read(self, value: Value, what: str, line: int) -> tuple[Name, ...]:
        """See `Shape.read`."""
        if not value.is_scalar:
            return self.words.read(value, what, line)
        name = self.words.item.read(value, what, line)
        return () if name is None else (name,)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        return {"anyOf": [self.words.item.schema(definitions), self.words.schema(definitions)]}


@dataclass(frozen=True)
class WholeNumber(Shape[int | None]):
    """An integer of at least `minimum`."""

    minimum: int

    def read(self, value: Value, what: str, line: int) -> int | None:
        """See `Shape.read`."""
        number = value.integer(what)
        if number is not None and number < self.minimum:
            value.mistake(f"{what} must be at least {self.minimum}")
        return number

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        return {"type": "integer", "minimum": self.minimum}


@dataclass(frozen=True)
class Version(Shape[None]):
    """The one version of the format that is known."""

    number: int

    def read(self, value: Value, what: str, line: int) -> None:
        """See `Shape.read`."""
        if value.integer(what) not in (self.number, None):
            value.mistake(f"has a {what} that this program does not know; it knows {self.number}")

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        return {"const": self.number}


@dataclass(frozen=True)
class Boolean(Shape[bool]):
    """`true` or `false`."""

    def read(self, value: Value, what: str, line: int) -> bool:
        """See `Shape.read`."""
        return value.boolean(what)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Key(Generic[T_co]):
    """A key of an `Object`: its name, the shape of its value, and what editors show for it."""

    name: str
    shape: Shape[T_co]
    description: str = ""
    default: str | bool | None = None
    """The value of an absent key, where it is a constant."""

    @property
    def is_list(self) -> bool:
        """Whether the value is a list, and not a mapping."""
        shape = self.shape.shape if isinstance(self.shape, Definition) else self.shape
        return isinstance(shape, Words)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """The JSON Schema of the value, with its description and default."""
        found = _described(self.shape.schema(definitions), self.description)
        return found if self.default is None else found | {"default": self.default}


class Fields:
    """The keys of a mapping that were read by an `Object`.

    Args:
        found: the name of a key -> the key with its line, and what its shape gave.
    """

    def __init__(self, found: Mapping[str, tuple[Name, Any]]) -> None:
        self._found = found

    def __contains__(self, key: Key[Any]) -> bool:
        return key.name in self._found

    def get(self, key: Key[T]) -> T | None:
        """What the key's shape gave; None where the key is absent."""
        return self._found[key.name][1] if key.name in self._found else None

    def names(self, key: Key[tuple[Name, ...]]) -> tuple[Name, ...]:
        """The names of a list; none where the key is absent."""
        return self.get(key) or ()

    def text(self, key: Key[Name | None]) -> str:
        """The text of a word; the key's default where it is absent or not accepted."""
        name = self.get(key)
        return str(key.default or "") if name is None else name.text

    def items(self) -> Iterator[tuple[Name, Any]]:
        """Each key with its line, and what its shape gave, in the order of the file."""
        yield from self._found.values()

    def name(self, key: Key[Any]) -> Name:
        """The key with its line; it must be present."""
        return self._found[key.name][0]


@dataclass(frozen=True)
class Requirement:
    """Keys of which a mapping must have at least one, or exactly one."""

    keys: tuple[Key[Any], ...]
    problem: str
    """The message, in which `{what}` names the mapping."""
    exactly: bool = False
    filled: bool = False
    """Whether an empty list does not count."""

    def is_met(self, fields: Fields) -> bool:
        """Whether the mapping has the keys."""
        present = [
            key
            for key in self.keys
            if key in fields and not (self.filled and key.is_list and fields.get(key) == ())
        ]
        return len(present) == 1 if self.exactly else bool(present)

    def schema(self) -> Schema:
        """The JSON Schema that says the same."""
        if len(self.keys) == 1:
            return {"required": [self.keys[0].name]}
        filled = {"minItems": 1}
        each = [
            {"required": [key.name], **({"properties": {key.name: filled}} if self.filled else {})}
            for key in self.keys
        ]
        return {"oneOf" if self.exactly else "anyOf": each}


@dataclass(frozen=True)
class Object(Shape[Fields]):
    """A mapping whose keys are fixed."""

    keys: tuple[Key[Any], ...]
    requirements: tuple[Requirement, ...] = ()
    child: str = "{key} of {what}"
    """How messages name the value of a key."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Keys that are valid elsewhere -> the message that they are not valid here; `{what}` names the mapping."""

    @cached_property
    def _known(self) -> Mapping[str, Key[Any]]:
        return {key.name: key for key in self.keys}

    def read(self, value: Value, what: str, line: int) -> Fields:
        """See `Shape.read`."""
        known = self._known
        found: dict[str, tuple[Name, Any]] = {}
        for name, item in value.mapping(what):
            if name.text in known:
                child = self.child.format(key=name.text, what=what)
                found[name.text] = (name, known[name.text].shape.read(item, child, name.line))
            elif name.text in self.refused:
                value.document.mistake(name.line, self.refused[name.text].format(what=what))
            else:
                value.document.mistake(
                    name.line, f"{what} has no key {name.text!r}{suggestion(name.text, known)}"
                )
        fields = Fields(found)
        for requirement in self.requirements if value.is_mapping else ():
            if not requirement.is_met(fields):
                value.document.mistake(line, requirement.problem.format(what=what))
        return fields

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        found: Schema = {"type": "object"}
        for requirement in self.requirements:
            for word, rule in requirement.schema().items():
                found[word] = [*found.get(word, []), *rule] if word == "required" else rule
        return found | {
            "additionalProperties": False,
            "properties": {key.name: key.schema(definitions) for key in self.keys},
        }


@dataclass(frozen=True)
class Entries(Shape[tuple[tuple[Name, T_co], ...]]):
    """A mapping of names that the author chooses; entries whose name is not accepted are left out."""

    value: Shape[T_co]
    key: Word = Word()
    child: str = "{key!r}"
    """How messages name the value of a name."""

    def read(self, value: Value, what: str, line: int) -> tuple[tuple[Name, T_co], ...]:
        """See `Shape.read`."""
        return tuple(self._read(value, what))

    def _read(self, value: Value, what: str) -> Iterator[tuple[Name, T_co]]:
        for name, item in value.mapping(what):
            if self.key.accepts(name, value.document):
                child = self.child.format(key=name.text, what=what)
                yield name, self.value.read(item, child, name.line)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        constrained = bool(self.key.choices or self.key.pattern)
        names = {"propertyNames": self.key.schema(definitions)} if constrained else {}
        return {"type": "object", **names, "additionalProperties": self.value.schema(definitions)}


@dataclass(frozen=True)
class MappingOr(Shape[T_co | U_co]):
    """A mapping that one shape reads, or anything else, which another shape reads."""

    mapping: Shape[T_co]
    other: Shape[U_co]

    def read(self, value: Value, what: str, line: int) -> T_co | U_co:
        """See `Shape.read`."""
        if value.is_mapping:
            return self.mapping.read(value, what, line)
        return self.other.read(value, what, line)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """See `Shape.schema`."""
        return {"anyOf": [self.other.schema(definitions), self.mapping.schema(definitions)]}


def _described(schema: Schema, description: str) -> Schema:
    return {"description": description, **schema} if description else schema
