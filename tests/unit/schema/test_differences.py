"""Two snapshots of a schema, compared without a server."""

from ringfence.schema.comparison.differences import compare
from ringfence.schema.comparison.snapshot import Name, Snapshot


def snapshot(*items):
    found = Snapshot()
    for kind, table, name, facets in items:
        found.add(kind, "", table, name, **facets)
    return found


TABLE = ("table", "song", "song", {})
TITLE = ("column", "song", "title", {"type": "text", "null": "no"})


def shown(*pair, **options):
    return [str(each) for each in compare(*pair, **options)]


def test_the_same_is_no_difference_and_an_absent_facet_is_none():
    other = ("column", "song", "title", {"type": "text", "null": "no", "default": None})
    assert shown(snapshot(TABLE, TITLE), snapshot(TABLE, other)) == []


def test_what_belongs_to_a_missing_table_is_not_listed_beside_it():
    assert shown(snapshot(TABLE, TITLE), snapshot()) == ["add table song"]
    assert shown(snapshot(), snapshot(TABLE, TITLE)) == ["remove table song"]


def test_a_trigger_of_a_missing_table_is_listed_because_create_table_does_not_make_it():
    trigger = ("trigger", "song", "noted", {"definition": "x"})
    assert shown(snapshot(TABLE, trigger), snapshot()) == ["add table song", "add trigger song.noted"]


def test_a_change_names_the_present_and_the_expected_state():
    other = ("column", "song", "title", {"type": "varchar(20)", "null": "no", "default": "'x'"})
    assert shown(snapshot(TABLE, TITLE), snapshot(TABLE, other)) == [
        "modify column song.title: default 'x', wanted none; type varchar(20), wanted text"
    ]


def test_a_constraint_that_the_models_do_not_name_is_the_same_under_any_name():
    wanted = snapshot(TABLE, ("unique", "song", "song_title_key", {"definition": "UNIQUE (title)"}))
    found = snapshot(TABLE, ("unique", "song", "uq_title", {"definition": "UNIQUE (title)"}))
    other = snapshot(TABLE, ("unique", "song", "uq_title", {"definition": "UNIQUE (id)"}))
    assert shown(wanted, found, has_own_name=lambda name: False) == []
    assert shown(wanted, found) == ["add unique song.song_title_key", "remove unique song.uq_title"]
    assert len(shown(wanted, other, has_own_name=lambda name: False)) == 2


def test_one_unnamed_constraint_stands_for_one_only():
    twice = snapshot(
        TABLE,
        ("check", "song", "ck_one", {"definition": "a > 0"}),
        ("check", "song", "ck_two", {"definition": "a > 0"}),
    )
    once = snapshot(TABLE, ("check", "song", "song_check", {"definition": "a > 0"}))
    assert len(shown(once, twice, has_own_name=lambda name: False)) == 1


def test_a_primary_key_is_compared_by_its_columns_alone():
    wanted = snapshot(TABLE, ("primary key", "song", "pk_song", {"definition": "PRIMARY KEY (id)"}))
    found = snapshot(TABLE, ("primary key", "song", "song_pkey", {"definition": "PRIMARY KEY (id)"}))
    other = snapshot(TABLE, ("primary key", "song", "song_pkey", {"definition": "PRIMARY KEY (id, title)"}))
    assert shown(wanted, found) == []
    (difference,) = compare(wanted, other)
    assert difference.changed == ("definition",)
    assert difference.name == Name("primary key", "", "song", "song_pkey")


def test_objects_come_in_the_order_in_which_they_can_be_made():
    wanted = snapshot(
        ("index", "song", "ix", {}),
        ("enum", "", "mood", {}),
        ("table", "album", "album", {}),
        ("column", "song", "a", {}),
    )
    assert shown(wanted, snapshot()) == [
        "add enum mood",
        "add table album",
        "add column song.a",
        "add index song.ix",
    ]
