"""What the MySQL family says with SHOW CREATE is read exactly, whatever is in names, texts and comments."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ringfence.schema.comparison.snapshot import Name, Snapshot
from ringfence.schema.engines.mysql.create_statements import Owner, TableReader, tokens, written
from ringfence.schema.errors import JobFailed

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12) | st.text(
    "'\"`\\,()/*-#; \n%", max_size=12
)
NAMES = TEXTS.filter(lambda name: name.strip() == name != "").map(lambda name: name[:64])


def name(text):
    return "`" + text.replace("`", "``") + "`"


def text(value):
    """As the server spells a text in SHOW CREATE TABLE."""
    return (
        "'" + value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r") + "'"
    )


def read(sql, table="song"):
    snapshot = Snapshot()
    TableReader(snapshot, Owner("", table, "app"), {"latin1": "latin1_swedish_ci"}).read(sql)
    return snapshot.items


@given(
    st.lists(
        st.tuples(NAMES, TEXTS, TEXTS, st.lists(TEXTS, min_size=1)), min_size=1, unique_by=lambda c: c[0]
    ),
    NAMES,
    TEXTS,
)
def test_quoted_names_and_texts_come_back(columns, key, comment):
    lines = [
        f"  {name(column)} enum({','.join(map(text, labels))}) DEFAULT {text(default)} COMMENT {text(note)}"
        for column, default, note, labels in columns
    ]
    first = name(columns[0][0])
    lines += [
        f"  UNIQUE KEY {name(key)} ({first},{first}) COMMENT {text(comment)}",
        f"  CONSTRAINT {name(key)} FOREIGN KEY ({first}) REFERENCES {name(key)} ({first})",
        f"  CONSTRAINT {name(key)} CHECK ({first} <> {text(comment)})",
    ]
    found = read(
        f"CREATE TABLE {name(key)} (\n" + ",\n".join(lines) + f"\n) ENGINE=InnoDB COMMENT={text(comment)}"
    )
    assert found[Name("table", "", "song", "song")] == {
        "engine": "InnoDB",
        **({"comment": comment} if comment else {}),
    }
    for column, default, note, labels in columns:
        facets = found[Name("column", "", "song", column)]
        assert tokens(facets["default"])[0].value == default
        assert facets.get("comment", "") == note
        assert [token.value for token in tokens(facets["type"]) if token.kind == "text"] == labels
    assert Name("unique", "", "song", key) in found
    assert tokens(found[Name("check", "", "song", key)]["definition"])[-1].value == comment
    references = tokens(found[Name("foreign key", "", "song", key)]["references"])
    assert (references[0].name, references[2].name) == (key, columns[0][0])


@given(
    st.lists(st.sampled_from(["a", "`a b`", "'it''s'", "_utf8mb4'x'", "(", ")", ",", "<>", "1.5", " ", "\n"]))
)
def test_what_is_written_is_written_the_same_again(pieces):
    once = written(tokens("".join(pieces)), "app")
    assert written(tokens(once), "app") == once


def test_an_unclosed_quote_is_refused():
    with pytest.raises(JobFailed, match="cannot be read from its character 22 on"):
        read("CREATE TABLE `song` (\n`id int)")


def test_words_of_one_version_count_and_the_own_database_does_not():
    found = read(
        "CREATE TABLE `song` (\n  `id` int DEFAULT nextval(`app`.`sq`) /*!80023 INVISIBLE */,\n"
        "  `place` point /*!80003 SRID 4326 */ NOT NULL,\n  `x` text CHARACTER SET latin1 /*M!100301 COMPRESSED*/,\n"
        "  FULLTEXT KEY `ft` (`x`) /*!50100 WITH PARSER `ngram` */,\n  KEY `k` (`id` DESC) /*!80000 INVISIBLE */,\n"
        "  CONSTRAINT `c` CHECK ((`id` > _latin1'a')) /*!80016 NOT ENFORCED */\n) ENGINE=InnoDB DEFAULT CHARSET=latin1"
    )
    assert {name.name: facets for name, facets in found.items()} == {
        "song": {"engine": "InnoDB", "collation": "latin1_swedish_ci"},
        "id": {"type": "int", "null": "yes", "default": "nextval(`sq`)", "invisible": "yes"},
        "place": {"type": "point SRID 4326", "null": "no"},
        "x": {"type": "text COMPRESSED", "null": "yes", "collation": "latin1_swedish_ci"},
        "ft": {"columns": "(x)", "kind": "FULLTEXT", "parser": "ngram"},
        "k": {"columns": "(id DESC)", "invisible": "yes"},
        "c": {"definition": "(`id` > 'a')", "enforced": "no"},
    }
