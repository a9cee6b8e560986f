"""What PyDAL documents of Row and Rows, held against stock PyDAL on the same rows, with the compiled path on and off."""

import copy
import csv
import io
import json
from typing import Any

import pytest
from pydal import Field

from support.stock_comparison import again, alike

pytestmark = pytest.mark.engines("sqlite", "postgresql", "mariadb")


def tallies(dal: Any, *fields: Any, **how: Any) -> Any:
    return dal(dal.tally.id > 0).select(*(fields or [dal.tally.ALL]), **({"orderby": dal.tally.id} | how))


def pets(dal: Any, **how: Any) -> Any:
    mother = dal.pet.with_alias("parent")
    return dal(dal.pet.mother == mother.pet_no).select(
        dal.pet.name, mother.name, dal.pet.pet_no, orderby=dal.pet.pet_no, **how
    )


def test_a_row(sides: list[tuple[str, Any]]) -> None:
    alike(
        sides,
        {
            "attributes and items": lambda dal: [
                (row.name, row["name"], row("name"), row["tally.name"], row.get("name"), row.get("no", 7))
                for row in tallies(dal)
            ],
            "the key": lambda dal: [(row.id == row["id"], row.id > 0) for row in tallies(dal)],
            "as_dict": lambda dal: [sorted(row.as_dict()) for row in tallies(dal)],
            "as_json": lambda dal: [json.loads(row.as_json())["name"] for row in tallies(dal)],
            "contains": lambda dal: [("name" in row, "nothing" in row) for row in tallies(dal)],
            "an own attribute": lambda dal: [setattr(row, "more", 1) or row.more for row in tallies(dal)],
            "an own item": lambda dal: [row.__setitem__("more", 2) or row["more"] for row in tallies(dal)],
            "equality": lambda dal: tallies(dal)[0].as_dict() == tallies(dal)[0].as_dict(),
            "a copy": lambda dal: [copy.copy(row).name for row in tallies(dal)],
            "pickled": lambda dal: [again(row).name for row in tallies(dal)],
            "update": lambda dal: [row.update(name="x") or row.name for row in tallies(dal)],
            "truth": lambda dal: [bool(row) for row in tallies(dal)],
            "some columns": lambda dal: [row.as_dict() for row in tallies(dal, dal.tally.hits)],
            "no key, no operators": lambda dal: [
                "update_record" in row for row in tallies(dal, dal.tally.hits)
            ],
            "a key, operators": lambda dal: ["update_record" in row for row in tallies(dal)],
        },
    )
    alike(
        sides,
        {
            "no such column": lambda dal: tallies(dal).first().nothing,
            "no such item": lambda dal: tallies(dal).first()["nothing"],
            "a column that was not selected": lambda dal: tallies(dal, dal.tally.id).first().name,
        },
        may_raise=True,
    )


