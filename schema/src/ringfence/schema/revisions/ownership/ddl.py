"""Applies SQL text to the catalog of objects that migrations created."""

from ringfence.schema.revisions.ownership.objects import Objects
from ringfence.schema.sql.tokens import Reader, statements

# Keyword of DDL -> kind of object.
KINDS = {
    "TABLE": "table",
    "VIEW": "view",
    "SEQUENCE": "sequence",
    "TYPE": "enum",
    "DOMAIN": "enum",
    "SCHEMA": "schema",
    "DATABASE": "schema",
    "FUNCTION": "function",
    "PROCEDURE": "function",
    "AGGREGATE": "function",
}
_ON = ("index", "unique", "primary key", "foreign key", "check", "exclude")
_MODIFIERS = frozenset(
    {
        *("OR", "REPLACE", "GLOBAL", "LOCAL", "UNLOGGED", "FOREIGN", "VIRTUAL", "RECURSIVE", "MATERIALIZED"),
        *(
            "UNIQUE",
            "FULLTEXT",
            "SPATIAL",
            "CONSTRAINT",
            "ALGORITHM",
            "DEFINER",
            "SQL",
            "SECURITY",
            "INVOKER",
        ),
        *("UNDEFINED", "MERGE", "TEMPTABLE", "CURRENT_USER", "DEFAULT"),
    }
)
_TEMPORARY = frozenset({"TEMP", "TEMPORARY"})
_NOT_A_COLUMN = frozenset(
    {
        *(
            "CONSTRAINT",
            "PRIMARY",
            "UNIQUE",
            "FOREIGN",
            "CHECK",
            "EXCLUDE",
            "INDEX",
            "KEY",
            "FULLTEXT",
            "SPATIAL",
        ),
        *("LIKE", "PERIOD", "PARTITION", "SYSTEM"),
    }
)
_SERIAL = frozenset({"SERIAL", "BIGSERIAL", "SMALLSERIAL", "IDENTITY"})
_IN_COLUMN = {
    "primary key": ("PRIMARY", "KEY"),
    "unique": ("UNIQUE",),
    "foreign key": ("REFERENCES",),
    "check": ("CHECK",),
}
TableName = tuple[str | None, str]


def replay(objects: Objects, text: str) -> None:
    """Apply the changes of every statement in a string; a statement that cannot be parsed changes nothing.

    Args:
        objects: the catalog, which is changed.
        text: SQL, one statement or several.
    """
    for tokens in statements(text, objects.spelling):
        read = Reader(tokens, objects.spelling)
        if read.take("CREATE"):
            _create(objects, read)
        elif read.take("ALTER"):
            _alter(objects, read)
        elif read.take("DROP"):
            _drop(objects, read)
        elif read.take("RENAME", "TABLE"):
            _rename_tables(objects, read)


def _kind(read: Reader) -> str:
    """Return the keyword of the object's kind; empty for temporary objects and for kinds that are not tracked."""
    temporary = False
    while read.more:
        word = read.word
        if word in KINDS or word in {"INDEX", "TRIGGER"}:
            read.at += 1
            return "" if temporary else word
        temporary = temporary or word in _TEMPORARY
        # DEFINER = `a` @ `b`
        near = {read.tokens[read.at].text, read.tokens[read.at - 1].text if read.at else ""}
        if word not in _MODIFIERS | _TEMPORARY and near.isdisjoint({"=", "@"}):
            return ""
        read.at += 1
    return ""


def _create(objects: Objects, read: Reader) -> None:
    kind = _kind(read)
    if kind == "INDEX":
        _create_index(objects, read)
        return
    if not kind:
        return
    read.if_exists()
    place = read.qualified()
    if place is None:
        return
    if kind == "TABLE":
        _create_table(objects, read, place)
    elif kind == "TRIGGER":
        while read.more and not read.take("ON"):
            read.at += 1
        if (table := read.qualified()) is not None:
            objects.make_on("trigger", table[0], table[1], place[1])
    else:
        objects.make(KINDS[kind], *place)


def _create_index(objects: Objects, read: Reader) -> None:
    read.skip("CONCURRENTLY")
    read.if_exists()
    index = None if read.word == "ON" else read.qualified()
    if read.take("USING"):  # MySQL: CREATE INDEX name USING BTREE ON …
        read.name()
    if not read.take("ON"):
        return
    read.skip("ONLY")
    table = read.qualified()
    if table is None:
        return
    if read.take("USING"):
        read.name()
    inner = read.parenthesis()
    schema = table[0] or (index[0] if index else None)  # SQLite puts the schema before the index's name
    objects.make_on("index", schema, table[1], index[1] if index else None, inner.names() if inner else ())


