"""Fields of a mirror as forms want them: validators by default, passwords as hashes, errors by field."""

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pydal.restapi import ALLOW_ALL_POLICY, RestAPI
from pydal.validators import CRYPT, IS_IN_DB, IS_NOT_IN_DB, IS_STRONG

from ringfence.runtime import JSON_NULL, Database, DataError, Mirror, NotSupportedError, Settings
from ringfence.runtime.mirror import Table
from ringfence.schema.deployment import Deployment
from ringfence.schema.mirror import make_mirror
from servers.base import Database as ServerDatabase
from support.pydal_sides import create


@pytest.fixture(scope="module")
def reception() -> Deployment:
    return Deployment.load(Path(__file__).parent / "reception")


@pytest.fixture
def database(
    recycled: Callable[[str, Callable[[ServerDatabase], object]], ServerDatabase], reception: Deployment
) -> ServerDatabase:
    return recycled("reception", lambda made: create(made, reception))


@pytest.fixture
def opened(database: ServerDatabase, reception: Deployment) -> Iterator[Callable[[str], Database]]:
    """The runtime with the mirror of an account, through no view, as the admin."""
    found: list[Database] = []

    def open_(service: str) -> Database:
        mirror = make_mirror(reception, reception.accounts[service], None)
        mirror = replace(mirror, tables={key: _straight(table) for key, table in mirror.tables.items()})
        found.append(Database(Settings.from_env(database.env()), Mirror.parse(json.loads(mirror.to_json()))))
        return found[-1]

    yield open_
    for each in found:
        each.close()


def _straight(table: Table) -> Table:
    return replace(table, verbs={verb: replace(given, relations={}) for verb, given in table.verbs.items()})


@pytest.fixture
def desk(opened: Callable[[str], Database]) -> Database:
    return opened("reception")


def test_a_password_is_stored_as_a_hash_and_shown_as_stars(desk: Database) -> None:
    with desk.session() as dal:
        guest = dal.guest
        assert guest.password.type == "password"
        made = guest.validate_and_insert(email="a@b.c", password="open sesame")
        assert made["errors"] == {}
        stored = guest(made["id"]).password
        assert stored.startswith("pbkdf2(1000,20,sha512)$")
        assert CRYPT()("open sesame")[0] == stored
        assert CRYPT()("another")[0] != stored
        assert guest.password.formatter(stored) == CRYPT.STARS
        assert not guest.password.readable
        assert "password" not in [each["name"] for each in guest._structure()]
        # What a form shows of it comes back, and changes nothing.
        done = guest.validate_and_update(made["id"], email="a@b.c", password=CRYPT.STARS)
        assert (done["errors"], done["updated"]) == ({}, 1)
        assert guest(made["id"]).password == stored
        guest.password.notnull = True
        try:  # a new record has none that could stay
            found = guest.validate_and_insert(email="new", password=CRYPT.STARS)["errors"]
        finally:
            guest.password.notnull = False
        assert found == {"password": "Enter a value"}
        guest.validate_and_update(made["id"], password="changed")
        assert CRYPT()("changed")[0] == guest(made["id"]).password
        shown = RestAPI(dal, ALLOW_ALL_POLICY)("GET", "guest", get_vars={"email.eq": "a@b.c"})
        assert ["password" in item for item in shown["items"]] == [False]


def test_a_crypt_in_requires_is_stored_by_every_way_of_writing(desk: Database) -> None:
    with desk.session() as dal:
        guest = dal.guest
        made = CRYPT()("one")[0]
        first = guest.insert(email="1", password=made)
        guest.bulk_insert([{"email": "2", "password": CRYPT()("two")[0]}])
        guest.upsert("email", email="2", password=CRYPT()("three")[0])
        assert guest(first).password == str(made)
        assert CRYPT()("three")[0] == guest(email="2").password
        dal(guest.id == first).update(password=CRYPT()("four")[0])
        guest.bulk_update([{"id": guest(email="2").id, "password": CRYPT()("five")[0]}])
        assert CRYPT()("four")[0] == guest(first).password
        assert CRYPT()("five")[0] == guest(email="2").password
        before = guest.name.requires
        guest.name.requires = [
            IS_STRONG(min=4, upper=None, number=None, special=None),
            CRYPT("md5", salt=False),
        ]
        try:
            found = guest.validate_and_insert(email="3", name="a")
            assert list(found["errors"]) == ["name"]
        finally:
            guest.name.requires = before


