"""What PyDAL's users write at the edges of its query language: the right value on every engine, or a refusal by name."""

import copy
import datetime as dt
import pickle
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from ringfence.runtime import (
    ArgumentError,
    Database,
    DataError,
    NotSupportedError,
    RingfenceError,
    UnknownName,
    UsageError,
)

MOMENT = dt.datetime(2024, 2, 29, 23, 59, 58, 123456)


@pytest.fixture
def filled(shop: Database) -> Iterator[Any]:
    """The DAL, in a session that is rolled back."""
    with shop.session() as dal:
        ada = dal.owner.insert(name="Ada")
        rex = dal.pet.insert(name="Rex", owner_id=ada)
        dal.pet.insert(name="Pup", mother=rex)
        for name, hits in (("a", 1), ("b", 1), ("c", None)):
            dal.tally.insert(name=name, hits=hits)
        dal.seat.bulk_insert([{"row": 1, "number": number, "guest": "Ada"} for number in (2, 3)])
        dal.country.insert(code="de", name="Germany")
        dal.specimen.insert(
            name="2024-02-29 23:59:58",
            whole=5,
            real=2.6,
            price=Decimal("7.5000"),
            boolean=True,
            naive=MOMENT,
            moment=MOMENT.replace(tzinfo=dt.UTC),
            day=MOMENT.date(),
            clock=MOMENT.time(),
            document={"a": {"n": 1}, "b": 3, "s": "it's", "t": True, "z": None, "l": [1, {"k": 2.50}]},
        )
        yield dal
        dal.rollback()


def names(rows: Any) -> list[str]:
    return sorted(row.name for row in rows)


def refused(kind: type[RingfenceError], words: str, work: Callable[[], object]) -> None:
    with pytest.raises(kind, match=words):
        work()


def test_a_record_as_a_value_stands_for_its_key(filled: Any) -> None:
    dal, pet = filled, filled.pet
    rex, ada = dal(pet.name == "Rex").select().first(), dal(dal.owner).select().first()
    germany, seat = dal(dal.country).select().first(), dal(dal.seat).select().first()
    assert names(dal(pet.mother == rex).select()) == ["Pup"]
    assert names(dal((pet.mother != rex) | (pet.mother == None)).select()) == ["Rex"]  # noqa: E711  # PyDAL's IS NULL
    assert names(dal(pet.mother.belongs([rex])).select()) == ["Pup"]
    assert names(dal(pet.mother.belongs(dal(pet).select())).select()) == ["Pup"]
    assert names(dal(pet.owner_id == ada).select()) == ["Rex"]
    assert names(dal(dal.country.code == germany).select()) == ["Germany"]
    assert names(dal(pet.mother == pet(rex.id)).select()) == ["Pup"]
    for compiled in (True, False):
        dal._adapter.compiled = compiled
        kit = dal.pet.insert(name="Kit", mother=rex, owner_id=ada)
        assert (pet[kit].mother, pet[kit].owner_id) == (rex.id, ada.id)
        assert dal(pet.name == "Pup").update(owner_id=ada) == 1
        assert dal(pet.owner_id == ada).count() == 3
        assert dal(pet.name == "Kit").delete() == 1
    pet.bulk_insert([{"name": "Dot", "mother": rex, "owner_id": ada}])
    dot = dal(pet.name == "Dot").select().first()
    assert (dot.mother, dot.owner_id) == (rex.id, ada.id)
    dal._adapter.compiled = True
    assert (pet(rex).name, pet[rex].name, dal.owner(ada).name, dal.country[germany].name) == (
        "Rex",
        "Rex",
        "Ada",
        "Germany",
    )
    assert (dal.seat(seat).number, pet(mother=rex).mother) == (2, rex.id)
    left = dal(pet.name == "Pup").select(pet.ALL, dal.seat.ALL, left=dal.seat.on(dal.seat.number == 99))
    refused(
        DataError, "name the part that is meant, of pet, seat", lambda: dal(pet.mother == left[0]).select()
    )
    refused(DataError, r"no single value \(its key: row, number\)", lambda: dal(pet.mother == seat).select())
    unkeyed = dal(pet).select(pet.name).first()
    refused(
        DataError,
        "pet.mother: .*its key, pet_no, which was not selected",
        lambda: dal(pet.mother == unkeyed).select(),
    )
    refused(DataError, r"row\.as_dict\(\)", lambda: dal.specimen.insert(document=rex))
    refused(
        ArgumentError,
        "a Rows cannot be used as a value",
        lambda: dal(pet.mother == dal(pet).select()).select(),
    )
    refused(ArgumentError, "a Set cannot be used as a value", lambda: dal(pet.mother == dal(pet)).select())
    refused(
        ArgumentError,
        "a nested select cannot be used as a value",
        lambda: dal.tally.insert(name=dal(pet)._select(pet.name)),
    )


