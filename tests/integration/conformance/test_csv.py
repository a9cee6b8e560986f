"""What is written to CSV comes back as it was, with its keys and references."""

import csv
import datetime as dt
import io
import uuid
from decimal import Decimal
from typing import Any

import pytest

from ringfence.runtime import JSON_NULL, ArgumentError, Database, DataError, UnknownName, UsageError

VALUES: dict[str, Any] = {
    "boolean": False,
    "small": -7,
    "whole": 2**31 - 1,
    "big": -(2**63),
    "real": 0.1,
    "price": Decimal("-12.3400"),
    "name": ' "quoted", \n\r\n; ÄÖ\U0001f600 ',
    "story": "",
    "blob": b"\x00\xff\n",
    "day": dt.date(987, 2, 3),
    "clock": dt.time(23, 59, 59, 999_999),
    "naive": dt.datetime(2026, 1, 31, 14, 30, 0, 1),
    "moment": dt.datetime(2026, 1, 31, 14, 30, 0, 250_000, dt.UTC),
    "span": -dt.timedelta(days=400, microseconds=1),
    "ident": uuid.UUID(int=5),
    "document": {"a": [1, None, "<NULL>", 0.5], "ä": "\n"},
    "mood": "wild",
    "colour": "GREEN",
}


def _exported(found: Any, **options: Any) -> str:
    file = io.StringIO(newline="")
    found.export_to_csv_file(file, **options)
    return file.getvalue()


def _read(into: Any, text: str, **options: Any) -> None:
    into.import_from_csv_file(io.StringIO(text, newline=""), **options)


def _all(dal: Any, *names: str) -> list[list[dict[str, Any]]]:
    return [dal(dal[name]).select(orderby=dal[name]._id).as_list() for name in names]


def test_a_table_of_every_type(shop: Database) -> None:
    with shop.session() as dal:
        dal.specimen.insert(**VALUES)
        dal(dal.specimen).delete()
        for values in (
            VALUES,
            {},
            {"document": JSON_NULL},
            {"document": "text"},
            {"document": [], "blob": b""},
        ):
            dal.specimen.insert(**values)
        before = _all(dal, "specimen")
        text = _exported(dal(dal.specimen).select(orderby=dal.specimen.id))
        cells = list(csv.reader(io.StringIO(text, newline="")))
        assert cells[0][:2] == ["specimen.id", "specimen.boolean"]
        assert set(cells[2][1:]) == {"<NULL>"}
        for options in ({}, {"delimiter": ";", "null": "-", "quoting": csv.QUOTE_ALL}):
            text = _exported(dal(dal.specimen).iterselect(orderby=dal.specimen.id), **options)
            dal(dal.specimen).delete()
            _read(dal.specimen, text, **options)
            assert _all(dal, "specimen") == before
        # The server counts on from there.
        assert int(dal.specimen.insert()) > max(row["id"] for row in before[0])
        with pytest.raises(DataError, match=r"specimen.name: a text is '<NULL>', which stands for NULL"):
            dal.specimen.insert(name="<NULL>")
            _exported(dal(dal.specimen).select())


def _fill(dal: Any) -> None:
    owner = dal.owner.insert(name="Ada")
    dal.country.insert(code="de", name="Germany")
    dal.seat.insert(row=1, number=2, guest=None)
    first = dal.pet.insert(name="gone")
    rex = dal.pet.insert(name="Rex", owner_id=owner)
    dal.pet.insert(name="gone")
    pup = dal.pet.insert(name="Pup", mother=rex)
    dal.pet.insert(name="Kit", mother=pup)
    dal(dal.pet.name == "gone").delete()
    assert int(rex) > int(first)


