"""Converts the statements that SQLite keeps to arguments for SQLAlchemy that produce the same statements."""

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.schema.comparison.snapshot import Facets, Name
from ringfence.schema.engines.sqlite.create_statements import numeric, read_table
from ringfence.schema.models.columns import DeclaredAs
from ringfence.schema.rendering.model_types import declared
from ringfence.schema.rendering.table_parts import Column, Item, LeftOut, Options
from ringfence.schema.sql.parsing import as_text, call, escaped, inside, name, names, quoted, split

_PLAIN: tuple[TypeEngine[Any], ...] = (
    sa.Integer(),
    sa.BigInteger(),
    sa.SmallInteger(),
    sa.Text(),
    sa.String(),
    sa.LargeBinary(),
    sa.Boolean(),
    sa.Date(),
    sa.DateTime(),
    sa.TIMESTAMP(),
    sa.Time(),
    sa.Float(),
    sa.REAL(),
    sa.Double(),
    sa.DOUBLE_PRECISION(),
    sa.Numeric(),
    sa.DECIMAL(),
    sa.JSON(),
    sa.CLOB(),
)
_SIZED: Mapping[str, Any] = {
    "VARCHAR": sa.String,
    "CHAR": sa.CHAR,
    "NVARCHAR": sa.NVARCHAR,
    "NCHAR": sa.NCHAR,
    "NUMERIC": sa.Numeric,
    "DECIMAL": sa.DECIMAL,
    "FLOAT": sa.Float,
}
_SIZES = re.compile(r"([A-Z]+) ?\((\d+)(?:, ?(\d+))?\)\Z")
_CONSTANT = re.compile(r"[+-]?[\w.]+\Z|'(?:[^']|'')*'\Z", re.ASCII)
_ACTIONS = re.compile(r" on (update|delete) (cascade|restrict|set null|set default|no action)")
_DIALECT = sa.create_engine("sqlite://").dialect


