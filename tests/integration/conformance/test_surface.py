"""Each line of docs/reference/pydal.md: its recipe with stock PyDAL beside Ringfence."""

from dataclasses import dataclass
from typing import Any

import pytest

from ringfence.runtime import RingfenceError
from support.stock_comparison import Sides, plain
from support.surface import MEMBERS, Member

pytestmark = pytest.mark.engines("sqlite", "postgresql", "mariadb")
CLASSES = list(dict.fromkeys(member.of for member in MEMBERS))


@dataclass(frozen=True)
class Raised:
    """What a recipe raised."""

    kind: str
    text: str
    ours: bool


def _result(kind: str, side: Any, member: Member) -> Any:
    """What a recipe gives, its changes undone."""
    side.dal._adapter.compiled = kind != "plain"
    with side.session() as dal:
        try:
            found = plain(member.recipe(dal))
        except Exception as error:  # what stock PyDAL raises may be anything
            found = Raised(type(error).__name__, str(error), isinstance(error, RingfenceError))
        dal.rollback()
    return found


def _fault(expected: Any, found: Any, member: Member) -> str | None:
    """What is not as the page says, or None."""
    raised = isinstance(found, Raised)
    if member.error:
        if not raised or found.kind != member.error or not found.text:
            return f"is not refused with {member.error}, but gives {found!r}"
    elif raised and not (member.how and found.ours):
        return f"raises {found!r}, stock: {expected!r}"
    elif member.how and found == expected:
        return f"is the same as in stock PyDAL: {found!r}"
    elif not member.how and found != expected:
        return f"gives {found!r}, stock: {expected!r}"
    return None


@pytest.mark.parametrize("of", CLASSES)
def test_every_member_does_what_the_page_says(sides: Sides, of: str) -> None:
    every = sides[0][1].engine == "sqlite"
    faults = []
    for member in {(each.recipe, each.how): each for each in MEMBERS if each.of == of}.values():
        if every or member.everywhere:
            (_, stock), *ours = sides
            expected = None if member.error else _result("stock", stock, member)
            for kind, side in ours:
                if fault := _fault(expected, _result(kind, side, member), member):
                    faults.append(f"{kind}: {of}.{member.name} {fault}")
    assert not faults, "\n".join(faults)