def test_rows(sides: list[tuple[str, Any]]) -> None:
    alike(
        sides,
        {
            "length and truth": lambda dal: (len(tallies(dal)), bool(tallies(dal)), bool(dal(dal.tally.id < 0).select())),
            "first and last": lambda dal: (tallies(dal).first(), tallies(dal).last(), dal(dal.tally.id < 0).select().last()),
            "items": lambda dal: (tallies(dal)[0], tallies(dal)[-1]),
            "slices": lambda dal: (tallies(dal)[1:3], tallies(dal)[:2], tallies(dal)[5:]),
            "as_list": lambda dal: tallies(dal).as_list(),
            "as_dict": lambda dal: sorted(tallies(dal).as_dict("name")),
            "as_dict by key": lambda dal: list(tallies(dal).as_dict().values()),
            "find": lambda dal: tallies(dal).find(lambda row: row.hits == 1),
            "find some": lambda dal: tallies(dal).find(lambda row: row.hits < 2, limitby=(1, 3)),
            "exclude": lambda dal: without(tallies(dal)),
            "sort": lambda dal: tallies(dal).sort(lambda row: (row.hits, row.name)),
            "sort backwards": lambda dal: tallies(dal).sort(lambda row: row.name, reverse=True),
            "group_by_value": lambda dal: {k: len(v) for k, v in tallies(dal).group_by_value("hits").items()},
            "group_by_value of a field": lambda dal: list(tallies(dal).group_by_value(dal.tally.hits)),
            "groups of one": lambda dal: tallies(dal).group_by_value(dal.tally.name, one_result=True)["n3"],
            "column": lambda dal: tallies(dal).column("name") if hasattr(tallies(dal), "column") else None,
            "added": lambda dal: tallies(dal, limitby=(0, 2)) + tallies(dal, limitby=(2, 3)),
            "and": lambda dal: tallies(dal, limitby=(0, 3)) & tallies(dal, limitby=(2, 5)),
            "or": lambda dal: tallies(dal, limitby=(0, 3)) | tallies(dal, limitby=(2, 5)),
            "equal": lambda dal: (tallies(dal) == tallies(dal), tallies(dal) == tallies(dal, limitby=(0, 2))),
            "csv": lambda dal: list(csv.reader(io.StringIO(str(tallies(dal, dal.tally.name, dal.tally.hits))))),
            "export_to_csv_file": lambda dal: exported(tallies(dal, dal.tally.name), delimiter=";"),
            "as_json": lambda dal: json.loads(tallies(dal).as_json()),
            "as_csv": lambda dal: tallies(dal, dal.tally.name).as_csv(),
            "pickled": lambda dal: list(again(tallies(dal))),
            "colnames": lambda dal: [name.replace('"', "").replace("`", "") for name in tallies(dal).colnames],
            "compact off": lambda dal: [(row.tally.name, row["tally"]["hits"]) for row in loose(tallies(dal))],
            "a composite key": lambda dal: dal(dal.seat).select(orderby=dal.seat.number).as_list(),
            "insert and append": lambda dal: grown(tallies(dal)),
            "reversed": lambda dal: list(reversed(list(tallies(dal)))),
            "iterselect": lambda dal: list(dal(dal.tally.hits == 1).iterselect(orderby=dal.tally.id)),
        },
    )  # fmt: skip


def without(rows: Any) -> Any:
    return rows.exclude(lambda row: row.hits == 0), rows


def exported(rows: Any, **how: Any) -> str:
    target = io.StringIO()
    rows.export_to_csv_file(target, **how)
    return target.getvalue()


def loose(rows: Any) -> Any:
    rows.compact = False
    return rows


def grown(rows: Any) -> list[str]:
    rows.insert(0, rows.records[3])
    rows.append(rows.records[1])
    return [row.name for row in rows]


def test_joins_and_expressions(sides: list[tuple[str, Any]]) -> None:
    alike(
        sides,
        {
            "sub-rows": lambda dal: [
                (row.pet.name, row.parent.name, row["pet"]["name"]) for row in pets(dal)
            ],
            "sub-rows as dicts": lambda dal: [sorted(row.as_dict()) for row in pets(dal)],
            "a dotted name": lambda dal: [row["pet.name"] for row in pets(dal)],
            "two tables": lambda dal: [
                (row.pet.name, row.tally.name)
                for row in dal((dal.pet.pet_no > 0) & (dal.tally.hits == 2)).select(
                    dal.pet.name, dal.tally.name, orderby=dal.pet.pet_no | dal.tally.id
                )
            ],
            "sorted": lambda dal: [row.pet.name for row in pets(dal).sort(lambda row: row.parent.name)],
            "found": lambda dal: [
                row.pet.name for row in pets(dal).find(lambda row: row.parent.name == "Rex")
            ],
            "left": lambda dal: [
                (row.pet.name, row.parent.name)
                for row in dal(dal.pet).select(
                    dal.pet.name,
                    dal.pet.with_alias("parent").name,
                    left=dal.pet.with_alias("parent").on(
                        dal.pet.mother == dal.pet.with_alias("parent").pet_no
                    ),
                    orderby=dal.pet.pet_no,
                )
            ],
            "whole tables, after one of them alone": lambda dal: [
                len(dal(dal.pet).select()),
                [
                    (row.pet.name, row.elder.name)
                    for row in dal(dal.pet.mother == dal.pet.with_alias("elder").pet_no).select(
                        dal.pet.ALL, dal.pet.with_alias("elder").ALL, orderby=dal.pet.pet_no
                    )
                ],
            ],
            "an alias alone": lambda dal: [
                [row.name for row in dal(query).select(orderby=dal.pet.with_alias("lone").pet_no)]
                for query in (dal.pet.with_alias("lone"), dal.pet.with_alias("lone").name != "Rex")
            ],
            "extras": lambda dal: [
                (row.tally.hits, row[dal.tally.id.count()], row._extra[dal.tally.id.count()])
                for row in dal(dal.tally).select(
                    dal.tally.hits, dal.tally.id.count(), groupby=dal.tally.hits, orderby=dal.tally.hits
                )
            ],
            "named extras": lambda dal: [
                row.many
                for row in dal(dal.tally).select(
                    dal.tally.id.count().with_alias("many"), groupby=dal.tally.hits, orderby=dal.tally.hits
                )
            ],
            "joined csv": lambda dal: str(pets(dal)).replace("\r", "").splitlines()[1:],
            "grouped": lambda dal: sorted(pets(dal).group_by_value(dal.pet.name)),
        },
    )