def test_the_record_of_a_row_is_updated_and_deleted_whatever_its_key(filled: Any) -> None:
    dal = filled
    for compiled in (True, False):
        dal._adapter.compiled = compiled
        for table, column in (
            (dal.owner, "name"),
            (dal.country, "name"),
            (dal.seat, "guest"),
            (dal.pet, "name"),
        ):
            row = dal(table).select().first()
            assert row.update_record(**{column: f"new {compiled}"})[column] == f"new {compiled}"
            assert dal(table[column] == f"new {compiled}").count() == 1, table
            row[column] = f"by itself {compiled}"
            row.update_record()
            assert dal(table[column] == f"by itself {compiled}").count() == 1, table
        for copied in (copy.copy(row), copy.deepcopy(row)):
            copied.update_record(name=f"a copy {compiled}")
            assert (dal(dal.pet.name == f"a copy {compiled}").count(), row.name) == (
                1,
                f"by itself {compiled}",
            )
        joined = dal(dal.pet.owner_id == dal.owner.id).select(dal.pet.ALL, dal.owner.ALL).first()
        joined.owner.update_record(name="by join")
        assert dal(dal.owner.name == "by join").count() == 1
        with pytest.raises(AttributeError, match=r"select its key too, pet_no"):
            dal(dal.pet).select(dal.pet.name).first().update_record(name="x")
        with pytest.raises(AttributeError, match=r"write row\.pet\.update_record"):
            joined.update_record(name="x")
        lone = dal(dal.pet.owner_id == None).select(  # noqa: E711  # PyDAL's IS NULL
            dal.pet.ALL, dal.owner.ALL, left=dal.owner.on(dal.owner.id == dal.pet.owner_id)
        )[0]
        refused(ArgumentError, "a left join found none", lambda row=lone: row.owner.update_record(name="x"))
        refused(UnknownName, "has no field nme", lambda row=lone: row.pet.update_record(nme="x"))
    again = pickle.loads(pickle.dumps(row))  # noqa: S301  # made in this line
    assert again.name == "by itself False"
    assert dal(dal.seat.number == 3).select().first().delete_record() == 1
    assert [row.number for row in dal(dal.seat).select()] == [2]


def test_rows_as_dicts_text_and_trees(filled: Any) -> None:
    dal, pet = filled, filled.pet
    mother = pet.with_alias("m")
    keys = (pet.pet_no, pet.name, mother.pet_no, mother.name)
    for select in (dal(pet).select, dal(pet).iterselect):
        rows = select(*keys, left=mother.on(pet.mother == mother.pet_no), orderby=pet.name)
        found = rows.as_dict()
        assert [(found[n]["pet"]["name"], found[n]["m"]["name"]) for n in (0, 1)] == [
            ("Pup", "Rex"),
            ("Rex", None),
        ]
    rows = dal(pet).select(*keys, left=mother.on(pet.mother == mother.pet_no), orderby=pet.name)
    assert sorted(row["m"]["name"] or "" for row in rows.as_dict(key="pet.name").values()) == ["", "Rex"]
    assert str(rows).splitlines()[2].endswith("Rex,<NULL>,<NULL>")
    assert list(dal(dal.country).select().as_dict()) == ["de"]
    assert sorted(dal(dal.seat).select().as_dict()) == [(1, 2), (1, 3)]
    # A document is a value of one table, and no part of a join.
    for select in (dal(dal.specimen).select, dal(dal.specimen).iterselect):
        ((key, row),) = select(dal.specimen.id, dal.specimen.document).as_dict().items()
        assert (key, row["document"]["b"]) == (row["id"], 3)
    for select in (dal(pet).select, dal(pet).iterselect):
        assert [[row.name, *(pup.name for pup in row.children)] for row in select().as_trees("mother")] == [
            ["Rex", "Pup"]
        ]
    refused(ArgumentError, r"as_dict\(key=", lambda: dal(pet).select(pet.name).as_dict())
    stream = dal(pet).iterselect(pet.name, orderby=pet.name)
    stream.compact = False
    assert [row.pet.name for row in stream] == ["Pup", "Rex"]
    listed = dal(pet).iterselect(pet.name, orderby=pet.name).as_list(compact=False)
    assert listed == [{"pet": {"name": "Pup"}}, {"pet": {"name": "Rex"}}]

    kept: dict[str, bytes] = {}

    def cache(key: str, make: Callable[[], Any], seconds: int) -> Any:
        if key not in kept:
            kept[key] = pickle.dumps(make())
        return pickle.loads(kept[key])  # noqa: S301  # made one line before

    for _ in range(2):
        for cacheable in (True, False):
            cached = dal(pet).select(pet.name, orderby=pet.name, cache=(cache, 60), cacheable=cacheable)
            assert str(cached).split() == ["pet.name", "Pup", "Rex"]
    assert str(pickle.loads(pickle.dumps(cached))) == str(cached)  # noqa: S301  # made in this line