class SQLiteTranslator:
    """Writes what SQLite's catalog holds as the source of models."""

    def __init__(self) -> None:
        self._spelled: dict[tuple[str, str], str] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._virtual: set[tuple[str, str]] = set()

    def prepare(self, connection: sa.Connection, found: Mapping[Name, Facets]) -> None:
        """Read the original case of tables and columns, the names of primary keys, and which tables are virtual.

        The names in references are normalized to lower case: SQLite compares them regardless of case.
        """
        quote = connection.dialect.identifier_preparer.quote
        for schema in {each.schema for each in found if each.kind == "table"}:
            prefix = f"{quote(schema)}." if schema else ""
            query = f"SELECT name, sql FROM {prefix}sqlite_master WHERE type = 'table' AND sql IS NOT NULL"  # noqa: S608 - quoted
            for row in connection.exec_driver_sql(f"PRAGMA {prefix}table_list"):
                if row.type in ("virtual", "shadow"):
                    self._virtual.add((schema, row.name))
            for table, statement in connection.exec_driver_sql(query):
                for item in read_table(statement).constraints:
                    if item.kind == "primary key" and item.name:
                        self._keys[schema, table] = item.name
        for each in found:
            if each.kind in ("table", "column"):
                name = each.name if each.kind == "column" else ""
                self._spelled[each.table.lower(), name.lower()] = name or each.table

    def type_source(self, each: Name, facets: Facets) -> tuple[str, str]:
        """Raise LeftOut: SQLite has no enum types or sequences."""
        raise LeftOut(f"SQLite has no {each.kind}")

    def column(self, each: Name, facets: Facets) -> Column:
        """Write a column of a table.

        Raises:
            LeftOut: It belongs to a virtual table, or has no declared type.
        """
        if (each.schema, each.table) in self._virtual:
            raise LeftOut("it is a virtual table, or what a module keeps for one; a migration makes it")
        kind = self._type(str(facets.get("type") or ""), facets.get("collation"))
        more = []
        if computed := facets.get("computed"):
            expression, _, stored = computed.rpartition(" ")
            more.append(call("sa.Computed", repr(escaped(expression)), persisted=str(stored == "STORED")))
        default = facets.get("default")
        if default is not None and not _CONSTANT.match(default):
            default = f"({default})"
        return Column(
            name=each.name,
            kind=kind,
            nullable=facets.get("null") != "no",
            counted_alone=facets.get("type") == "INTEGER",
            default=default,
            more=tuple(more),
            words=_on_conflict(facets, "sqlite_on_conflict_not_null"),
            of_table={"sqlite_autoincrement": "True"} if facets.get("autoincrement") else {},
        )

    def serial(self, column: Column) -> Column | None:
        """Return None: only INTEGER PRIMARY KEY counts up, and SQLAlchemy declares that by itself."""
        return None

    def item(self, each: Name, facets: Facets) -> Item:
        """Write a constraint or an index.

        Raises:
            LeftOut: SQLAlchemy cannot declare it.
        """
        if each.kind == "index":
            return self._index(each, facets)
        definition = str(facets["definition"])
        label = None if each.name.startswith("(") or not each.name else each.name
        if each.kind == "primary key":
            label = self._keys.get((each.schema, each.table))
        if each.kind == "check":
            return Item(call("sa.CheckConstraint", repr(escaped(definition)), name=quoted(label)))
        listed, rest = inside(definition)
        columns = names(listed)
        if columns is None:
            raise LeftOut(f"SQLAlchemy cannot express {each.kind} {definition}")
        columns = [self._column(each.table, column) for column in columns]
        if each.kind == "foreign key":
            return self._foreign_key(columns, rest, label)
        conflict = re.match(r" on conflict (\w+)\Z", rest)
        if rest and conflict is None:
            raise LeftOut(f"SQLAlchemy cannot express{rest} of a {each.kind}")
        function = "sa.PrimaryKeyConstraint" if each.kind == "primary key" else "sa.UniqueConstraint"
        words = {
            "name": quoted(label),
            "sqlite_on_conflict": quoted(conflict[1].upper()) if conflict else None,
            **_on_conflict(facets, "sqlite_on_conflict"),
        }
        return Item(call(function, *map(repr, columns), **words), tuple(columns))

    def options(self, each: Name, facets: Facets) -> Options:
        """Write the options of a table: STRICT and WITHOUT ROWID."""
        found = Options()
        for word in split(facets.get("options") or ""):
            if word == "without rowid":
                found.words["sqlite_with_rowid"] = "False"
            elif word == "strict":
                found.words["sqlite_strict"] = "True"
            else:
                found.left_out.append(f"its option {word}")
        return found

    def view_columns(
        self, connection: sa.Connection, each: Name
    ) -> list[tuple[str, TypeEngine[Any] | None, str]]:
        """Read the columns of a view with their types."""
        found: list[tuple[str, TypeEngine[Any] | None, str]] = []
        for column, spelled in connection.exec_driver_sql(
            "SELECT name, type FROM pragma_table_info(?, ?)", (each.name, each.schema or "main")
        ):
            try:
                found.append((column, self._type(spelled.upper(), None), spelled))
            except LeftOut:
                found.append((column, None, spelled))
        return found

    def _type(self, spelled: str, collation: str | None) -> TypeEngine[Any]:
        """Return the type with this declaration, or a type of the same affinity that keeps the declaration.

        Raises:
            LeftOut: There is no declaration.
        """
        if not spelled:
            raise LeftOut("it is declared without a type, and may hold anything")
        found = _known(spelled)
        if found is None:
            more = f" COLLATE {collation}" if collation else ""
            return DeclaredAs(_by_affinity(spelled), sqlite=f"{spelled}{more}")
        if collation is None:
            return found
        if isinstance(found, sa.String):
            found.collation = collation
            return found
        return DeclaredAs(found, sqlite=f"{spelled} COLLATE {collation}")

    def _foreign_key(self, columns: list[str], rest: str, label: str | None) -> Item:
        target, _, _ = rest.removeprefix(" references ").partition(" (")
        listed, rest = inside(rest)
        referred = names(listed)
        table = name(target)
        if referred is None or table is None or "." in table:
            raise LeftOut(f"SQLAlchemy cannot express a foreign key to {target} ({listed})")
        key = self._spelled.get((table, ""), table)
        words = {f"on{verb}": quoted(action.upper()) for verb, action in _ACTIONS.findall(rest)}
        rest = _ACTIONS.sub("", rest)
        waiting = re.match(r"(?: deferrable(?: initially (deferred|immediate))?)?\Z", rest)
        if waiting is None:
            raise LeftOut(f"SQLAlchemy cannot express{rest} of a foreign key")
        if rest:
            words["deferrable"] = "True"
            words["initially"] = quoted(waiting[1].upper()) if waiting[1] else None
        targets = [f"{key}.{self._column(key, column)}" for column in referred]
        source = call("sa.ForeignKeyConstraint", repr(columns), repr(targets), name=quoted(label), **words)
        return Item(source, tuple(columns), key)

    def _index(self, each: Name, facets: Facets) -> Item:
        listed, where = str(facets["columns"])[1:-1], facets.get("where")
        elements, columns = [], []
        for element in split(listed):
            column = name(element)
            first, _, after = element.partition(" ")
            known = name(first) if after.startswith(("desc", "asc", "collate ")) else None
            if column is not None or known is not None:
                columns.append(self._column(each.table, column or known or ""))
            elements.append(as_text(element) if column is None else repr(columns[-1]))
        words = {
            "unique": "True" if facets.get("unique") == "yes" else None,
            "sqlite_where": None if where is None else as_text(where),
        }
        return Item(call("sa.Index", repr(each.name), *elements, **words), tuple(columns))

    def _column(self, table: str, column: str) -> str:
        return self._spelled.get((table.lower(), column.lower()), column)


def _on_conflict(facets: Facets, word: str) -> dict[str, str]:
    """Return the keyword argument for the clause ON CONFLICT, as source, if the facets have one."""
    action = (facets.get("on conflict") or "").removeprefix("on conflict ")
    return {word: repr(action.upper())} if action else {}


def _known(spelled: str) -> TypeEngine[Any] | None:
    for plain in _PLAIN:
        if declared(plain, _DIALECT) == spelled:
            return plain.__class__()
    sized = _SIZES.match(spelled)
    if sized is None or sized[1] not in _SIZED:
        return None
    sizes = [int(size) for size in sized.groups()[1:] if size is not None]
    found: TypeEngine[Any] = _SIZED[sized[1]](*sizes)
    given = declared(found, _DIALECT)
    return found if given is not None and given.replace(" ", "") == spelled.replace(" ", "") else None


def _by_affinity(spelled: str) -> TypeEngine[Any]:
    """Return a type for a declaration: https://www.sqlite.org/datatype3.html#determination_of_column_affinity."""
    size = re.search(r"\((\d+)\)", spelled)
    if "INT" in spelled:
        return sa.BigInteger() if "BIG" in spelled else sa.Integer()
    if any(word in spelled for word in ("CHAR", "CLOB", "TEXT")):
        return sa.String(int(size[1])) if size else sa.Text()
    if "BLOB" in spelled:
        return sa.LargeBinary()
    if spelled == "BOOL":
        return sa.Boolean()
    if any(word in spelled for word in ("REAL", "FLOA", "DOUB")):
        return sa.Double()
    return sa.Numeric() if numeric(spelled) else sa.Text()