# field -> what a form gives, and what is stored
TAKEN = {
    "name": ("Ada", "Ada"),
    "active": ("off", False),
    "agreed": ("on", True),
    "small": ("-12", -12),
    "big": (str(2**40), 2**40),
    "share": ("1.5", 1.5),
    "price": ("12.34", Decimal("12.34")),
    "born": ("2001-02-03", dt.date(2001, 2, 3)),
    "alarm": ("07:30", dt.time(7, 30)),
    "local": ("2026-01-31T14:30", dt.datetime(2026, 1, 31, 14, 30)),
    "moment": ("2026-01-31T14:30:00.25+01:00", dt.datetime(2026, 1, 31, 13, 30, 0, 250_000, dt.UTC)),
    "info": ('{"a": [1, null]}', {"a": [1, None]}),
    "bag": ("null", JSON_NULL),
    "ident": ("12345678-1234-5678-1234-567812345678", uuid.UUID("12345678-1234-5678-1234-567812345678")),
    "mood": ("wild", "wild"),
}
# field -> what a form gives, and what is said of it
WRONG = {
    "email": ("x" * 101, "Enter from 0 to 100 characters"),
    "name": (7, "Text is needed, not a int"),
    "active": ("maybe", "Enter true or false"),
    "small": ("32768", "Enter an integer between -32768 and 32767"),
    "big": (str(2**63), "Enter an integer between -9223372036854775808 and 9223372036854775807"),
    "share": ("1e999", "Enter a smaller number"),
    "price": ("1.234", "The number has more than 2 decimal places: round it first"),
    "born": ("2001-02-30", "Enter date as 1963-08-28"),
    "alarm": ("25:00", "Enter time as hh:mm:ss (seconds, am, pm optional)"),
    "local": ("2026-01-31T14:30+01:00", "This column keeps no zone: pass a naive datetime"),
    "moment": ("2026-01-31 14:30:00", "Enter date and time with its zone, as 2026-01-31T14:30:00+01:00"),
    "span": ("an hour", "A timedelta is needed, not a str"),
    "info": ("{'a': 1}", "Invalid json"),
    "bag": ("", "Invalid json"),
    "photo": ("text", "Bytes are needed, not a str"),
    "ident": ("1234", "The text is not a UUID"),
    "mood": ("angry", "Value not allowed"),
    "colour": ("BLUE", "Value not allowed"),
    "team_id": (str(uuid.UUID(int=5)), "Value not in database"),
    "host": ("99", "Value not in database"),
}


def test_the_text_of_a_form_is_stored_as_its_value(desk: Database) -> None:
    with desk.session() as dal:
        given = {name: form for name, (form, _) in TAKEN.items()}
        made = dal.guest.validate_and_insert(email="a@b.c", **given)
        assert made["errors"] == {}
        row = dal.guest(made["id"])
        assert {name: row[name] for name in TAKEN} == {name: value for name, (_, value) in TAKEN.items()}
        # What the row has passes as it is.
        again = dal.guest.validate_and_update(made["id"], **{name: row[name] for name in TAKEN})
        assert (again["errors"], again["updated"]) == ({}, 1)
        assert dal.guest(made["id"]).as_dict() == row.as_dict()


def test_errors_are_reported_by_field_and_nothing_is_stored(desk: Database) -> None:
    with desk.session() as dal:
        found = dal.guest.validate_and_insert(**{name: form for name, (form, _) in WRONG.items()})
        assert found == {
            "id": None,
            "success": False,
            "errors": {name: said for name, (_, said) in WRONG.items()},
        }
        assert dal(dal.guest).count() == 0
        key = dal.guest.insert(email="a@b.c")
        found = dal.guest.validate_and_update(key, active=None, name="")
        assert found["errors"] == {"active": "Enter a value"}
        assert dal.guest.validate_and_insert(nothing=1)["errors"] == {
            "nothing": "invalid",
            "email": "required",
        }
        assert dal.visit.validate_and_insert(code="a", guest_id=str(key))["errors"] == {"room": "required"}
        # What JSON of a request may hold, and PyDAL's own validators fail with.
        for wrong, said in (
            (
                {"share": 10**400, "password": 5},
                {"share": "Enter a smaller number", "password": "Text is needed, not a int"},
            ),
            (
                {"password": "\ud800"},
                {"password": "The text holds a lone surrogate, which is no Unicode character"},
            ),
        ):
            assert dal.guest.validate_and_update(key, **wrong)["errors"] == said


def test_an_empty_text_of_a_form_is_null_where_there_may_be_one(desk: Database) -> None:
    with desk.session() as dal:
        empty = dict.fromkeys(
            ("name", "agreed", "small", "price", "moment", "info", "ident", "host", "mood"), ""
        )
        made = dal.guest.validate_and_insert(email="a@b.c", **empty, photo=b"")
        assert made["errors"] == {}
        row = dal.guest(made["id"])
        assert {name: row[name] for name in empty} == dict.fromkeys(empty)
        assert row.photo == b""
        # A list is none.
        dal.guest.validate_and_update(made["id"], info=[])
        assert dal.guest(made["id"]).info == []