def test_records_and_references(sides: list[tuple[str, Any]]) -> None:
    def rex(dal: Any) -> Any:
        return dal(dal.pet.name == "Rex").select().first()

    def changed(dal: Any) -> Any:
        row = tallies(dal).first()
        returned = row.update_record(name="new", hits=9)
        return (row.name, row.hits, returned.name, dal.tally[row.id].name)

    def touched(dal: Any) -> Any:
        row = tallies(dal).first()
        row.name = "touched"
        row.update_record()
        return dal.tally[row.id].name

    def deleted(dal: Any) -> Any:
        row = tallies(dal).first()
        row.delete_record()
        return (dal.tally[row.id], dal(dal.tally).count())

    def through(dal: Any) -> Any:
        kit = dal(dal.pet.name == "Kit").select().first()
        return (kit.mother.name, kit.mother.mother.name, rex(dal).mother, kit.mother == kit["mother"])

    alike(
        sides,
        {
            "update_record": changed,
            "update_record of what was set": touched,
            "delete_record": deleted,
            "references": through,
            "of a table": lambda dal: [field.name for field in dal.pet._referenced_by],
            "table()": lambda dal: (dal.tally(name="n3").hits, dal.tally(dal.tally.name == "n4").hits),
            "table[key]": lambda dal: dal.tally[tallies(dal).first().id].name,
        },
    )  # fmt: skip


def test_virtual_fields_methods_filters_and_processors(sides: list[tuple[str, Any]]) -> None:
    class Old:
        def loud(self) -> str:
            return f"{self.tally.name}!"  # type: ignore[attr-defined]  # pydal puts the row there

    with_all = []
    for kind, side in sides:
        table = side.dal.tally
        side.dal.representers["rows_render"] = lambda field, value, row: field.represent(value, row)
        if not any(kept is side for _, kept in with_all):
            table.twice = Field.Virtual("twice", lambda row: row.tally.hits * 2)
            table.times = Field.Method("times", lambda row, number=3: row.tally.hits * number)
        with_all.append((kind, side))

    def processed(dal: Any) -> Any:
        return tallies(
            dal, processor=lambda rows, fields, columns, cacheable: [tuple(row)[1] for row in rows]
        )

    def filtered(dal: Any) -> Any:
        dal.tally.name.filter_out = lambda value: value.upper()
        try:
            return tallies(dal).as_list()
        finally:
            dal.tally.name.filter_out = None

    def represented(dal: Any) -> Any:
        dal.tally.hits.represent = lambda value, row: f"{row.name} has {value}"
        try:
            return [row.hits for row in tallies(dal).render(fields=[dal.tally.hits])]
        finally:
            dal.tally.hits.represent = None

    alike(
        with_all,
        {
            "virtual fields": lambda dal: [row.twice for row in tallies(dal)],
            "methods": lambda dal: [(row.times(), row.times(5)) for row in tallies(dal)],
            "filter_out": filtered,
            "a processor": processed,
            "render": represented,
            "virtual fields while iterating": lambda dal: [
                row.twice for row in dal(dal.tally).iterselect(orderby=dal.tally.id)
            ],
            "setvirtualfields": lambda dal: [row.loud for row in tallies(dal).setvirtualfields(tally=Old())],
        },
    )
    for _, side in with_all[:2]:
        side.dal.tally.virtualfields.append(Old())
    alike(with_all, {"old virtual fields": lambda dal: [row.loud for row in tallies(dal)]})
