"""The parts of a mirror: the constants of its format, and its tables, columns and verbs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
VERBS = ("select", "insert", "update", "delete")

# Every portable type with its parameters. The codecs of each backend cover exactly these.
TYPES: Mapping[str, frozenset[str]] = {
    "boolean": frozenset(),
    "smallint": frozenset({"bits", "unsigned"}),
    "integer": frozenset({"bits", "unsigned"}),
    "bigint": frozenset({"unsigned"}),
    # `digits`: the significant digits of a single-precision float; `single`: the literal must have that precision too.
    "float": frozenset({"digits", "single", "unsigned"}),
    "decimal": frozenset({"precision", "scale", "unsigned"}),
    # `fixed`: a CHAR, which the engine pads with blanks. `password`: the stored value is a hash.
    "string": frozenset({"length", "fixed", "password"}),
    "text": frozenset({"length", "password"}),
    "bytes": frozenset({"length", "fixed"}),
    "date": frozenset(),
    # `precision`: the fractional digits of a second that every engine stores; six when omitted.
    "time": frozenset({"precision"}),
    "datetime": frozenset({"timezone", "precision"}),
    "interval": frozenset(),
    # `binary`: stored as 16 bytes on the MySQL family.
    "uuid": frozenset({"binary"}),
    "json": frozenset({"binary"}),
    # `values`: the labels; `enum`: the class; `members`: the names of its members, where these differ from the labels.
    "enum": frozenset({"values", "enum", "members"}),
    "array": frozenset({"item"}),
    "citext": frozenset(),
    "inet": frozenset(),
    "set": frozenset({"values"}),
    "bit": frozenset({"length"}),
    "year": frozenset(),
}

# The source of a default: a literal, a named generator, a sequence that the INSERT draws from (where the engine has
# sequences), the server, or a computed column. `service` means that the service must give the value: in the models a
# Python function supplies it that no service runs.
DEFAULT_KINDS = ("literal", "generator", "sequence", "server", "computed", "service")
TABLE_KINDS = ("table", "view")
CONSTRAINT_KINDS = ("primary_key", "unique", "partial_unique", "foreign_key", "check")


@dataclass(frozen=True, slots=True)
class Default:
    """The source of a value that the program does not give.

    `value` is the literal, the generator's name, a dict with a sequence's `name` and optional `schema`, or for
    `service` the reason why the service must give the value.
    """

    kind: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column, with what the service may do with it; `field` is its name in PyDAL."""

    name: str
    field: str
    type: str
    params: Mapping[str, Any]
    nullable: bool
    selectable: bool
    insertable: bool
    updatable: bool
    autoincrement: bool = False
    default: Default | None = None
    on_update: Default | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint's kind and columns, for error messages; an upsert also uses the primary and unique keys.

    `partial_unique` is a unique index over some rows, over expressions or over prefixes of texts.
    """

    kind: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key with its actions; the mirror need not contain the referenced table."""

    columns: tuple[str, ...]
    schema: str | None
    table: str
    references: tuple[str, ...]
    on_delete: str | None = None
    on_update: str | None = None


@dataclass(frozen=True, slots=True)
class Verb:
    """What a service may do with one verb on a table.

    Attributes:
        scope: None for every row, else alternatives, each a conjunction `column -> condition`, where a condition is one
            of `{"equals": constant}`, `{"in": [constants]}`, `{"null": true}`, `{"bound": name}`, `{"login": true}`.
        relations: the relation that the verb uses, per engine, where it is not the table itself.
        binds: the bound scopes that a view's WHERE reads.
    """

    scope: tuple[Mapping[str, Mapping[str, Any]], ...] | None = None
    relations: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One table or view, with what the service may do with it; `key` is its name in PyDAL."""

    key: str
    kind: str
    schema: str | None
    name: str
    columns: Mapping[str, Column]
    primary_key: tuple[str, ...]
    constraints: Mapping[str, Constraint]
    foreign_keys: tuple[ForeignKey, ...]
    verbs: Mapping[str, Verb]