def test_a_program_stores_a_text_in_json_as_a_text(desk: Database) -> None:
    with desk.session() as dal:
        parsed = dal.guest.validate_and_insert(email="a", info='{"a":1}')["id"]
        kept = dal.guest.insert(email="b", info='{"a":1}')
        assert dal.guest(parsed).info == {"a": 1}
        assert dal.guest(kept).info == '{"a":1}'
        assert dal.guest.info.formatter({"a": 1}) == '{"a": 1}'


def test_a_unique_value_is_looked_for_but_in_its_own_record(desk: Database) -> None:
    with desk.session() as dal:
        one = dal.guest.insert(email="one", ident=uuid.UUID(int=1))
        two = dal.guest.insert(email="two")
        taken = {"email": "one", "ident": str(uuid.UUID(int=1))}
        said = dict.fromkeys(taken, "Value already in database or empty")
        assert dal.guest.validate_and_insert(**taken)["errors"] == said
        assert dal.guest.validate_and_update(two, **taken)["errors"] == said
        assert dal.guest.validate_and_update(one, name="Ada", **taken)["updated"] == 1
        of_one, of_both = dal(dal.guest.id == one), dal(dal.guest.id > 0)
        assert of_one.validate_and_update(email="one", name="Bob") == {"updated": 1, "errors": {}}
        assert of_one.validate_and_update(email="two")["errors"] == {"email": said["email"]}
        assert of_both.validate_and_update(email="one") == {"updated": 0, "errors": {"email": said["email"]}}
        assert of_both.validate_and_update(small="5", active="no") == {"updated": 2, "errors": {}}
        assert dal.guest(two).as_dict() | {"small": 5, "active": False} == dal.guest(two).as_dict()
        team = dal.team.insert(name="red")
        assert dal.team.validate_and_update(str(team), name="red") == {
            "id": team,
            "updated": 1,
            "errors": {},
            "success": True,
        }
        assert dal.team.validate_and_insert(name="red")["errors"] == {"name": said["email"]}
        dal.visit.insert(code="a", guest_id=one, room=1)
        assert dal.visit.validate_and_update("a", code="a", room="2")["id"] == "a"
        assert dal.visit("a").room == 2
        assert dal.visit.validate_and_insert(code="a", guest_id=one, room=1)["errors"] == {
            "code": said["email"]
        }


def test_references_are_looked_up_and_give_the_options_of_a_form(desk: Database) -> None:
    with desk.session() as dal:
        red, blue = dal.team.insert(name="red"), dal.team.insert(name="blue")
        host = dal.guest.insert(email="host")
        made = dal.guest.validate_and_insert(email="a", team_id=str(red), host=str(host))
        row = dal.guest(made["id"])
        assert (row.team_id, row.host, made["errors"]) == (red, host, {})
        assert {key for key, _ in dal.guest.team_id.requires.options()} == {"", str(red), str(blue)}
        # PyDAL's own validators look with whatever the form gave.
        before = dal.guest.team_id.requires, dal.guest.small.requires
        dal.guest.team_id.requires = IS_IN_DB(dal, dal.team.id)
        dal.guest.small.requires = IS_NOT_IN_DB(dal, dal.guest.small)
        try:
            found = dal.guest.validate_and_insert(email="b", team_id="red", small="x")["errors"]
        finally:
            dal.guest.team_id.requires, dal.guest.small.requires = before
        assert found == {
            "team_id": "The text is not a UUID",
            "small": "A whole number is needed, not a str",
        }
        assert dal.guest.mood.requires.options() == [("", ""), ("calm", "calm"), ("wild", "wild")]
        assert dal.guest.validate_and_update(made["id"], host=host, colour="GREEN")["errors"] == {}
        colour = dal.guest(made["id"]).colour
        assert getattr(colour, "name", colour) == "GREEN"  # a label where the models are not at hand


def test_an_account_that_does_not_see_is_asked_for_nothing_it_cannot_have(
    opened: Callable[[str], Database], desk: Database
) -> None:
    with desk.session() as dal:
        team = dal.team.insert(name="red")
    with opened("porter").session() as dal:
        guest = dal.guest
        assert (guest.name.readable, guest.name.writable, guest.id.writable) == (False, True, False)
        made = guest.validate_and_insert(email="a", name="Ada", team_id=str(team))
        assert made["errors"] == {}
        assert guest.validate_and_update(made["id"], email="b")["errors"] == {"email": "invalid"}
        assert guest.validate_and_update(made["id"], name="Bob")["updated"] == 1
        assert dal.visit.validate_and_insert(code="a", guest_id=made["id"], room="1")["errors"] == {}