def test_counts_and_distinct(filled: Any) -> None:
    dal, tally, pet = filled, filled.tally, filled.pet
    both = dal(pet.mother == pet.with_alias("m").pet_no)
    assert (dal(tally).count(), dal(tally).count(distinct=True), both.count(distinct=True)) == (3, 3, 1)
    assert dal(tally).count(distinct=tally.hits) == dal(tally).count(distinct=[tally.hits]) == 1
    # as of one column: what holds a NULL is not counted
    several = [tally.hits, tally.name]
    assert dal(tally).count(distinct=several) == dal(tally).count(distinct=tally.hits | tally.name) == 2
    assert dal(tally.name != "a").count(distinct=several) == 1
    assert dal(dal.seat).count(distinct=[dal.seat.row, dal.seat.guest]) == 1
    refused(ArgumentError, "takes True or fields", lambda: dal(tally).count(distinct="hits"))
    refused(ArgumentError, "takes True or fields", lambda: dal(tally).select(tally.hits, distinct="hits"))
    assert len(dal(tally).select(tally.hits, distinct=True)) == 2
    assert len(dal(tally).select(tally.hits, distinct=True, limitby=(0, 9))) == 2
    once = {"distinct": [tally.hits], "limitby": (0, 9)}
    if dal._adapter.dialect.distinct_on:
        assert len(dal(tally).select(tally.hits, tally.name, **once)) == 2
        assert len(dal(tally).select(tally.hits, distinct=tally.hits | tally.name)) == 3
    else:
        refused(
            UsageError,
            "DISTINCT ON, which this engine has not",
            lambda: dal(tally).select(tally.hits, **once),
        )
        refused(
            NotSupportedError, "DISTINCT ON", lambda: dal(tally).iterselect(tally.hits, distinct=tally.hits)
        )


def test_belongs_and_nested_selects(filled: Any) -> None:
    dal, tally = filled, filled.tally
    assert dal(tally.hits.belongs(number for number in (1, 2))).count() == 2
    assert dal(tally.hits.belongs([])).count() == dal(tally.hits.belongs([None])).count() == 0
    assert dal((tally.hits + 1).belongs([2, None])).count() == 2
    assert dal((tally.hits + 1).belongs([2, None], null=True)).count() == 3
    assert dal(tally.name.upper().belongs({"A", "C"})).count() == 2
    assert names(dal(tally.name.belongs(dal(tally.hits == 1).nested_select(tally.name))).select()) == [
        "a",
        "b",
    ]
    assert dal(tally.name.belongs(dal(tally.id < 0).nested_select(tally.name))).count() == 0
    assert names(dal(tally.id.belongs((tally.hits == 1) & (tally.name != "a"))).select()) == ["b"]
    for value in (None, 1, "a", dal(tally), dal(tally).select().first()):
        refused(
            UsageError,
            "takes a list of values or a nested select",
            lambda value=value: tally.hits.belongs(value),
        )
        refused(
            ArgumentError, "takes a list of values", lambda value=value: tally.name.lower().belongs(value)
        )
    refused(
        UsageError,
        "one column, not 2",
        lambda: dal(tally.id.belongs(dal(tally).nested_select(tally.id, tally.hits))).count(),
    )
    refused(ArgumentError, "key of one column", lambda: tally.id.belongs(dal.seat.row == 1))
    nested = dal(tally).nested_select(tally.id.max())
    for query in (tally.id == nested, tally.id != nested, tally.id < nested):
        refused(ArgumentError, r"field\.belongs\(nested\)", lambda query=query: dal(query).select())
    refused(DataError, "nothing is more or less than None", lambda: dal(tally.hits > None).select())


