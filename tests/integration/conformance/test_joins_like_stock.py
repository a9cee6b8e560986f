"""The rows of joins, whose parts are made when they are asked for, held against stock PyDAL's on the same rows."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from support.stock_comparison import Sides, again, alike

pytestmark = pytest.mark.engines("sqlite", "postgresql", "mariadb")


def pairs(dal: Any) -> Any:
    """A join of two tables, whose rows nobody has looked at yet."""
    rows = dal((dal.pet.pet_no > 0) & (dal.tally.hits == 2)).select(
        dal.pet.pet_no, dal.pet.name, dal.pet.mother, dal.tally.name, orderby=dal.pet.pet_no | dal.tally.id
    )
    assert len(rows) == 8
    return rows


def related(dal: Any) -> Any:
    """A join by plain conditions alone, which ours writes itself."""
    pet, tally = dal.pet, dal.tally
    query = (tally.id == pet.pet_no) & ((tally.hits < 2) | (pet.name == "Kit")) & (tally.id >= 0)
    return dal(query).select(pet.name, tally.name, tally.hits)


def test_a_row_of_rows(sides: Sides) -> None:
    def replaced(row: Any) -> Any:
        row.pet = "mine"
        return row.pet, row.tally.name, sorted(row.keys())

    def without(row: Any) -> Any:
        del row.pet
        return sorted(row.keys()), row.get("pet")

    recipes: dict[str, Callable[[Any], Any]] = {
        "attributes": lambda row: (row.tally.name, row.pet.name, row.pet.pet_no),
        "items": lambda row: (row["tally"]["name"], row["pet.name"], row("pet").name),
        "keys": lambda row: sorted(row.keys()),
        "values": lambda row: [part.name for part in row.values()],
        "each key": sorted,
        "contains": lambda row: ("pet" in row, "seat" in row, row.has_key("tally")),
        "what is not there": lambda row: row.nothing,
        "get": lambda row: (row.get("seat", 7), row.get("pet").name),
        "as_dict": lambda row: {name: sorted(part) for name, part in row.as_dict().items()},
        "as_json": lambda row: json.loads(row.as_json())["tally"],
        "truth": bool,
        "an own attribute": lambda row: (setattr(row, "more", 1), row.more, row.pet.name, sorted(row.keys())),
        "a part replaced": replaced,
        "a part taken out": without,
        "popped": lambda row: (row.pop("pet").name, sorted(row.keys())),
        "updated": lambda row: (row.update(more=2), row.more, row.pet.name),
        "variables": lambda row: sorted(vars(row)),
        "a copy": lambda row: copy.copy(row).pet.name,
        "a deep copy": lambda row: copy.deepcopy(row).tally.name,
        "pickled": lambda row: again(row).pet.name,
        "equality": lambda row: (row == copy.copy(row), row == row.pet),
        "cleared": lambda row: (row.clear(), sorted(row.keys())),
    }
    missing = {"what is not there"}
    alike(
        sides,
        {
            name: lambda dal, one=one: [one(row) for row in pairs(dal)]
            for name, one in recipes.items()
            if name not in missing
        },
    )
    alike(
        sides, {name: lambda dal, one=recipes[name]: one(pairs(dal)[0]) for name in missing}, may_raise=True
    )
    alike(
        sides,
        {
            "first and last": lambda dal: (pairs(dal).first().pet.name, pairs(dal).last().tally.name),
            "a slice": lambda dal: [row.pet.name for row in pairs(dal)[1:3]],
            "sorted": lambda dal: [row.pet.name for row in pairs(dal).sort(lambda row: row.tally.name)],
            "found": lambda dal: len(pairs(dal).find(lambda row: row.tally.name == "n2")),
            "excluded": lambda dal: len(pairs(dal).exclude(lambda row: row.pet.name == "Rex")),
            "as_list": lambda dal: [sorted(row) for row in pairs(dal).as_list()],
            "a column": lambda dal: pairs(dal).column("pet.name"),
            "pickled": lambda dal: [row.tally.name for row in again(pairs(dal))],
            "together": lambda dal: len(pairs(dal) & pairs(dal)),
            "read twice": lambda dal: [
                row.pet.name for rows in [pairs(dal)] for _ in range(2) for row in rows
            ],
            "its own operators": lambda dal: [
                ("update_record" in row.pet, "update_record" in row.tally) for row in pairs(dal)
            ],
            "by plain conditions": lambda dal: sorted(
                (row.pet.name, row.tally.name, row.tally.hits) for row in related(dal)
            ),
        },
    )