def test_fields_say_what_the_mirror_knows(desk: Database) -> None:
    guest, team = desk.dal.guest, desk.dal.team
    assert [field.name for field in guest if field.unique] == ["id", "email", "ident"]
    assert [field.name for field in team if field.unique] == ["id", "name"]
    assert [field.name for field in guest if field.notnull] == ["id", "email", "active", "bag"]
    assert (guest.email.length, guest.name.length) == (100, 10)
    assert (guest.active.default, guest.name.default, guest.bag.default()) == (True, None, {})
    assert (guest.team_id.ondelete, guest.host.ondelete) == ("SET NULL", "NO ACTION")
    assert guest.mood.options == ["calm", "wild"]
    assert guest.host.type == "reference guest"
    assert guest.host.referent is guest.id
    assert guest.email.label == "Email"
    assert guest.email.has_default_validator()


def test_a_request_with_a_bad_value_is_answered_400(desk: Database) -> None:
    with desk.session() as dal:
        dal.team.insert(name="red")
        key = dal.guest.insert(email="a", small=3, share=0.5)
        api = RestAPI(dal, ALLOW_ALL_POLICY)
        for table, asked in (
            ("team", {"id.eq": "abc"}),
            ("guest", {"id.eq": "abc"}),
            ("guest", {"small.gt": "x"}),
            ("guest", {"small.in": "1,x"}),
            ("guest", {"moment.lt": "yesterday"}),
            ("guest", {"moment.lt": "2026-01-31T14:30"}),
            ("guest", {"price.eq": "1,5"}),
            ("guest", {"info.eq": float("nan")}),
            ("guest", {"nothing.eq": "1"}),
            ("guest", {"@limit": "x"}),
            ("guest", {"@limit": "-1"}),
            ("guest", {"@offset": str(2**63)}),
            ("guest", {"info.lt": "1"}),
            ("guest", {"share.eq": "x"}),
            ("guest", {"active.eq": "maybe"}),
            ("guest", {"small.contains": "1"}),
            ("guest", {"ident.startswith": "1"}),
        ):
            answer = api("GET", table, get_vars=dict(asked))
            assert (asked, answer["code"], answer["status"]) == (asked, 400, "error")
        found = api("GET", "guest", get_vars={"small.in": "2,3", "email.startswith": "a"})
        assert (found["code"], [item["id"] for item in found["items"]]) == (200, [key])
        found = api("GET", "guest", get_vars={"share.eq": "0.5", "share.lt": "1e300", "share.in": "0.5,2"})
        assert (found["code"], [item["id"] for item in found["items"]]) == (200, [key])
        assert api("POST", "guest", post_vars={"email": "b", "small": "x"})["code"] == 422
        assert api("PUT", "guest", "abc", post_vars={"email": "b"})["code"] == 404
        assert api("PUT", "guest", key, post_vars={"email": "b"})["updated"] == 1
        assert api("DELETE", "guest", "abc")["code"] == 400
    with pytest.raises(ValueError, match=r"guest\.small: ") as caught, desk.session() as dal:
        dal.guest.insert(email="c", small="x")
    assert isinstance(caught.value, DataError)


def test_versioning_by_the_program_is_refused_with_the_resolution(desk: Database) -> None:
    with pytest.raises(
        NotSupportedError, match="add the table to the models, and write a revision with a trigger"
    ):
        desk.dal.guest._enable_record_versioning()


def test_the_recipes_for_datetimes_without_a_zone(desk: Database) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/forms.md").read_text(encoding="utf-8")
    of_forms, of_programs = re.findall(
        r"```python\n(.*?)```", page.split("## Datetimes without a zone")[1], re.DOTALL
    )
    field = desk.dal.guest.moment
    with desk.session() as dal:
        exec(of_forms, {"dal": dal})  # noqa: S102  # the page's own code
        made = dal.guest.validate_and_insert(email="a", moment="2026-07-01T14:30")
        stored = dal.guest(made["id"]).moment
        assert stored == dt.datetime(2026, 7, 1, 12, 30, tzinfo=dt.UTC)
        assert field.formatter(stored) == "2026-07-01 14:30:00"
        exec(of_programs, {"dal": dal})  # noqa: S102
        naive = dt.datetime(2026, 7, 1, 9, 0, 0, 123)
        for key in (
            dal.guest.insert(email="b", moment=naive),
            *dal.guest.bulk_insert([{"email": "c", "moment": naive}]),
        ):
            assert dal.guest(key).moment == naive.replace(tzinfo=dt.UTC)
        dal(dal.guest.email == "b").update(moment=naive.replace(hour=10))
        assert dal.guest(email="b").moment == naive.replace(hour=10, tzinfo=dt.UTC)