def _create_table(objects: Objects, read: Reader, place: TableName) -> None:
    objects.make("table", *place)
    table = objects.table(*place)
    partition = read.take("PARTITION", "OF")
    if partition or read.take("LIKE"):
        if (other := read.qualified()) is not None:
            _inherit(objects, place, other)
            table.parent = objects.key("table", *other) if partition else None
        return
    if read.word in {"AS", "OF", "USING"}:  # only the server knows their columns
        return
    if (body := read.parenthesis()) is not None:
        for part in body.parts():
            _element(objects, place, part)
    if read.take("INHERITS") and (parents := read.parenthesis()) is not None:
        for part in parents.parts():
            if (parent := part.qualified()) is not None:
                _inherit(objects, place, parent)


def _inherit(objects: Objects, place: TableName, parent: TableName) -> None:
    objects.table(*place).columns.update(objects.table(*parent).columns)


def _element(objects: Objects, place: TableName, read: Reader) -> None:
    """Apply a column, a constraint or an index in the syntax of CREATE TABLE and ADD."""
    if read.take("LIKE"):
        if (other := read.qualified()) is not None:
            _inherit(objects, place, other)
    elif read.word in _NOT_A_COLUMN:
        _constraint(objects, place, read)
    elif (column := read.name()) is not None:
        objects.make_column(*place, column)
        _column_words(objects, place, read, column)


def _column_words(objects: Objects, place: TableName, read: Reader, column: str) -> None:
    """Apply the constraints inside a column's definition."""
    name = None
    while read.more:
        if read.word in _SERIAL and objects.spelling.serial:
            objects.make("sequence", place[0], f"{place[1]}_{column}_seq")
        if read.take("CONSTRAINT"):
            name = read.name()
        elif kind := next((kind for kind, words in _IN_COLUMN.items() if read.take(*words)), None):
            objects.make_on(kind, *place, name, [column])
            name = None
        elif read.parenthesis() is None:
            read.at += 1


def _constraint(objects: Objects, place: TableName, read: Reader) -> None:
    name = None
    if read.take("CONSTRAINT") and read.word not in {"PRIMARY", "UNIQUE", "FOREIGN", "CHECK"}:
        name = read.name()
    if read.take("PRIMARY", "KEY"):
        kind = "primary key"
    elif read.take("FOREIGN", "KEY"):
        kind = "foreign key"
        name = name or read.name()
    elif read.take("CHECK"):
        kind = "check"
    elif read.take("EXCLUDE"):
        kind = "exclude"
    elif read.take("UNIQUE"):
        kind = "unique"
        read.skip("INDEX", "KEY")
        name = name or (None if read.word in {"USING", "NULLS"} else read.name())
    elif read.word in {"INDEX", "KEY", "FULLTEXT", "SPATIAL"}:
        kind = "index"
        read.skip("FULLTEXT", "SPATIAL")
        read.skip("INDEX", "KEY")
        name = None if read.word == "USING" else read.name()
    else:
        return
    if read.take("USING", "INDEX"):
        name = name or read.name()
        read.at = len(read.tokens)
    while read.more and read.tokens[read.at].text != "(":
        read.at += 1
    inner = read.parenthesis()
    columns = [] if inner is None else _columns(objects, place, inner, kind)
    objects.make_on(kind, *place, name, columns)


def _columns(objects: Objects, place: TableName, inner: Reader, kind: str) -> list[str]:
    """Return the columns of a constraint; for a CHECK, the names in it that are columns of the table."""
    if kind != "check":
        return inner.names()
    known = objects.table(*place).columns
    names = (token.text for token in inner.tokens if token.kind in {"word", "name"})
    return [name for name in names if objects.spelling.key("column", name) in known]


def _alter(objects: Objects, read: Reader) -> None:
    kind = _kind(read)
    if not kind:
        return
    if kind != "TABLE":
        _alter_other(objects, read, kind)
        return
    read.if_exists()
    read.skip("ONLY")
    place = read.qualified()
    if place is None:
        return
    for part in read.parts():
        place = _alter_table(objects, part, place)