def test_casts(filled: Any) -> None:
    dal, t = filled, filled.specimen
    wanted = [
        (t.whole.cast("string", length=9), "5"),
        (t.whole.cast("string"), "5"),
        (t.name.cast("string", length=4), "2024"),
        (t.whole.cast("text"), "5"),
        (t.whole.cast("double"), 5.0),
        (t.whole.cast("decimal", precision=6, scale=2), Decimal("5.00")),
        (t.whole.cast("decimal(6,2)"), Decimal("5.00")),
        (t.whole.cast("boolean"), True),
        (t.boolean.cast("integer"), 1),
        (t.boolean.cast("string", length=5), "1"),
        (t.real.cast("integer"), 3),
        (t.price.cast("bigint"), 8),
        (t.name[0:4].cast("integer") + 1, 2025),
        (t.naive.cast("date"), MOMENT.date()),
        (t.moment.cast("date"), MOMENT.date()),
        (t.naive.cast("time"), MOMENT.time()),
        (t.day.cast("datetime"), dt.datetime(2024, 2, 29)),
        (t.name.cast("date"), MOMENT.date()),
        (t.name.cast("datetime"), MOMENT.replace(microsecond=0)),
        (t.day.cast("string", length=10), "2024-02-29"),
    ]
    row = dal(t).select(*(made.with_alias(f"v{number}") for number, (made, _) in enumerate(wanted))).first()
    for number, (made, value) in enumerate(wanted):
        assert (type(row[f"v{number}"]), row[f"v{number}"]) == (type(value), value), str(made)
    assert dal(t.whole.cast("string", length=9) == "5").count() == 1
    for target in ("json", "blob", "id", "reference", "password", "list:string", "nothing", "integer(4)"):
        refused(NotSupportedError, "nothing is cast to", lambda target=target: t.whole.cast(target))
    for target, sizes in (("string", {"length": "9); --"}), ("integer", {"length": 4}), ("decimal", {})):
        refused(ArgumentError, "a cast to", lambda target=target, sizes=sizes: t.whole.cast(target, **sizes))
    refused(NotSupportedError, "means something else", lambda: dal(t).select(t.whole.cast("date")))


def test_json_operators(filled: Any) -> None:
    dal, document = filled, filled.specimen.document
    if not dal._adapter.dialect.json_operators:
        for made in (document.json_key("b"), document.json_key_value("b"), document.json_path("{b}")):
            refused(NotSupportedError, "for PostgreSQL alone", lambda made=made: dal(made == 3).select())
        refused(
            NotSupportedError,
            "for PostgreSQL alone",
            lambda: dal(document.json_contains('{"b": 3}')).select(),
        )
        return
    value, key = document.json_key_value, document.json_key
    holding = [
        *(value("b") == 3, value("b") == "3", value("b") > 2, value("b") != 4, value("b").belongs([3, 4])),
        *(value("s") == "it's", value("t") == True, value("z") == None, value("no") == None),  # noqa: E711, E712  # PyDAL's
        *(value("s").like("it%"), value("s").contains("'s"), key("a").json_key_value("n") == 1),
        *(key("b") == 3, key("s") == "it's", key("t") == True, key("a") == {"n": 1}),  # noqa: E712  # PyDAL's
        *(
            document.json_path("{l,0}") == 1,
            document.json_path_value("{l,1,k}") == 2.5,
            key("l").json_key(0) == 1,
        ),
        *(document.json_contains('{"b": 3}'), document.json_contains({"a": {"n": 1}})),
    ]
    assert [dal(query).count() for query in holding] == [1] * len(holding)
    lacking = [
        value("s") > 2,
        value("b") == "4",
        key("b") == "3",
        value("b' OR 1=1 --") == 3,
        value("s").belongs([]),
    ]
    assert [dal(query).count() for query in lacking] == [0] * len(lacking)
    made = [value(name).with_alias(f"v_{name}") for name in "bstza"]
    row = dal(dal.specimen).select(*made).first()
    assert [row[f"v_{name}"] for name in "bstza"] == ["3", "it's", "true", None, '{"n": 1}']
    assert (dal(dal.specimen).select((value("b").cast("integer") + 1).with_alias("v")).first().v) == 4
    refused(ArgumentError, "a path in JSON", lambda: dal(document.json_path("$.a") == 1).count())
    refused(ArgumentError, "a key of a JSON object", lambda: dal(value(1.5) == 1).count())
    refused(DataError, "JSON text", lambda: dal(document.json_contains("{b")).count())


