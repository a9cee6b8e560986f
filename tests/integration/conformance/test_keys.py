"""Keys of every kind: what an insert returns, and how a record is found, changed and deleted by its key."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from pydal import DAL, Field
from pydal.restapi import ALLOW_ALL_POLICY, RestAPI

from ringfence.runtime import (
    AccessDenied,
    ArgumentError,
    Database,
    Mirror,
    NotSupportedError,
    Settings,
    UsageError,
)
from ringfence.schema.deployment import Deployment
from ringfence.schema.mirror import make_mirror
from servers.base import Database as ServerDatabase
from support.pydal_sides import Side, case

PASSWORD = "a-password-of-letters-1"
KEYS = "Keys and names"


def test_a_key_of_another_name(shop: Database) -> None:
    with shop.session() as dal:
        key = dal.pet.insert(name="Rex")
        assert isinstance(key, int)
        assert key.name == "Rex"
        pup = dal.pet.insert(name="Pup", mother=key)
        row = dal.pet[pup]
        assert (row.pet_no, row.id, row.mother, row.mother.name) == (pup, pup, key, "Rex")
        row.update_record(name="Puppy")
        assert dal.pet(pup).name == "Puppy"
        dal.pet[pup] = {"name": "Dog"}
        assert dal.pet[str(pup)].name == "Dog"
        row.delete_record()
        assert dal.pet[pup] is None
        given = dal.pet.insert(pet_no=77, name="Given")
        assert (given, dal.pet[77].name) == (77, "Given")
        assert dal.pet[-5] is None
        del dal.pet[77]
        assert dal(dal.pet).count() == 1


def test_a_uuid_key(shop: Database) -> None:
    with shop.session() as dal:
        key = dal.owner.insert(name="Ada")
        assert isinstance(key, uuid.UUID)
        assert dal.owner[key].name == "Ada"
        assert dal.owner(key).name == "Ada"
        assert dal.owner(name="Ada").id == key
        dal.owner[key] = {"name": "Zoe"}
        assert dal.owner({"id": key}).name == "Zoe"
        dal.pet.insert(owner_id=key, name="Rex")
        assert dal(dal.owner.id == str(key)).delete() == 1
        assert dal(dal.pet).count() == 0


def test_a_text_key(shop: Database) -> None:
    with shop.session() as dal:
        assert dal.country.insert(code="DE", name="Germany") == "DE"
        assert dal.country(code="DE").name == "Germany"
        assert dal.country[{"code": "DE"}].name == "Germany"
        assert dal(dal.country.code == "DE").update(name="Deutschland") == 1
        assert dal.country(code="de") is None
        dal.country["DE"] = {"name": "Germania"}
        assert dal.country(code="DE").name == "Germania"
        with pytest.raises(ArgumentError):
            dal.country["XX"] = {"name": "nowhere"}
        assert dal(dal.country.code == "DE").delete() == 1


def test_a_record_is_found_by_the_text_of_its_key(shop: Database) -> None:
    with shop.session() as dal:
        key = dal.owner.insert(name="Ada")
        dal.country.insert(code="de", name="Germany")
        dal.country.insert(code="12", name="Dozen")
        rex = dal.pet.insert(name="Rex", owner_id=key)
        texts = (str(key), key.hex, str(key).upper())
        for text in texts:
            assert dal.owner(text).name == dal.owner[text].name == "Ada"
            assert dal.owner(text, name="Bob") is None
        assert dal.owner[str(uuid.UUID(int=0))] is dal.owner(str(uuid.UUID(int=0))) is None
        assert dal.owner("no uuid") is dal.owner("12") is dal.owner["12"] is dal.country("fr") is None
        assert dal.country("de").name == dal.country["de"].name == "Germany"
        assert dal.country("12").name == dal.country["12"].name == "Dozen"
        assert dal.country["name"] is dal.country.name
        assert dal.pet(str(int(rex))).name == dal.pet[str(int(rex))].name == "Rex"
        assert dal.pet("Rex") is None
        for table, wrong in ((dal.owner, "nmae"), (dal.country, "nmae"), (dal.pet, "nmae")):
            with pytest.raises(KeyError, match="did you mean name"):
                table[wrong]
        dal.owner[str(key)] = {"name": "Bob"}
        assert dal.owner(key).name == "Bob"
        del dal.country["de"]
        del dal.pet[int(rex)]
        del dal.owner[str(key)]
        assert [dal(dal[name]).count() for name in ("owner", "country", "pet")] == [0, 1, 0]
        with pytest.raises(ArgumentError, match="owner has no such record to delete"):
            del dal.owner[str(key)]


def test_a_composite_key(shop: Database) -> None:
    with shop.session() as dal:
        assert dal.seat.insert(row=1, number=2, guest="Ada") == {"row": 1, "number": 2}
        dal.seat.insert(row=1, number=3)
        assert dal.seat[{"row": 1, "number": 2}].guest == "Ada"
        assert dal.seat(row=1, number=3).guest is None
        assert dal((dal.seat.row == 1) & (dal.seat.number == 3)).update(guest="Zoe") == 1
        assert dal(dal.seat.guest == "Ada").delete() == 1
        assert [(row.row, row.number) for row in dal(dal.seat).select()] == [(1, 3)]
        assert dal(dal.seat).count() == 1


def test_a_part_of_a_key_stands_for_no_record(shop: Database) -> None:
    with shop.session() as dal:
        seat = dal.seat
        seat.bulk_insert([{"row": 1, "number": number, "guest": "Ada"} for number in (1, 2)])
        api = RestAPI(dal, ALLOW_ALL_POLICY)
        assert [api(method, "seat", 1, post_vars={})["code"] for method in ("DELETE", "PUT")] == [400, 400]
        for refused in (
            lambda: seat(1),
            lambda: seat[1],
            lambda: seat.__delitem__(1),
            lambda: seat.__delitem__({"row": 1}),
            lambda: seat.__delitem__({}),
            lambda: seat.__setitem__(1, {"guest": "Bob"}),
            lambda: seat.__setitem__("1", {"guest": "Bob"}),
            lambda: seat.__setitem__({"row": 1}, {"guest": "Bob"}),
            lambda: seat.validate_and_update(1, guest="Bob"),
            lambda: seat.update_or_insert(1, guest="Bob"),
            lambda: dal(seat._id == 1).delete(),
            lambda: dal(seat._id.belongs([1])).delete(),
            lambda: dal(seat.with_alias("other")._id == 1).select(),
        ):
            with pytest.raises(ArgumentError, match="key"):
                refused()
        for refused in (lambda: seat({}), seat.update_or_insert):
            with pytest.raises(ArgumentError, match="no value identifies the record"):
                refused()
        assert dal(seat.guest == "Ada").count() == 2
        seat[{"row": 1, "number": 1}] = {"guest": "Zoe"}
        seat[{"row": 2, "number": 1}] = {"guest": "New"}
        del seat[{"row": 1, "number": 2}]
        found = dal(seat)(seat.guest != "Ada").select(orderby=seat.row)
        assert [(row.row, row.number, row.guest) for row in found] == [(1, 1, "Zoe"), (2, 1, "New")]
        assert dal(seat).count() == dal(seat._id != None).count() == 2  # noqa: E711  # PyDAL's IS NOT NULL


def test_update_or_insert(shop: Database) -> None:
    with shop.session() as dal:
        key = dal.tally.update_or_insert(dal.tally.name == "a", name="a", hits=1)
        assert dal.tally[key].hits == 1
        assert dal.tally.update_or_insert({"name": "a"}, hits=2) is None
        assert dal.tally.update_or_insert(key, hits=3) is None
        assert dal.tally[key].hits == 3
        assert dal.seat.update_or_insert({"row": 1, "number": 1}, row=1, number=1, guest="Ada") is not None
        assert dal.seat.update_or_insert({"row": 1, "number": 1}, guest="Zoe") is None
        assert dal.seat(row=1, number=1).guest == "Zoe"


def test_what_would_alter_the_schema_is_refused(shop: Database) -> None:
    with shop.session() as dal:
        for refused in (
            dal.tally.truncate,
            dal.tally.drop,
            lambda: dal.tally.create_index("i", dal.tally.name),
        ):
            with pytest.raises(NotSupportedError):
                refused()


@case(
    KEYS,
    "rows of a table with a composite key are deleted",
    copes=("postgresql", "mariadb", "galera", "mysql"),
)
def test_stock_composite_delete(side: Side) -> None:
    with side.session() as dal:
        dal.seat.insert(row=1, number=2)
        assert dal(dal.seat.row == 1).delete() == 1


@case(KEYS, "a table and columns called update, keys, class and select")
def test_stock_names(side: Side) -> None:
    with side.session() as dal:
        if side.name == "stock":
            dal.define_table(
                "update", *(Field(name) for name in ("update", "keys", "class", "select")), migrate=False
            )
            table, names = dal.update, ("update", "keys", "class", "select")
        else:
            table, names = dal.update_, ("update_", "keys_", "class_", "select")
        key = table.insert(**dict.fromkeys(names, "x"))
        assert [table[key][name] for name in names] == ["x"] * 4


@case(KEYS, "a column called user, with every reserved word looked for")
def test_stock_reserved(side: Side) -> None:
    if side.name == "stock":
        DAL(None, check_reserved=["all"]).define_table("booking", Field("user"))
        return
    with side.session() as dal:
        dal.order.insert(user="x")
        assert dal(dal.order.user == "x").update(user="y") == 1
        assert [row.user for row in dal(dal.order.user == "y").select(dal.order.user)] == ["y"]


def account(database: ServerDatabase, name: str, *grants: str) -> dict[str, str]:
    """A login with these rights and no others, and its environment. Each grant is `VERB ON table`."""
    login = f"{database.prefix}{name}"
    if database.server.db_type == "postgresql":
        database.execute(
            f"CREATE ROLE \"{login}\" LOGIN PASSWORD '{PASSWORD}'",
            f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "{login}"',
            *(f'GRANT {grant} TO "{login}"' for grant in grants),
        )
    elif database.server.db_type == "mysql":
        database.execute(
            f"CREATE USER '{login}'@'%' IDENTIFIED BY '{PASSWORD}'",
            *(f"GRANT {grant} TO '{login}'@'%'" for grant in grants),
        )
    else:
        return database.env()
    return database.env(login, PASSWORD)


CLERK = ("INSERT ON tally", "INSERT ON seat", "INSERT ON owner")


def test_an_account_that_may_only_insert(
    workshop_db: ServerDatabase, mirror_of: Callable[[str], Mirror]
) -> None:
    env = account(workshop_db, "clerk", *CLERK)
    with Database(Settings.from_env(env), mirror_of("clerk")) as database:
        with database.session() as dal:
            assert dal.tally.insert(name="a", hits=1) is None
            assert dal.owner.insert(name="Ada") is None
            assert dal.seat.insert(row=1, number=1) is None
            dal.tally.bulk_insert([{"name": "b"}, {"name": "c"}])
        for forbidden in (
            lambda dal: dal(dal.tally).select(),
            lambda dal: dal(dal.tally).count(),
            lambda dal: dal(dal.tally.id > 0).update(hits=2),
            lambda dal: dal(dal.tally.id > 0).delete(),
        ):
            with pytest.raises(AccessDenied), database.session() as dal:
                forbidden(dal)
    assert workshop_db.execute("SELECT COUNT(*) FROM tally")[0][0] == 3


def test_a_default_of_a_column_that_may_not_be_inserted_is_not_sent(
    workshop_db: ServerDatabase, mirror_of: Callable[[str], Mirror]
) -> None:
    given = "label, active, made, ident, bag, cost"
    env = account(workshop_db, "scribe", f"INSERT ({given}), SELECT (id, label), UPDATE (label) ON defaulted")
    with Database(Settings.from_env(env), mirror_of("scribe")) as database:
        with database.session() as dal:
            key = dal.defaulted.insert()
            assert dal.defaulted[key].label == "plain"
            assert dal(dal.defaulted.id == key).update(label="new") == 1
        for forbidden in (
            lambda dal: dal.defaulted.insert(note="x"),
            lambda dal: dal(dal.defaulted.id == key).update(note="x"),
            lambda dal: dal(dal.defaulted).select(dal.defaulted.note),
        ):
            with pytest.raises((AccessDenied, AttributeError, UsageError)), database.session() as dal:
                forbidden(dal)
    note, cost, touched = workshop_db.execute("SELECT note, cost, touched FROM defaulted")[0]
    assert (note, float(cost), touched) == (None, 1.5, None)


@pytest.mark.requires("accounts")
@case(KEYS, "an account that may only insert, inserts", copes=("mariadb", "galera", "mysql"))
def test_stock_insert_only(side: Side) -> None:
    env = account(side.database, "clerk", *CLERK)
    workshop = Deployment.load(Path(__file__).parent / "workshop")
    clerk = make_mirror(workshop, workshop.accounts["clerk"], None)
    with side.another(env, mirror=clerk).session() as dal:
        dal.tally.insert(name="a", hits=1)
    assert side.database.execute("SELECT COUNT(*) FROM tally")[0][0] == 1
