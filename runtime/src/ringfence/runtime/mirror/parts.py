"""What a mirror is made of: its format's words, and the tables, columns and verbs that it holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
VERBS = ("select", "insert", "update", "delete")

# Every portable type, with the parameters it takes. The codecs of each backend cover exactly these.
TYPES: Mapping[str, frozenset[str]] = {
    "boolean": frozenset(),
    "smallint": frozenset({"bits", "unsigned"}),
    "integer": frozenset({"bits", "unsigned"}),
    "bigint": frozenset({"unsigned"}),
    # `digits`: those that a single-precision float shows; `single`: the literal must be of that precision too.
    "float": frozenset({"digits", "single", "unsigned"}),
    "decimal": frozenset({"precision", "scale", "unsigned"}),
    # `fixed`: a CHAR, which its engine fills up with blanks. `password`: what is stored is a hash.
    "string": frozenset({"length", "fixed", "password"}),
    "text": frozenset({"length", "password"}),
    "bytes": frozenset({"length", "fixed"}),
    "date": frozenset(),
    # `precision`: the digits of a second that every engine keeps; six when it is not said.
    "time": frozenset({"precision"}),
    "datetime": frozenset({"timezone", "precision"}),
    "interval": frozenset(),
    # `binary`: kept as its 16 bytes on the MySQL family.
    "uuid": frozenset({"binary"}),
    "json": frozenset({"binary"}),
    # `values` are the labels; `enum` is the class, and `members` the names of its members where labels are not those.
    "enum": frozenset({"values", "enum", "members"}),
    "array": frozenset({"item"}),
    "citext": frozenset(),
    "inet": frozenset(),
    "set": frozenset({"values"}),
    "bit": frozenset({"length"}),
    "year": frozenset(),
}

# How a default arises: a literal value, a named generator, a sequence that the INSERT draws from (where the engine has
# sequences), the server, or a computed column; or not at all, so that the service must give the value: the models' own
# programs fill it in with code that no service runs.
DEFAULT_KINDS = ("literal", "generator", "sequence", "server", "computed", "service")
TABLE_KINDS = ("table", "view")
CONSTRAINT_KINDS = ("primary_key", "unique", "partial_unique", "foreign_key", "check")


@dataclass(frozen=True, slots=True)
class Default:
    """How a value arises when the program gives none.

    `value` is the literal, the generator's name, of a sequence its `name` and, where it is named, its `schema`, or why
    the service must give the value itself.
    """

    kind: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the service may see and touch it."""

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
    """A constraint's kind and columns, for error messages; an upsert goes by primary keys and unique ones.

    `partial_unique` is a unique index of some rows, of expressions or of the beginnings of texts.
    """

    kind: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key with its actions; the referenced table need not be in the mirror."""

    columns: tuple[str, ...]
    schema: str | None
    table: str
    references: tuple[str, ...]
    on_delete: str | None = None
    on_update: str | None = None


@dataclass(frozen=True, slots=True)
class Verb:
    """What one verb may reach on a table.

    `scope` is None for every row, else alternatives, each a conjunction `column -> condition`, where a condition is
    one of `{"equals": constant}`, `{"in": [constants]}`, `{"null": true}`, `{"bound": name}`, `{"login": true}`.
    `relations` names the relation the verb goes through on the engines where that is not the table itself.
    `binds` names the scopes that a view's own WHERE reads.
    """

    scope: tuple[Mapping[str, Mapping[str, Any]], ...] | None = None
    relations: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One table (or view) as the service may see and touch it; `key` is its name in PyDAL."""

    key: str
    kind: str
    schema: str | None
    name: str
    columns: Mapping[str, Column]
    primary_key: tuple[str, ...]
    constraints: Mapping[str, Constraint]
    foreign_keys: tuple[ForeignKey, ...]
    verbs: Mapping[str, Verb]
