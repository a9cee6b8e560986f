"""The statements that SQLite keeps are read as SQLite reads them."""

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from ringfence.schema.engines.sqlite.create_statements import canonical, read_index, read_table

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)


def quoted(name, quote):
    start, end = ("[", "]") if quote == "[" else (quote, quote)
    return f"{start}{name.replace(end, end * 2) if quote != '[' else name}{end}"


@given(
    st.lists(
        st.tuples(NAMES.filter(lambda name: "]" not in name), st.sampled_from('"`['), VALUES),
        min_size=1,
        max_size=5,
        unique_by=lambda each: each[0].lower(),
    )
)
def test_names_and_defaults_are_those_that_sqlite_reads(columns):
    body = ",\n".join(
        f"{quoted(name, quote)} TEXT /* , ) */ DEFAULT {chr(39)}{value.replace(chr(39), chr(39) * 2)}{chr(39)} -- ')',\n"
        for name, quote, value in columns
    )
    connection = sqlite3.connect(":memory:")
    connection.execute(f'CREATE TABLE "t" ({body})')
    statement = connection.execute("SELECT sql FROM sqlite_master").fetchone()[0]
    found = read_table(statement)
    truth = connection.execute("PRAGMA table_info(t)").fetchall()
    assert [column.name for column in found.columns] == [row[1] for row in truth]
    assert [column.type for column in found.columns] == [row[2] for row in truth]
    assert [column.default for column in found.columns] == [row[4] for row in truth]


def test_every_clause_of_a_table_is_read():
    table = read_table(
        """CREATE TABLE "Odd One" (
            id INTEGER CONSTRAINT pk PRIMARY KEY AUTOINCREMENT,
            a VARCHAR ( 20 ) COLLATE NOCASE NOT NULL ON CONFLICT ABORT DEFAULT ('it''s') UNIQUE,
            b NUMERIC(10,2) DEFAULT '1.5' CHECK (b > 0) CONSTRAINT fk REFERENCES p (x) ON DELETE SET NULL
                DEFERRABLE INITIALLY DEFERRED NOT NULL,
            c INT DEFAULT -1, d BOOLEAN DEFAULT TRUE,
            e INT GENERATED ALWAYS AS (c + 1) STORED, f AS (c),
            CONSTRAINT u UNIQUE (a, b), FOREIGN KEY (a, b) REFERENCES q, CONSTRAINT k CHECK (a <> ',)')
        ) WITHOUT ROWID, STRICT"""
    )
    columns = {column.name: column for column in table.columns}
    assert columns["id"].autoincrement
    assert (columns["a"].type, columns["a"].collation, columns["a"].not_null) == (
        "VARCHAR(20)",
        "nocase",
        True,
    )
    assert [columns[name].default for name in "abcd"] == ["'it''s'", "1.5", "-1", "1"]
    assert (columns["e"].computed, columns["f"].computed) == ("c + 1 STORED", "c VIRTUAL")
    assert columns["b"].not_null
    assert [(item.kind, item.name, item.columns, item.definition) for item in table.constraints] == [
        ("primary key", "pk", ("id",), ""),
        ("unique", "", ("a",), ""),
        ("check", "", (), "b > 0"),
        ("foreign key", "fk", ("b",), "p (x) on delete set null deferrable initially deferred"),
        ("unique", "u", ("a", "b"), ""),
        ("foreign key", "", ("a", "b"), "q ()"),
        ("check", "k", (), "a <> ',)'"),
    ]
    assert table.options == "without rowid , strict"


def test_one_spelling_keeps_texts_and_forgets_quotes_blanks_and_case():
    assert canonical('SELECT  "a" , B -- x\n FROM "T x"') == 'select a , b from "t x"'
    assert canonical("'A  b'") == "'A  b'"
    found = read_index("CREATE UNIQUE INDEX main.ix ON t (a DESC, lower(B)) WHERE a > 'X'")
    assert found == ("(a desc, lower ( b ))", "a > 'X'")
    assert read_index('CREATE INDEX ix ON t ("a", "order")') == ('(a, "order")', None)