def test_parts_of_a_text_are_counted_as_python_counts(filled: Any) -> None:
    dal, name = filled, filled.country.name
    dal.country.insert(code="xx", name="äöü€")
    cuts = [
        slice(1, None),
        slice(None, -1),
        slice(-2, None),
        slice(1, 2),
        slice(5, None),
        slice(-9, 2),
        slice(2, 1),
    ]
    made = [name[cut].with_alias(f"v{number}") for number, cut in enumerate(cuts)]
    for text in ("Germany", "äöü€"):
        row = (
            dal(dal.country.name == text)
            .select(*made, name[-1].with_alias("last"), name[0].with_alias("first"))
            .first()
        )
        assert [row[f"v{number}"] for number in range(len(cuts))] == [text[cut] for cut in cuts]
        assert (row.first, row.last) == (text[0], text[-1])
    put = dal(dal.country.code == "xx").select(("it's " + name).with_alias("v")).first()
    counted = dal(dal.tally).select((1 + dal.tally.hits.count()).with_alias("v")).first()
    assert (put.v, counted.v) == ("it's äöü€", 3)
    refused(ArgumentError, "no step", lambda: name[::2])


def test_text_becomes_no_part_of_a_statement(filled: Any) -> None:
    dal, pet = filled, filled.pet
    assert names(dal(pet).select("pet.name")) == ["Pup", "Rex"]
    refused(ArgumentError, "not the text", lambda: dal(pet).select("count(*)"))
    refused(ArgumentError, "not the text of a statement's part$", lambda: dal("name = 'a secret'"))
    refused(ArgumentError, "not the text", lambda: dal(pet)("1 = 1"))
    refused(ArgumentError, "not the text", lambda: dal(pet).select(left="owner ON 1 = 1"))
    row = dal(pet).select().first()
    refused(ArgumentError, "orderby takes fields", lambda: dal(pet).select(orderby=row))
    refused(ArgumentError, "groupby takes fields", lambda: dal(pet).select(pet.name, groupby=[row]))
    for bounds in ((5, 0), (-1, 2), ("0", "5"), (1,), 3):
        refused(ArgumentError, "limitby takes", lambda bounds=bounds: dal(pet).select(limitby=bounds))
        refused(ArgumentError, "limitby takes", lambda bounds=bounds: dal(pet).iterselect(limitby=bounds))


def test_what_sessions_and_the_mirror_do_is_refused_of_the_dal(filled: Any) -> None:
    for name in (
        "import_table_definitions",
        "get_connection_from_pool_or_new",
        "distributed_transaction_begin",
    ):
        refused(NotSupportedError, "mirror|session", getattr(filled, name))
    refused(NotSupportedError, "cannot be defined here", lambda: filled.lazy_define_table("more"))
    with pytest.raises(AttributeError, match="do not keep what the driver gave"):
        _ = filled(filled.pet).select().response


def test_rows_of_a_nested_select_and_methods_of_a_table(filled: Any) -> None:
    dal, pet = filled, filled.pet
    for made in (
        dal(pet).cte("c", pet.pet_no, pet.name),
        dal(pet).nested_select(pet.pet_no, pet.name).with_alias("c"),
    ):
        rows = dal(made.pet_no > 0).select(made.ALL, orderby=made.name)
        assert [row.name for row in rows] == ["Pup", "Rex"]
        with pytest.raises(AttributeError, match="a table with a key"):
            rows[0].update_record(name="x")

    @pet.add_method.named
    def named(table: Any, name: str) -> int:
        return int(table._db(table.name == name).count())

    assert pet.named("Rex") == 1
    del pet.__dict__["named"]
    boolean = filled.specimen.boolean
    assert dal.smart_query([boolean], "specimen.boolean = True").count() == dal(boolean == "T").count() == 1


def test_what_a_mirror_has_no_types_for_is_refused(filled: Any) -> None:
    for made in (filled.tally.hits.st_x(), filled.tally.hits.st_within("POINT(1 1)")):
        refused(NotSupportedError, "no geometry types", lambda made=made: filled(filled.tally).select(made))