def _alter_other(objects: Objects, read: Reader, kind: str) -> None:
    read.if_exists()
    place = read.qualified()
    if place is None:
        return
    table = read.qualified() if kind == "TRIGGER" and read.take("ON") else None
    while read.more and read.word not in {"RENAME", "SET"}:
        read.at += 1  # skip the arguments of a function
    if read.take("RENAME", "TO"):
        new = read.name()
        if new is None:
            return
        if kind == "INDEX":
            objects.rename_on(place[0], None, place[1], new, _ON)
        elif kind == "TRIGGER":
            if table is not None:
                objects.rename_on(*table, place[1], new, ("trigger",))
        else:
            objects.rename(KINDS[kind], place[0], place[1], new, place[0])
    elif read.take("SET", "SCHEMA") and kind in KINDS and (schema := read.name()) is not None:
        objects.rename(KINDS[kind], place[0], place[1], place[1], schema)


def _alter_table(objects: Objects, read: Reader, place: TableName) -> TableName:  # noqa: C901, PLR0912 - one branch for each action
    """Apply one action of ALTER TABLE; return the table's schema and name after it."""
    if read.take("ADD"):
        read.skip("COLUMN")
        read.if_exists()
        if (several := read.parenthesis()) is not None:
            for part in several.parts():
                _element(objects, place, part)
        else:
            _element(objects, place, read)
    elif read.take("DROP"):
        _drop_of_table(objects, read, place)
    elif read.take("RENAME"):
        return _rename_of_table(objects, read, place)
    elif read.take("CHANGE"):
        read.skip("COLUMN")
        read.if_exists()
        old, new = read.name(), read.name()
        if old and new:
            objects.rename_column(*place, old, new)
    elif read.take("SET", "SCHEMA"):
        if (schema := read.name()) is not None:
            objects.rename("table", place[0], place[1], place[1], schema)
            return schema, place[1]
    elif read.take("ATTACH", "PARTITION"):
        if (other := read.qualified()) is not None:
            objects.table(*other).parent = objects.key("table", *place)
    elif read.take("DETACH", "PARTITION") and (other := read.qualified()) is not None:
        objects.table(*other).parent = None
    return place


def _drop_of_table(objects: Objects, read: Reader, place: TableName) -> None:
    if read.take("PRIMARY", "KEY"):
        table = objects.table(*place)
        table.named = {one for one in table.named if one[0] != "primary key"}
        table.unnamed = [one for one in table.unnamed if one.kind != "primary key"]
        return
    if read.take("PARTITION") or read.take("DEFAULT"):
        return
    of_a_table = read.take("CONSTRAINT") or read.take("INDEX") or read.take("KEY")
    of_a_table = of_a_table or read.take("FOREIGN", "KEY") or read.take("CHECK")
    if not of_a_table:
        read.skip("COLUMN")
    read.if_exists()
    name = read.name()
    if name is None:
        return
    if of_a_table:
        objects.drop_on(*place, name, _ON)
    else:
        objects.drop_column(*place, name)


def _rename_of_table(objects: Objects, read: Reader, place: TableName) -> TableName:
    if read.take("CONSTRAINT") or read.take("INDEX") or read.take("KEY"):
        old, new = read.name(), read.name() if read.take("TO") else None
        if old and new:
            objects.rename_on(*place, old, new, _ON)
        return place
    if read.word in {"TO", "AS"} or len(read.tokens) - read.at == 1:
        read.skip("TO", "AS")
        new_place = read.qualified()
        if new_place is None:
            return place
        schema = new_place[0] or place[0]
        objects.rename("table", place[0], place[1], new_place[1], schema)
        return schema, new_place[1]
    read.skip("COLUMN")
    read.if_exists()
    old = read.name()
    new = read.name() if read.take("TO") else None
    if old and new:
        objects.rename_column(*place, old, new)
    return place


def _rename_tables(objects: Objects, read: Reader) -> None:
    for part in read.parts():
        part.if_exists()
        old = part.qualified()
        new = part.qualified() if part.take("TO") else None
        if old and new:
            objects.rename("table", old[0], old[1], new[1], new[0] or old[0])


def _drop(objects: Objects, read: Reader) -> None:
    kind = _kind(read)
    if not kind:
        return
    read.skip("CONCURRENTLY")
    read.if_exists()
    for part in read.parts():
        place = part.qualified()
        if place is None:
            continue
        if kind in {"INDEX", "TRIGGER"}:
            table = part.qualified() if part.take("ON") else None
            kinds = _ON if kind == "INDEX" else ("trigger",)
            objects.drop_on(table[0] if table else place[0], table[1] if table else None, place[1], kinds)
        else:
            objects.drop(KINDS[kind], *place)