def test_all_tables_with_their_keys_and_references(shop: Database) -> None:
    with shop.session() as dal:
        _fill(dal)
        names = ("owner", "country", "seat", "pet")
        before, text = _all(dal, *names), _exported(dal)
        assert text.index("TABLE owner\r\n") < text.index("TABLE pet\r\n")
        for name in reversed(names):
            for row in reversed(dal(dal[name]).select(orderby=dal[name]._id)):
                row.delete_record()
        _read(dal, text)
        assert _all(dal, *names) == before
        assert dal.pet(name="Kit").mother.mother.name == "Rex"
        kept = max(row["pet_no"] for row in before[3])
        assert int(dal.pet.insert(name="New")) > kept
        # Beside rows that are there, keys are new ones, and references follow.
        dal(dal.owner).update(name="Other")
        dal(dal.pet.name == "New").delete()
        section = text[text.index("TABLE pet") :].split("\r\n\r\n")[0]
        ids: dict[str, Any] = {}
        _read(dal, section, id_map=ids)
        pups = dal(dal.pet.name == "Pup").select(orderby=dal.pet.pet_no)
        assert [pup.mother.name for pup in pups] == ["Rex", "Rex"]
        assert pups[1].mother.pet_no == ids["pet"][pups[0].mother.pet_no] != pups[0].mother.pet_no
        _read(dal, "TABLE nowhere\r\na.b\r\n1\r\n\r\n" + section, ignore_missing_tables=True)
        assert dal(dal.pet).count() == 9


def test_references_to_records_behind_them(shop: Database) -> None:
    with shop.session() as dal:
        egg = dal.pet.insert(name="Egg")
        hen = dal.pet.insert(name="Hen", mother=egg)
        dal(dal.pet.pet_no == egg).update(mother=hen)
        before, text = _all(dal, "pet"), _exported(dal(dal.pet).select(orderby=dal.pet.pet_no))
        for _ in range(2):
            dal(dal.pet).update(mother=None)
            dal(dal.pet).delete()
            _read(dal.pet, text)
            assert _all(dal, "pet") == before
        # Beside them: not the record that has the number now.
        ids: dict[str, Any] = {}
        _read(dal.pet, text, id_map=ids)
        second = dal(dal.pet.name == "Egg").select(orderby=dal.pet.pet_no).last()
        assert (second.mother, second.mother.mother) == (ids["pet"][int(hen)], second.pet_no)
        assert second.mother > hen
        dal(dal.pet).update(mother=None)


def test_long_cells_and_every_quoting(shop: Database) -> None:
    with shop.session() as dal:
        values = {
            "story": "x," * 100_000,
            "blob": bytes(200_000),
            "boolean": True,
            "price": Decimal("0.1000"),
        }
        dal.specimen.insert(**values)
        before = _all(dal, "specimen")
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC):
            text = _exported(dal(dal.specimen).select(), quoting=quoting)
            dal(dal.specimen).delete()
            _read(dal.specimen, text, quoting=quoting)
            assert _all(dal, "specimen") == before


def test_an_error_in_a_file_is_reported_with_its_line(shop: Database) -> None:
    for text, options, error in (
        ("name,hits\r\na,1\r\nb,x\r\n", {}, r"line 3 of the file: tally\.hits is no integer"),
        ("name,hits\r\na\r\n", {}, r"line 2 of the file has 1 values, and its header 2"),
        (
            "name,hits\r\na,1\r\na,1\r\n",
            {"validate": True},
            r"line 3 of the file: tally: name: Value already in",
        ),
        (
            "name,hits\r\na,1\r\n" + "b" * 300 + ",1\r\n",
            {},
            r"line 3 of the file: tally\.name: the text is longer",
        ),
        ("name,name\r\na,b\r\n", {}, r"header of the file names tally\.name twice"),
        ("name,hist\r\na,1\r\n", {}, r"tally has no field hist .*did you mean hits.*transform="),
        ("name\r\na\r\n", {"restore": True}, r"cannot truncate tally: delete its rows first"),
    ):
        with pytest.raises((DataError, UsageError), match=error), shop.session() as dal:
            _read(dal.tally, text, **options)
    with shop.session() as dal:
        assert dal(dal.tally).count() == 0
        _read(dal.tally, "tally.name,tally.hits\r\na,1\r\nb,\r\n")
        _read(dal.tally, "name,hits\r\na,5\r\n", unique="name", transform=lambda row: row | {"hits": 7})
        assert {row.name: row.hits for row in dal(dal.tally).select()} == {"a": 7, "b": None}
        with pytest.raises(UnknownName, match=r"no table nowhere.*map_tablenames"):
            _read(dal, "TABLE nowhere\r\n")
        with pytest.raises(DataError, match=r"line 1 of the file: .* text mode"):
            dal.tally.import_from_csv_file(io.BytesIO(b"name\r\na\r\n"))
        with pytest.raises(ArgumentError, match="a line TABLE name is wanted"):
            _read(dal, "name\r\n")
